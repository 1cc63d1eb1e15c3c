#!/bin/bash
# add-node.sh FOLDER NAME ADDRESS CPUS - one more execution point for the pool of start-pool.sh: a master and a startd at a loopback
# address of their own, with what they write in FOLDER/nodes/NAME. It runs until it is told to end or whoever started it does.
set -euo pipefail
FOLDER=$(cd "$1" && pwd) NAME=$2 ADDRESS=$3 CPUS=$4
if [ "$(id -u)" = 0 ]; then
    exec unshare --user --map-user=65534 --map-group=65534 "${BASH:-bash}" "$0" "$@"
fi
NODE=$FOLDER/nodes/$NAME
mkdir -p "$NODE"/{log,spool,execute,run,lock}
cat >"$NODE/condor_config" <<END
include : $FOLDER/condor_config
LOCAL_DIR = $NODE
LOG = $NODE/log
SPOOL = $NODE/spool
EXECUTE = $NODE/execute
RUN = $NODE/run
LOCK = $NODE/lock
DAEMON_LIST = MASTER, SHARED_PORT, STARTD
NETWORK_INTERFACE = $ADDRESS
NETWORK_HOSTNAME = $NAME
NUM_CPUS = $CPUS
SEC_USE_FAMILY_SESSION = False
END
for more in "$NODE"/local.d/*.conf; do [ ! -e "$more" ] || cat "$more" >>"$NODE/condor_config"; done
export CONDOR_CONFIG=$NODE/condor_config
ROOT=$(awk '/^RELEASE_DIR/ {print $3}' "$FOLDER/condor_config")
exec setpriv --pdeathsig QUIT "$ROOT/sbin/condor_master" -f
