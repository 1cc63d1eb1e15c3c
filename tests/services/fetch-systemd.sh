#!/bin/bash
# fetch-systemd.sh ROOT - unpack this machine's own Debian's systemd, with the libraries that it needs beside those that are here, into
# ROOT/root. Done once.
set -euo pipefail
ROOT=$1
. "$(dirname "$0")/begin-fetch.sh"
mapfile -t NEEDED < <(apt-cache -o Dir::State::Lists="$APT/lists" -o Dir::Cache="$APT/cache" depends --recurse --no-recommends --no-suggests \
    --no-conflicts --no-breaks --no-replaces --no-enhances systemd | grep -E '^(systemd|libsystemd-shared|lib[a-z0-9.+-]+)$' |
    grep -vxE 'libc6|libgcc-s1|libcrypt1|libpam.*' | sort -u)
(cd "$APT/cache/archives" && apt download "${NEEDED[@]}")
rm -rf "$ROOT/root"
for file in "$APT"/cache/archives/*.deb; do dpkg -x "$file" "$ROOT/root"; done
for folder in bin sbin lib; do # as on every Debian of today, these are links into /usr
    [ -d "$ROOT/root/$folder" ] || continue
    mkdir -p "$ROOT/root/usr/$folder"
    cp -a "$ROOT/root/$folder/." "$ROOT/root/usr/$folder/"
    rm -r "${ROOT:?}/root/$folder"
done
rm -rf "$APT" "$ROOT/root/usr/share/doc" "$ROOT/root/usr/share/locale"
chmod -R a+rX "$ROOT"
touch "$ROOT/.done"
