#!/bin/bash
# fetch-condor.sh ROOT - unpack HTCondor from Debian forky into ROOT, as programs that need no root rights. Done once.
set -euo pipefail
bash "$(dirname "$0")/../containers/debroot.sh" forky "$1" condor
chmod -R a+rX "$1"
