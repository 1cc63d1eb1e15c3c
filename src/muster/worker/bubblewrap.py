"""How is a plain task kept from other tasks, and from what is the worker's? By `bwrap`, which starts it with a view of its own.

It sees the machine as it is, but no process of others, no folder of other attempts, and nothing of the worker's; see decision 0031.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import sys
from typing import Dict, List, Mapping, Optional, Sequence

from muster.worker.folders import AttemptFolder, Folders
from muster.worker.images import Ran
from muster.worker.launch import Launch, Launcher
from muster.worker.mounts import is_within
from muster.worker.settings import BWRAP, DIR, Settings

PROBE_S = 10.0
_PROBE = '[ ! -e "$1" ] && : >"$2" && echo isolated'
"""Of two files the first is hidden, and the second can be written."""
_DEVICES = ("nvidia*", "dri", "kfd", "infiniband", "fuse")
"""Of the machine's devices those that tasks use, where they are there; beside the usual ones, such as /dev/null."""
_FOR_ROOT = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER")
"""What a worker of root's leaves its tasks: files are theirs as before, and no mount can be undone."""


class IsolationError(Exception):
    """Tasks cannot be isolated here; the text says why."""


def find_bwrap(environ: Mapping[str, str]) -> str:
    """The program, by the variable PATH. Raises IsolationError."""
    program = shutil.which(BWRAP, path=environ.get("PATH") or os.defpath)
    if program is None:
        raise IsolationError(f"{BWRAP} (bubblewrap) is not on PATH")
    return os.path.abspath(program)


def render_namespaces(program: str, root: Sequence[str] = ("--bind", "/", "/")) -> List[str]:
    """The words that begin each start: namespaces, and the whole machine."""
    words = [program, "--die-with-parent", "--unshare-pid", "--unshare-ipc", *root, "--dev", "/dev", "--proc", "/proc"]
    if os.geteuid() == 0:
        words += ["--cap-drop", "ALL", *(word for name in _FOR_ROOT for word in ("--cap-add", name))]
    return words


def render_probe(hidden: str, written: str) -> List[str]:
    """A command that finds out whether it is isolated."""
    return ["/bin/sh", "-c", _PROBE, "sh", hidden, written]


def judge_probe(ran: Optional[Ran]) -> None:
    """What did it find? None: it did not end. Raises IsolationError."""
    if ran is None:
        raise IsolationError(f"{BWRAP} did not end within {PROBE_S:g} s")
    if ran.status != 0 or ran.stdout.strip() != "isolated":
        said = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
        raise IsolationError(said[-1][:500] if said else f"{BWRAP} does not hide what it is told to hide")


def check_folder(workdir: str) -> None:
    """Can a worker's folder be hidden? Raises IsolationError."""
    if is_within(find_home(), workdir):
        raise IsolationError(f"the worker's folder {workdir} holds the home folder: give it one of its own ({DIR})")


class Sandbox:
    """What the tasks of one worker see. Places are real ones, all links followed: a mount follows none."""

    def __init__(self, program: str, settings: Settings, folders: Folders, environ: Mapping[str, str]) -> None:
        """Raises IsolationError."""
        self._named, self._data = folders.data, os.path.realpath(folders.data)
        workdir = os.path.dirname(self._data)
        check_folder(workdir)
        private = [*settings.private_files, *([sys.argv[0]] if sys.argv[0].endswith(".pyz") else []), *settings.hidden]
        secret = [workdir, *(place for place in map(os.path.realpath, private) if os.path.exists(place))]
        if "/" in secret:
            raise IsolationError("all of the machine is to be hidden")
        self._hidden = [one for one in sorted(set(secret)) if not any(is_within(one, it) for it in secret if it != one)]
        writable = [place for place in map(os.path.realpath, settings.writable) if os.path.exists(place)]
        self.variables = self._find_variables(environ, writable)
        """What a task is told, unless its author says otherwise."""
        root = _bind("--bind", ["/"]) if "/" in writable else [*_bind("--ro-bind", ["/"]), *_bind("--bind", writable)]
        words = render_namespaces(program, root)
        for device in (found for name in _DEVICES for found in sorted(glob.glob(f"/dev/{name}"))):
            words += ["--dev-bind", device, device]
        for place in self._hidden:
            words += ["--tmpfs", place] if os.path.isdir(place) else ["--ro-bind", os.devnull, place]
        # Those of all attempts, and perhaps the very files of the workflow's owner: no task's to change.
        inputs = {os.path.realpath(place) for place in folders.inputs}
        shown = [sys.prefix, sys.base_prefix, *inputs]
        for name in ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            shown += filter(os.path.isabs, environ.get(name, "").split(os.pathsep))
        for place in sorted(set(map(os.path.realpath, shown))):
            is_wanted = self._hides(place) or place in inputs
            if is_wanted and os.path.exists(place) and not any(is_within(one, place) for one in secret):
                words += _bind("--ro-bind", [place])
        helper = f"{workdir}/helper"
        self.helper_file = f"{helper}/muster/task.py"
        self._words = [*words, *_bind("--ro-bind", [helper]), *_bind("--bind", [self._real(folders.data_hub)])]
        self._closing = [word for place in self._hidden if os.path.isdir(place) for word in ("--remount-ro", place)]

    def wrap(self, folder: AttemptFolder, program: str, words: Sequence[str]) -> List[str]:
        """The words that start a program, of which `words` are the arguments, in an attempt's folder."""
        scratch = self._real(folder.scratch)
        own = _bind("--bind", [self._real(folder.io), scratch])
        return [*self._words, *own, *self._closing, "--chdir", scratch, "--", program, *words]

    def _find_variables(self, environ: Mapping[str, str], writable: Sequence[str]) -> Dict[str, str]:
        """Programs keep things in $HOME: where it is hidden, or not to be written, they have the data hub."""
        hub, home = f"{self._named}/data-hub", os.path.realpath(environ.get("HOME") or "/")
        if self._hides(home):
            return {"HOME": hub}
        return {} if any(is_within(home, one) for one in writable) else {"XDG_CACHE_HOME": f"{hub}/.cache"}

    def _hides(self, place: str) -> bool:
        return any(is_within(place, one) for one in self._hidden)

    def _real(self, place: str) -> str:
        return self._data + place[len(self._named) :]


class BubblewrapLauncher:
    """Starts what another launcher does, isolated."""

    holds_processes = True
    hands_on_descriptors = True

    def __init__(self, launcher: Launcher, sandbox: Sandbox) -> None:
        self._launcher = launcher
        self._sandbox = sandbox

    def prepare(self) -> None:
        """See `Launcher.prepare`. No task can write what Python keeps of the helper, so that is done here."""
        self._launcher.prepare()
        import py_compile  # costs the start of every worker otherwise

        with contextlib.suppress(OSError):
            py_compile.compile(self._sandbox.helper_file)

    def render(self, folder: AttemptFolder, mark: str, extra: Mapping[str, str], *, gpus: Sequence[str] = ()) -> Launch:
        """See `Launcher.render`."""
        launch = self._launcher.render(folder, mark, extra, gpus=gpus)
        program = launch.program or _find_program(launch.argv[0], launch.environment["PATH"], folder.scratch)
        if not _can_start(program):
            # Let it fail as it would without bwrap, and say the same. Not by its own name: it could be put there meanwhile.
            stand_in = os.devnull if os.path.lexists(program) else f"{folder.path}/no-such-program"
            return Launch(launch.argv, launch.environment, stand_in)
        return Launch(self._sandbox.wrap(folder, program, launch.argv[1:]), launch.environment, is_wrapped=True)

    def end(self, folder: AttemptFolder) -> None:
        """See `Launcher.end`."""
        self._launcher.end(folder)


def _bind(how: str, places: Sequence[str]) -> List[str]:
    return [word for place in places for word in (how, place, place)]


def _find_program(word: str, path: str, folder: str) -> str:
    """Where a program is that is started in this folder: the first that can be, else one that is there, else where none is."""
    if "/" in word:
        return os.path.join(folder, word)
    places = [os.path.join(folder, one, word) for one in path.split(os.pathsep)]
    return ([one for one in places if _can_start(one)] or [one for one in places if os.path.lexists(one)] or places)[0]


def _can_start(program: str) -> bool:
    """Would the kernel start it? A text without `#!` it would not; bwrap would, as a shell's."""
    if not (os.path.isfile(program) and os.access(program, os.X_OK)):
        return False
    try:
        with open(program, "rb") as file:
            head = file.read(128)
    except OSError:
        return True
    return head.startswith(b"#!") or b"\0" in head


def find_home() -> str:
    """Of the user, whatever the variables say; "" for one that has none."""
    try:
        home = os.path.realpath(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return ""
    return "" if home == "/" else home
