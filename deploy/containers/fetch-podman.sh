#!/bin/bash
# fetch-podman.sh ROOT - unpack Podman with runc and conmon from Debian sid into ROOT. Done once. It needs a containers.conf that names
# these programs (tests/services/podman.py writes one): nothing of it is configured here.
set -euo pipefail
bash "$(dirname "$0")/debroot.sh" sid "$1" podman runc conmon
chmod -R a+rX "$1"
