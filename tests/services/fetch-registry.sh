#!/bin/bash
# fetch-registry.sh ROOT - unpack Debian's docker-registry into ROOT: ROOT/usr/bin/docker-registry. Done once.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
ROOT=$(cd "$1" && pwd) APT=$ROOT/apt
exec 9>"$ROOT/lock"
flock 9 # one at a time
[ -e "$ROOT/.done" ] && exit 0
. "$HERE/../../deploy/containers/apt.sh"
apt update
(cd "$APT/cache/archives" && apt download docker-registry)
dpkg -x "$APT"/cache/archives/docker-registry_*.deb "$ROOT"
rm -rf "$APT"
"$ROOT/usr/bin/docker-registry" --version >/dev/null
touch "$ROOT/.done"
