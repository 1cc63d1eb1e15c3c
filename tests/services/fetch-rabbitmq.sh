#!/bin/bash
# fetch-rabbitmq.sh ROOT - unpack RabbitMQ 4 with its Erlang from Debian into ROOT. Done once.
# Run ROOT/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server with ROOT/usr/bin first in PATH.
set -euo pipefail
bash "$(dirname "$0")/../../deploy/containers/debroot.sh" forky "$1" rabbitmq-server
ROOT=$(cd "$1" && pwd)
# Erlang's scripts have their place written into them; this one may have been moved.
sed -i "s|ROOTDIR=.*/usr/lib/erlang$|ROOTDIR=$ROOT/usr/lib/erlang|" "$ROOT/usr/lib/erlang/bin/erl" "$ROOT"/usr/lib/erlang/erts-*/bin/erl
ls "$ROOT"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server >/dev/null
