#!/bin/bash
# make-image.sh ROOT PACKAGE... - a folder with these Debian packages and all they need, unpacked: an image that Apptainer runs as it is.
# (In it stands no .singularity.d/env: an empty one would hide the variables that a container is given.)
# Packages are of this machine's own suite. What the image is given to run, it runs. Done once: ROOT/.done marks it.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
ROOT=$(cd "$1" && pwd) APT=$ROOT.apt
shift
exec 9>"$ROOT.lock"
flock 9 # one at a time
[ -e "$ROOT/.done" ] && exit 0
rm -rf "$APT"
. "$HERE/apt.sh"
: >"$APT/status" # nothing is installed, so everything is fetched
apt update
apt install -o Dir::State::status="$APT/status" -o APT::Keep-Downloaded-Packages=1 -y --no-install-recommends --download-only "$@" >/dev/null
for file in "$APT"/cache/archives/*.deb; do
    dpkg -x "$file" "$ROOT"
done
# What packages set up when they are installed, as far as it is needed: a shell, and which of several libraries is the one.
for library in "$ROOT"/usr/lib/*/blas/libblas.so.3 "$ROOT"/usr/lib/*/lapack/liblapack.so.3; do
    [ -e "$library" ] && ln -sf "$(basename "$(dirname "$library")")/$(basename "$library")" "$(dirname "$library")/.."
done
[ -e "$ROOT/bin/sh" ] || ln -s dash "$ROOT/bin/sh"
echo 'root:x:0:0:root:/root:/bin/sh' >"$ROOT/etc/passwd"
echo 'root:x:0:' >"$ROOT/etc/group"
mkdir -p "$ROOT"/{dev,proc,sys,run,tmp,var/tmp,root,home,.singularity.d/actions,ewms-pilot-data/{data-hub,task-io}}
printf '#!/bin/sh\nexec "$@"\n' >"$ROOT/.singularity.d/runscript"
# What `apptainer test` runs, as HTCondor does before each job; images that Apptainer has built have it.
printf '#!/bin/sh\nexit 0\n' >"$ROOT/.singularity.d/actions/test"
chmod 755 "$ROOT/.singularity.d/runscript" "$ROOT/.singularity.d/actions/test"
chmod -R a+rX "$ROOT"
rm -rf "$APT"
touch "$ROOT/.done"
