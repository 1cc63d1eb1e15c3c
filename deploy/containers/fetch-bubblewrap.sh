#!/bin/bash
# fetch-bubblewrap.sh ROOT - unpack bubblewrap from Debian sid into ROOT, as a program that needs no root rights: ROOT/bin/bwrap. Done once.
set -euo pipefail
bash "$(dirname "$0")/debroot.sh" sid "$1" bubblewrap
ROOT=$(cd "$1" && pwd)
mkdir -p "$ROOT/bin"
ln -sfn ../usr/bin/bwrap "$ROOT/bin/bwrap"
chmod -R a+rX "$ROOT"
