#!/bin/bash
# fetch-postgres.sh ROOT - unpack Debian's (or Ubuntu's) PostgreSQL into ROOT, with those of its libraries that this machine lacks.
# No root, no container: apt's own sources with lists of our own. Done once: ROOT/.done marks it.
# Run its programs with LD_LIBRARY_PATH=ROOT/usr/lib/<triplet>, and the server with jit off (LLVM is left out, it is large).
set -euo pipefail
ROOT=$1
. "$(dirname "$0")/begin-fetch.sh"
mapfile -t URIS < <(apt install -y --no-install-recommends --print-uris postgresql | awk '/^\x27/ {print $1}' | tr -d "'")
[ "${#URIS[@]}" -gt 0 ] || { echo "apt would install nothing" >&2; exit 1; }
cd "$APT/cache/archives"
for uri in "${URIS[@]}"; do
    file=${uri##*/}
    package=${file%%_*}
    case $package in libllvm* | libz3* | perl* | libperl* | *-common | ssl-cert | sysstat | cron | logrotate | ucf | debconf | locales) continue ;; esac
    apt download "$package"
done
for file in *.deb; do
    dpkg -x "$file" "$ROOT"
done
ls "$ROOT"/usr/lib/postgresql/*/bin/postgres >/dev/null
rm -rf "$APT"
touch "$ROOT/.done"
