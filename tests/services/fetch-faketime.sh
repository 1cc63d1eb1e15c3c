#!/bin/bash
# fetch-faketime.sh ROOT - unpack Debian's libfaketime into ROOT: ROOT/libfaketime.so, to be preloaded. Done once.
set -euo pipefail
ROOT=$1
. "$(dirname "$0")/begin-fetch.sh"
(cd "$APT/cache/archives" && apt download libfaketime)
dpkg -x "$APT"/cache/archives/libfaketime_*.deb "$ROOT"
rm -rf "$APT"
ln -sfn "$(cd "$ROOT" && ls usr/lib/*/faketime/libfaketimeMT.so.1)" "$ROOT/libfaketime.so"
chmod -R a+rX "$ROOT"
touch "$ROOT/.done"
