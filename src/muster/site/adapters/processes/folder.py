"""What does a cluster of local processes look like on disk? Everything that a later agent needs to take it over.

clusters/<tag>/cluster.json     what was asked for; the cluster exists once this folder has its name
               enrol.json       0600: the enrolment secret
               inputs/          links to the input files
               removing         there once the cluster is being removed: nothing is started any more
               paused           there while the agent is down on purpose: workers that end now are started again
               procs/<n>/       a worker's folder: proc.json, stdout, stderr, exit.json, and what it makes itself
ended/<tag>/                    the outputs of clusters that were forgotten, the newest only
next-cluster                    the number of the next cluster
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.domain.worker_order import WorkerLog
from muster.site.adapters.durable import TEMPORARY, removed_on_error, sync_folder, take_over_folders, write_file
from muster.site.adapters.input_files import EVERYWHERE, resolve_input
from muster.site.adapters.log_ends import read_end
from muster.site.ports.pool import ClusterSpec
from muster.worker.marks import WORKED

ENDED_KEPT = 50
"""Forgotten clusters whose outputs are kept."""

SAID_BYTES = 4096


class ClusterFile(msgspec.Struct, frozen=True):
    """cluster.json"""

    cluster: int
    tag: str
    n_workers: int
    fence: int
    environment: dict[str, str]
    argv: list[str]


COMPLETED, REMOVED = "completed", "removed"
"""How a proc has ended for good."""


class ProcFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """proc.json: where a proc is.

    Args:
        start: counts its starts from 0.
        pid, started, boot: its process; pid None: it was about to be started.
        began_at, ended_at: seconds since the epoch.
        failures: failed starts in a row. trouble: why the last of them failed.
        is_waiting: its last end was judged; it is to be started again.
        end: COMPLETED or REMOVED, once it has ended for good. error: why it failed.
        held: why it is held: nothing is started until it is released.
        is_asked: it was asked to end, so that its end says nothing of it.
        is_leaving: it is being removed.
    """

    start: int = 0
    pid: int | None = None
    started: int = 0
    boot: str = ""
    began_at: float = 0.0
    failures: int = 0
    trouble: str | None = None
    is_waiting: bool = False
    end: str | None = None
    ended_at: float = 0.0
    error: str | None = None
    held: str | None = None
    is_asked: bool = False
    is_leaving: bool = False

    @property
    def is_over(self) -> bool:
        """Is nothing of it to be started, as things are?"""
        return self.end is not None or self.held is not None or self.is_leaving


class ExitFile(msgspec.Struct, frozen=True):
    """The part of a worker's exit.json that concerns the agent. `exit_code`: its exit status. `why`: one line."""

    exit_code: int | None = None
    why: str = ""


class ClusterFolder:
    """One cluster on disk. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def enrol_file(self) -> Path:
        return self.path / "enrol.json"

    @property
    def inputs(self) -> Path:
        return self.path / "inputs"

    def proc(self, number: int) -> Path:
        """The folder of one worker."""
        return self.path / "procs" / str(number)

    def read(self) -> ClusterFile:
        """Raises msgspec.DecodeError when it is damaged."""
        return msgspec.json.decode((self.path / "cluster.json").read_bytes(), type=ClusterFile)

    def read_proc(self, number: int) -> ProcFile | None:
        """None: it was never started. A damaged one counts as started often, so that the next start has a number of its own."""
        try:
            return msgspec.json.decode((self.proc(number) / "proc.json").read_bytes(), type=ProcFile)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return ProcFile(start=1_000_000)

    def write_proc(self, number: int, state: ProcFile) -> None:
        """Not synced: a power cut ends the process too, and a new boot is recognised."""
        self.proc(number).mkdir(mode=0o700, exist_ok=True)
        write_file(self.proc(number) / "proc.json", msgspec.json.encode(state), sync=False)

    def prepare_start(self, number: int) -> Path:
        """Make the worker's folder and take away the last start's exit.json."""
        folder = self.proc(number)
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "exit.json").unlink(missing_ok=True)
        return folder

    def find_exit(self, number: int) -> ExitFile | None:
        """What the worker wrote at its end, if it did."""
        try:
            return msgspec.json.decode((self.proc(number) / "exit.json").read_bytes(), type=ExitFile)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def has_worked(self, number: int, start: int) -> bool:
        """Did this start of the worker hand in an attempt?"""
        try:
            return (self.proc(number) / WORKED).read_text(encoding="ascii", errors="replace") == str(start)
        except OSError:
            return False

    def read_last_words(self, number: int) -> str:
        """The last line that the worker wrote to stderr, or nothing."""
        try:
            with (self.proc(number) / "stderr").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - SAID_BYTES))
                lines = file.read().decode(errors="replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((read_said(line) for line in reversed(lines) if line.strip()), "")

    def mark(self, name: str) -> None:
        """Put a mark that survives a crash."""
        write_file(self.path / name, b"")

    def unmark(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def has_mark(self, name: str) -> bool:
        return (self.path / name).exists()


def read_said(line: str) -> str:
    """What a line of a log says. Of a worker's JSON line the time is left out, so that equal causes have equal texts."""
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line.strip()
    if not isinstance(said, dict):
        return line.strip()
    what = str(said.pop("what", ""))
    for name in ("at", "left_out"):
        said.pop(name, None)
    details = ", ".join(f"{name} {value}" for name, value in said.items())
    return ": ".join(part for part in (what, details) if part)


class PoolFolder:
    """The folder of all clusters. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clusters = path / "clusters"
        self._ended = path / "ended"

    def open(self) -> tuple[list[ClusterFolder], list[Path]]:
        """Make the folders, clear up what a crash left half made, and list the clusters, and those moved aside as damaged."""
        for folder in (self._clusters, self._ended):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

        def read(path: Path) -> ClusterFolder:
            folder = ClusterFolder(path)
            folder.read()
            return folder

        return take_over_folders(self._clusters, read, damaged=lambda name: self._ended / f"damaged-{name}")

    def make(
        self, spec: ClusterSpec, *, tag: str, inputs: Sequence[Path] = EVERYWHERE
    ) -> tuple[ClusterFolder, ClusterFile]:
        """Make a cluster: it is there, durable and whole, or not at all.

        Args:
            inputs: folders from which input files may be taken.

        Raises RejectedError for input files that cannot be read, or not be taken, ConflictError for a tag that is taken.
        """
        files = {given: resolve_input(given, allowed=inputs) for given in spec.input_files}
        for given, file in files.items():
            if not os.access(file, os.R_OK):
                raise RejectedError(f"input_files: {given!r} is missing or not readable at this access point")
        place = self._clusters / tag
        if place.exists():
            raise ConflictError(f"cluster {tag} exists")
        made = ClusterFile(
            self._take_number(), tag, spec.n_workers, spec.fence, dict(spec.environment), list(spec.argv)
        )
        draft = ClusterFolder(self._clusters / f"{TEMPORARY}{tag}")
        with removed_on_error(draft.path):
            (draft.path / "procs").mkdir(mode=0o700, parents=True)
            draft.path.chmod(0o700)
            draft.inputs.mkdir(mode=0o700)
            for given, file in files.items():
                (draft.inputs / Path(given).name).symlink_to(file)
            write_file(draft.enrol_file, json.dumps({"taskforce": tag, "secret": spec.secret}).encode())
            write_file(draft.path / "cluster.json", msgspec.json.encode(made))
            draft.path.rename(place)
        sync_folder(self._clusters)
        return ClusterFolder(place), made

    def read_logs(self, tag: str, proc: int) -> list[WorkerLog]:
        """What a worker has written. Raises NotFoundError for one that is not, or no more, known here."""
        for place in (self._clusters, self._ended):
            found = ClusterFolder(place / tag)
            if found.path.parent != place or tag.startswith(".") or not found.path.is_dir():
                continue
            if not 0 <= proc < (n_workers := found.read().n_workers):
                raise NotFoundError(f"the workers of {tag} are 0 to {n_workers - 1}")
            ends = (read_end(found.proc(proc) / name, name) for name in ("stdout", "stderr"))
            return [one for one in ends if one is not None]
        raise NotFoundError(f"nothing is kept here of what workers of {tag[:100]} wrote")

    def drop(self, cluster: ClusterFolder) -> None:
        """Take a cluster away, keeping the outputs of its workers among the ended ones, the newest only."""
        cluster.enrol_file.unlink(missing_ok=True)
        place = self._ended / cluster.path.name
        if place.exists():
            shutil.rmtree(place)
        cluster.path.rename(place)
        sync_folder(self._clusters)
        ended = sorted(self._ended.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in ended[ENDED_KEPT:]:
            shutil.rmtree(old)

    def _take_number(self) -> int:
        """Numbers of a folder go up and are never given twice; those of two folders rarely meet, as each begins somewhere else."""
        path = self.path / "next-cluster"
        with (self.path / "next-cluster.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            number = int(path.read_text()) if path.exists() else 1000 * (1 + secrets.randbelow(1_000_000))
            write_file(path, str(number + 1).encode())
        return number
