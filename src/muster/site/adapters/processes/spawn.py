"""How is a worker started? In a session of its own, with a clean environment, in a few milliseconds."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from muster.worker.settings import CA_FILE

_KEPT = (
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_OURS = (CA_FILE, "MUSTER_TEST_CRASH", "MUSTER_TEST_CRASH_FILE")
"""What a worker inherits of the agent's environment; no variable of a user replaces these last ones. Nothing else, so that no secret
of the agent travels along."""

_CHANGE_FOLDER = 'cd "$1" && shift && exec "$@"'
"""posix_spawn cannot change the folder; a shell that becomes the program can, and keeps the pid."""


def make_environment(
    inherited: Mapping[str, str], *, users: Mapping[str, str], ours: Mapping[str, str], programs: Sequence[str] = ()
) -> dict[str, str]:
    """A worker's variables: what is kept, the user's over it, ours over all. Programs beside our Python come first in PATH.

    `programs`: folders that come last there.
    """
    environment = {name: inherited[name] for name in _KEPT if name in inherited}
    beside = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join(dict.fromkeys([beside, "/usr/local/bin", "/usr/bin", "/bin", *programs]))
    environment.update(users)
    environment.update({name: inherited[name] for name in _OURS if name in inherited})
    environment.update(ours)
    return environment


def spawn(argv: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> int:
    """Start a program in `folder`, its output appended to `stdout` and `stderr` there. Returns its pid.

    Raises OSError when the machine has no room for another process.
    """
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", _CHANGE_FOLDER, "sh", str(folder), *argv],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "stdout"), log, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / "stderr"), log, 0o600),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=[signum for signum in signal.valid_signals() if signum not in (signal.SIGKILL, signal.SIGSTOP)],
    )
