#!/bin/bash
# fetch-apptainer.sh ROOT - unpack Apptainer from Debian sid into ROOT, as a program that needs no root rights: ROOT/bin/apptainer. Done once.
# It takes registries on loopback addresses without TLS, too. Without squashfuse, SIF files are unpacked for each run: small ones only.
set -euo pipefail
bash "$(dirname "$0")/debroot.sh" sid "$1" apptainer
ROOT=$(cd "$1" && pwd)
exec 9>"$ROOT/lock"
flock 9 # one at a time
[ -x "$ROOT/bin/apptainer" ] && exit 0
for link in usr/etc:../etc usr/var:../var usr/lib/etc:../../etc usr/lib/var:../../var; do
    ln -sfn "${link#*:}" "$ROOT/${link%%:*}"
done
mkdir -p "$ROOT/var/lib/apptainer/mnt/session" "$ROOT/bin"
sed -i 's/^root default capabilities = .*/root default capabilities = no/' "$ROOT/etc/apptainer/apptainer.conf"
echo "binary path = $ROOT/usr/bin" >>"$ROOT/etc/apptainer/apptainer.conf"
cat >"$ROOT/bin/.apptainer.new" <<END
#!/bin/sh
export APPTAINER_NOHTTPS=1 PATH=$ROOT/usr/bin:/usr/bin:/bin:/usr/sbin:/sbin
exec $ROOT/usr/bin/apptainer "\$@"
END
chmod 755 "$ROOT/bin/.apptainer.new"
chmod -R a+rX "$ROOT"
mv "$ROOT/bin/.apptainer.new" "$ROOT/bin/apptainer"
