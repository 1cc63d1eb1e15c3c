#!/bin/bash
# fetch-faketime.sh ROOT - unpack Debian's libfaketime into ROOT: ROOT/libfaketime.so, to be preloaded. Done once.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
ROOT=$(cd "$1" && pwd) APT=$ROOT/apt
exec 9>"$ROOT/lock"
flock 9 # one at a time
[ -e "$ROOT/.done" ] && exit 0
. "$HERE/../../deploy/containers/apt.sh"
apt update
(cd "$APT/cache/archives" && apt download libfaketime)
dpkg -x "$APT"/cache/archives/libfaketime_*.deb "$ROOT"
rm -rf "$APT"
ln -sfn "$(cd "$ROOT" && ls usr/lib/*/faketime/libfaketimeMT.so.1)" "$ROOT/libfaketime.so"
chmod -R a+rX "$ROOT"
touch "$ROOT/.done"
