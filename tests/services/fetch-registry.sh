#!/bin/bash
# fetch-registry.sh ROOT - unpack Debian's docker-registry into ROOT: ROOT/usr/bin/docker-registry. Done once.
set -euo pipefail
ROOT=$1
. "$(dirname "$0")/begin-fetch.sh"
(cd "$APT/cache/archives" && apt download docker-registry)
dpkg -x "$APT"/cache/archives/docker-registry_*.deb "$ROOT"
rm -rf "$APT"
"$ROOT/usr/bin/docker-registry" --version >/dev/null
touch "$ROOT/.done"
