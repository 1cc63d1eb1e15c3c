# begin-fetch.sh - to be sourced with ROOT, the folder to unpack into: one script at a time, and none where ROOT/.done marks that it was done.
# Then there are ROOT, whole, and `apt` (deploy/containers/apt.sh) with fresh lists, in APT, which is to be deleted in the end.
mkdir -p "$ROOT"
ROOT=$(cd "$ROOT" && pwd) APT=$ROOT/apt
exec 9>"$ROOT/lock"
flock 9
[ -e "$ROOT/.done" ] && exit 0
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/containers/apt.sh"
apt update
