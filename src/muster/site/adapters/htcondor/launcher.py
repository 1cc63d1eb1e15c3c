"""What does HTCondor run at an execution point? A few lines of shell that find a Python, and the worker's file with it.

They need what every machine has: /bin/sh and what POSIX wants of it. What the worker prints can be looked at while it runs; it stays at the
execution point unless the worker failed, or it is wanted anyway: then the end of it comes back as the proc's error stream.
"""

import re
from collections.abc import Sequence

SAID_BYTES_MAX = 65_536
"""Of what a worker printed; the last of it."""
NO_PYTHON_STATUS = 4

BUNDLE, SETTINGS, ENROL, INPUTS = "muster-worker.pyz", "muster-settings.json", "muster-enrol.json", "muster-inputs"
CA = "muster-ca.pem"
"""Names in a worker's folder. No input file of a user may begin as they do."""
OWN_PREFIX = "muster-"
INPUT_FOLDER, WORK_FOLDER = "inputs", "worker"

_UNQUOTED = re.compile(r"[^A-Za-z0-9._:/@+ -]")
ALWAYS, FAILED = "always", "failed"
"""When what was printed comes back: the first argument. The others are a program to be run in the worker's place."""

_SCRIPT = f"""#!/bin/sh
# Finds a Python 3.9 or newer at this machine and runs the worker's file with it.
cd "${{_CONDOR_SCRATCH_DIR:-.}}" || exit 1
mkdir -p {INPUT_FOLDER} {WORK_FOLDER} || exit 1
if [ -e {INPUTS} ]; then
    while IFS= read -r name; do mv -- "./$name" {INPUT_FOLDER}/ || exit 1; done <{INPUTS}
fi
# What other slots of this machine work at is hidden from isolated tasks: the folder in which all of them have theirs.
slot=$PWD
while [ -n "$slot" ]; do
    case ${{slot##*/}} in dir_*) break ;; esac
    slot=${{slot%/*}}
done
hidden='@HIDDEN@'
case ${{slot%/*}} in '' | *,*) ;; *) hidden=${{hidden:+$hidden,}}${{slot%/*}} ;; esac
export MUSTER_WORKER_HIDDEN="$hidden"
export MUSTER_WORKER_SITE="${{GLIDEIN_Site:-@SITE@}}"
wanted=$1
shift
if [ $# = 0 ]; then
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 /usr/bin/python3 /usr/libexec/platform-python; do
        if "$python" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
            set -- "$python" -I -S {BUNDLE} {SETTINGS}
            break
        fi
    done
fi
if [ $# = 0 ]; then
    echo "there is no Python 3.9 or newer on $(uname -n)" >&2
    exit {NO_PYTHON_STATUS}
fi
# What is printed goes to the error stream, where `condor_tail` reads it, if that is a file that can be cleared in the end.
said=/proc/self/fd/2
if [ ! -f "$said" ] || [ ! -w "$said" ]; then
    said={WORK_FOLDER}/printed
    : >"$said"
fi
"$@" >>"$said" 2>&1 &
worker=$!
trap 'kill -TERM "$worker" 2>/dev/null' TERM INT HUP
wait "$worker"
status=$?
while kill -0 "$worker" 2>/dev/null; do # a signal has ended the wait, and not the worker
    wait "$worker"
    status=$?
done
if [ "$status" = 0 ] && [ "$wanted" != {ALWAYS} ]; then
    : >"$said"
elif [ "$said" = {WORK_FOLDER}/printed ]; then
    tail -c {SAID_BYTES_MAX} "$said" >&2
elif [ "$(wc -c <"$said")" -gt {SAID_BYTES_MAX} ]; then
    tail -c {SAID_BYTES_MAX} "$said" >{WORK_FOLDER}/printed
    cat {WORK_FOLDER}/printed >"$said"
fi
if [ "$status" -gt 128 ]; then
    trap - TERM INT HUP
    kill -s "$((status - 128))" $$ # so that HTCondor sees the same end
fi
exit "$status"
"""


def render_launcher(site: str, hidden: Sequence[str] = ()) -> str:
    """The script.

    Args:
        site: what workers call their site where glide-ins do not name it.
        hidden: paths that isolated tasks do not see, beside what the machine's other slots work at.
    """
    quoted = ",".join(hidden).replace("'", "'\\''")
    return _SCRIPT.replace("@SITE@", _UNQUOTED.sub("_", site)).replace("@HIDDEN@", quoted)
