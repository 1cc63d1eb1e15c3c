#!/bin/bash
# start-pool.sh FOLDER - a real HTCondor pool on one loopback address: master, collector, negotiator, schedd, startd. It runs until it is
# told to end (SIGTERM: when its jobs have; SIGQUIT: at once) or whoever started it does. Programs that talk to it want
# CONDOR_CONFIG=FOLDER/condor_config.
#
#   CONDOR_ROOT       where fetch-condor.sh has put HTCondor; default: /, the installed one
#   CONDOR_ADDRESS    an address of this machine; default 127.0.0.1
#   CONDOR_PORT       the one port that it listens at; default 9618
#   CONDOR_CPUS       CPUs that it gives to jobs, whatever the machine has; default 8
#   CONDOR_MEMORY     MiB that it gives to jobs; default 16384
#   CONDOR_APPTAINER  Apptainer, for jobs of the container universe; default: none
#
# Everything is quick here (a second between two matches, 20 until a machine that fell silent is given up), and everybody with an account on
# this machine may submit: for trying out and for tests. Jobs run as whoever starts the pool. HTCondor will not run jobs as root; root
# therefore starts it in a user namespace, where root is called nobody.
set -euo pipefail
mkdir -p "$1"
FOLDER=$(cd "$1" && pwd)
if [ "$(id -u)" = 0 ]; then
    exec unshare --user --map-user=65534 --map-group=65534 "${BASH:-bash}" "$0" "$FOLDER"
fi
ROOT=${CONDOR_ROOT:-} ADDRESS=${CONDOR_ADDRESS:-127.0.0.1} PORT=${CONDOR_PORT:-9618}
chmod 700 "$FOLDER"
mkdir -p "$FOLDER"/{log,spool,execute,run,lock,passwords.d,tokens.d}
[ -s "$FOLDER/passwords.d/POOL" ] || (umask 077 && head -c 48 /dev/urandom | base64 -w 0 >"$FOLDER/passwords.d/POOL")
cat >"$FOLDER/condor_config.new" <<END
CONDOR_IDS = $(id -u).$(id -g)
use ROLE: CentralManager, Submit, Execute
use security:recommended
RELEASE_DIR = $ROOT/usr
LIB = $ROOT/usr/lib/condor
LIBEXEC = $ROOT/usr/libexec/condor
LOCAL_DIR = $FOLDER
RUN = $FOLDER/run
LOCAL_CONFIG_FILE =
CONDOR_HOST = $ADDRESS
COLLECTOR_HOST = $ADDRESS:$PORT
SHARED_PORT_PORT = $PORT
NETWORK_INTERFACE = $ADDRESS
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
UID_DOMAIN = pool.local
FILESYSTEM_DOMAIN = pool.local
TRUST_DOMAIN = pool.local
SEC_PASSWORD_DIRECTORY = $FOLDER/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = $FOLDER/tokens.d
ALLOW_ADMINISTRATOR = $(id -un)@pool.local, condor@pool.local
ALLOW_DAEMON = $(id -un)@pool.local, condor@pool.local
ALLOW_NEGOTIATOR = $(id -un)@pool.local, condor@pool.local
NUM_CPUS = ${CONDOR_CPUS:-8}
MEMORY = ${CONDOR_MEMORY:-16384}
MOUNT_UNDER_SCRATCH =
MOUNT_PRIVATE_DEV_SHM = False
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 1
PERIODIC_EXPR_INTERVAL = 5
UPDATE_INTERVAL = 5
MASTER_UPDATE_INTERVAL = 5
NEGOTIATOR_UPDATE_INTERVAL = 5
COLLECTOR_UPDATE_INTERVAL = 5
CLASSAD_LIFETIME = 20
STARTER_UPDATE_INTERVAL = 2
SHADOW_QUEUE_UPDATE_INTERVAL = 2
MASTER_BACKOFF_CONSTANT = 1
MASTER_BACKOFF_CEILING = 3
RUNBENCHMARKS = 0
${CONDOR_APPTAINER:+SINGULARITY = $CONDOR_APPTAINER}
END
for more in "$FOLDER"/local.d/*.conf; do [ ! -e "$more" ] || cat "$more" >>"$FOLDER/condor_config.new"; done
mv "$FOLDER/condor_config.new" "$FOLDER/condor_config"
export CONDOR_CONFIG=$FOLDER/condor_config
exec setpriv --pdeathsig QUIT "$ROOT/usr/sbin/condor_master" -f
