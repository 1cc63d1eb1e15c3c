#!/bin/bash
# fetch-oidc.sh ROOT - install oidc-provider and what it needs into ROOT, in the versions and with the hashes of oidc/package-lock.json.
# Needs node >= 20 and npm. No root, nothing outside of ROOT. Done once for each lock: ROOT/.done holds its hash.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)/oidc
mkdir -p "$1"
ROOT=$(cd "$1" && pwd)
exec 9>"$ROOT/lock"
flock 9 # one at a time
LOCK=$(sha256sum <"$HERE/package-lock.json")
[ "$(cat "$ROOT/.done" 2>/dev/null)" = "$LOCK" ] && exit 0
cp "$HERE"/package.json "$HERE"/package-lock.json "$ROOT/"
cd "$ROOT"
npm ci --ignore-scripts --no-audit --no-fund --silent --cache "$ROOT/npm"
rm -rf "$ROOT/npm"
echo "$LOCK" >"$ROOT/.done"
