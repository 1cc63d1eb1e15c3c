"""What does the agent keep on disk of the clusters it placed? A folder for each, there before HTCondor hears of it.

taskforces/<tag>/cluster.json          what was asked for
                 submit.json           the submit description
                 placed.json           its number, once HTCondor has said it
                 muster-settings.json  0600: what its workers are told
                 muster-enrol.json     0600: the enrolment secret
                 muster-inputs         names of the user's input files, a line each
                 inputs/<name>         a link to an input file that has another name where it lies
                 muster-worker.pyz     the worker, a link to the one in bundles/
                 launch.sh             what HTCondor runs
                 events.log            HTCondor's job event log, of this cluster alone
                 checkpoint            how far that was read
                 outputs/<proc>.err    what a worker printed that failed
ended/<tag>.<cluster>/                 log and outputs of a cluster that is over and was told of; see `keeping`
forgotten/<tag>.json                   the numbers of such clusters

A cluster whose folder is there and whose number is not is in doubt: it was to be submitted, and nobody knows whether it was.
"""

import contextlib
import gzip
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import msgspec

from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.site.adapters.durable import (
    TEMPORARY,
    removed_on_error,
    sync_files,
    sync_folder,
    take_over_folders,
    write_file,
)
from muster.site.adapters.htcondor import launcher
from muster.site.adapters.htcondor.describe import is_tag
from muster.site.adapters.input_files import EVERYWHERE, is_below, resolve_input
from muster.site.adapters.log_ends import PACKED
from muster.site.ports.pool import ClusterSpec


class ClusterFile(msgspec.Struct, frozen=True):
    """cluster.json.

    Args:
        input_files: what HTCondor is to bring: absolute paths.
        submitted_after: seconds since the epoch; nothing was submitted before.
        log: the job event log, where it is not in this folder: another folder's cluster was taken up.
        schedd: the one that has it, as it calls itself; empty: it was not written down.
        lacking: paths of what its workers need and nobody can make again: its folder was damaged, or lost.
    """

    tag: str
    n_workers: int
    fence: int
    input_files: list[str]
    submitted_after: float
    log: str = ""
    schedd: str = ""
    lacking: list[str] = []


class PlacedFile(msgspec.Struct, frozen=True):
    """placed.json.

    Args:
        is_removing: it was to be removed; nothing of it is started again.
        gone_at: when its last proc ended, seconds since the epoch, once it was seen that nothing of it is in the queue.
        given_up: procs that were given up, by reason.
        is_held_whole: somebody holds all of it, also what HTCondor has not made of it yet.
    """

    cluster: int
    is_removing: bool = False
    gone_at: float | None = None
    given_up: dict[str, int] = {}
    is_held_whole: bool = False


@dataclass(frozen=True)
class Workers:
    """What every worker of a pool is told.

    Args:
        settings: by variable.
        bundle: the worker's file, on the same disk as the clusters' folders.
        site: what they call their site where glide-ins do not name it.
        hidden: paths that isolated tasks do not see.
        ca_file: certificates of a private authority that they are to trust.
        private: files and folders of the agent that are nobody's input.
        inputs: folders from which input files may be taken.
    """

    settings: Mapping[str, str]
    bundle: Path
    site: str = ""
    hidden: Sequence[str] = ()
    ca_file: Path | None = None
    private: Sequence[Path] = ()
    inputs: Sequence[Path] = EVERYWHERE


class Forgotten(msgspec.Struct, frozen=True):
    """forgotten/<tag>.json: the numbers that clusters of this tag had."""

    clusters: list[int]


class TaskforceFolder:
    """One cluster on disk. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        return self.path / "events.log"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def outputs(self) -> Path:
        return self.path / "outputs"

    @property
    def inputs(self) -> Path:
        return self.path / "inputs"

    @property
    def launcher(self) -> Path:
        return self.path / "launch.sh"

    def read(self) -> ClusterFile:
        """Raises msgspec.DecodeError when it is damaged."""
        return msgspec.json.decode((self.path / "cluster.json").read_bytes(), type=ClusterFile)

    def find_n_workers(self) -> int:
        """Of one that is over, and may be compressed by now."""
        path = self.path / "cluster.json"
        packed = path.with_name(f"{path.name}{PACKED}")
        raw = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
        return msgspec.json.decode(raw, type=ClusterFile).n_workers

    def note_asked(self, asked: ClusterFile) -> None:
        """Durable on return."""
        write_file(self.path / "cluster.json", msgspec.json.encode(asked))

    def note_description(self, description: Mapping[str, str]) -> None:
        """What the schedd is told. Not synced: for people."""
        write_file(self.path / "submit.json", msgspec.json.encode(description), sync=False)

    def read_description(self) -> dict[str, str]:
        """What the schedd was told; nothing where that is not known."""
        try:
            return msgspec.json.decode((self.path / "submit.json").read_bytes(), type=dict[str, str])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def find_placed(self) -> PlacedFile | None:
        """None: in doubt. A damaged one is in doubt, too: the schedd knows."""
        try:
            return msgspec.json.decode((self.path / "placed.json").read_bytes(), type=PlacedFile)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def note_placed(self, placed: PlacedFile) -> None:
        """Durable on return."""
        write_file(self.path / "placed.json", msgspec.json.encode(placed))

    def list_transferred(self, input_files: Sequence[str]) -> list[str]:
        """What HTCondor brings into a worker's folder."""
        own = [launcher.BUNDLE, launcher.SETTINGS, launcher.ENROL, launcher.INPUTS, launcher.CA]
        return [*(str(self.path / name) for name in own if (self.path / name).exists()), *input_files]


class PoolFolder:
    """The folder of all of them. Methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taskforces = path / "taskforces"
        self._forgotten = path / "forgotten"
        self._damaged = path / "damaged"
        self.ended = path / "ended"

    def open(self) -> tuple[list[TaskforceFolder], list[Path]]:
        """Make the folders, clear up what a crash left half made, and list the clusters, and those moved aside as damaged."""
        for folder in (self._taskforces, self._forgotten, self._damaged, self.ended):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

        def read(path: Path) -> TaskforceFolder:
            folder = TaskforceFolder(path)
            folder.read()
            return folder

        return take_over_folders(self._taskforces, read, damaged=lambda name: self._damaged / name)

    def peek(self) -> list[tuple[ClusterFile, PlacedFile | None]]:
        """What is there, and can be read by this user; nothing is made or moved."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted(self._taskforces.iterdir()):
                with contextlib.suppress(OSError, msgspec.DecodeError):
                    found.append((TaskforceFolder(path).read(), TaskforceFolder(path).find_placed()))
        return found

    def make(self, spec: ClusterSpec, *, tag: str, schedd: str, workers: Workers, now: float) -> TaskforceFolder:
        """Make a cluster's folder: it is there, durable and whole, or not at all.

        Args:
            schedd: to which it goes.
            workers: what all workers are told; no variable of the user's replaces theirs.
            now: seconds since the epoch.

        Raises RejectedError for input files that cannot be read or not be transferred, ConflictError for a tag that is taken.
        """
        if not is_tag(tag):
            raise RejectedError(f"{tag[:200]!r} is no tag for a cluster: letters, digits, '.', '_' and '-' only")
        inputs = _resolve_inputs(spec.input_files, workers.inputs, [*workers.private, self.path])
        place = self._taskforces / tag
        if place.exists():
            raise ConflictError(f"cluster {tag} exists")
        draft = TaskforceFolder(self._taskforces / f"{TEMPORARY}{tag}")
        with removed_on_error(draft.path):
            draft.path.mkdir(mode=0o700, parents=True)
            draft.outputs.mkdir(mode=0o700)
            brought = _link_inputs(draft, TaskforceFolder(place), inputs)
            made = ClusterFile(tag, spec.n_workers, spec.fence, brought, now, schedd=schedd)
            write_file(draft.path / "cluster.json", msgspec.json.encode(made), sync=False)
            settings = {**spec.environment, **workers.settings}
            write_file(draft.path / launcher.SETTINGS, json.dumps(settings).encode(), sync=False)
            enrolment = json.dumps({"taskforce": tag, "secret": spec.secret})
            write_file(draft.path / launcher.ENROL, enrolment.encode(), sync=False)
            if inputs:
                names = "".join(f"{name}\n" for name in inputs)
                write_file(draft.path / launcher.INPUTS, names.encode(), sync=False)
            write_file(draft.launcher, launcher.render_launcher(workers.site, workers.hidden).encode(), sync=False)
            draft.launcher.chmod(0o700)
            (draft.path / launcher.BUNDLE).hardlink_to(workers.bundle)
            if workers.ca_file is not None:
                write_file(draft.path / launcher.CA, workers.ca_file.read_bytes(), sync=False)
            sync_files(draft.path)
            draft.path.rename(place)
        sync_folder(self._taskforces)
        return TaskforceFolder(place)

    def adopt(
        self, asked: ClusterFile, placed: PlacedFile, *, repair: Callable[[TaskforceFolder, Path], None]
    ) -> TaskforceFolder:
        """Make the folder of a cluster that is in the queue already; what was moved aside of it as damaged comes back.

        Args:
            repair: makes again what the folder lacks that is to be at this path.

        Raises RejectedError for a tag that is no name.
        """
        if not is_tag(asked.tag):
            raise RejectedError(f"{asked.tag[:200]!r} is no tag for a cluster: letters, digits, '.', '_' and '-' only")
        place = TaskforceFolder(self._taskforces / asked.tag)
        damaged = (
            None if place.path.exists() else self._find_damaged(asked.tag)
        )  # it is there where an adoption was cut off
        draft = (
            place if place.path.exists() else TaskforceFolder(damaged or self._taskforces / f"{TEMPORARY}{asked.tag}")
        )
        draft.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.outputs.mkdir(mode=0o700, exist_ok=True)
        draft.checkpoint.unlink(missing_ok=True)  # whoever opens a folder deletes what a crash left half made
        write_file(draft.path / "cluster.json", msgspec.json.encode(asked), sync=False)
        write_file(draft.path / "placed.json", msgspec.json.encode(placed), sync=False)
        repair(draft, place.path)
        sync_files(draft.path)
        draft.path.rename(place.path)
        sync_folder(self._taskforces)
        return place

    def _find_damaged(self, tag: str) -> Path | None:
        """Where the folder of a tag was moved to, the last time."""
        found = [path for path in self._damaged.glob(f"{tag}-*") if path.name.rpartition("-")[0] == tag]
        return max(found, key=lambda path: path.stat().st_ctime, default=None)

    def discard(self, folder: TaskforceFolder) -> None:
        """Take away the folder of a cluster that was never submitted."""
        shutil.rmtree(folder.path, ignore_errors=True)
        sync_folder(self._taskforces)

    def forget(self, folder: TaskforceFolder, cluster: int) -> None:
        """Note that a cluster is over, then put its log and what its workers printed among the ended ones. Secrets are not kept."""
        tag = folder.path.name
        numbers = self.list_forgotten(tag)
        if cluster not in numbers:
            write_file(self._forgotten / f"{tag}.json", msgspec.json.encode(Forgotten([*numbers, cluster])))
        for name in (launcher.ENROL, launcher.SETTINGS, launcher.BUNDLE, launcher.CA, "checkpoint"):
            (folder.path / name).unlink(missing_ok=True)
        place = self.ended / f"{tag}.{cluster}"
        if place.exists():
            shutil.rmtree(place)
        folder.path.rename(place)
        sync_folder(self._taskforces)

    def find_ended(self, tag: str) -> tuple[TaskforceFolder, int]:
        """What is kept of the last cluster with this tag that is over, and its number. Raises NotFoundError."""
        numbers = sorted(self.list_forgotten(tag), reverse=True) if is_tag(tag) else ()
        for number in numbers:
            if (place := self.ended / f"{tag}.{number}").is_dir():
                return TaskforceFolder(place), number
        raise NotFoundError(f"nothing is kept here of what workers of {tag[:100]} wrote")

    def list_forgotten_files(self) -> Sequence[Path]:
        """Of all tags."""
        return list(self._forgotten.iterdir())

    def list_forgotten(self, tag: str) -> Sequence[int]:
        """The numbers that clusters of this tag had that were forgotten."""
        try:
            return msgspec.json.decode((self._forgotten / f"{tag}.json").read_bytes(), type=Forgotten).clusters
        except (FileNotFoundError, msgspec.DecodeError):
            return ()


def _link_inputs(draft: TaskforceFolder, place: TaskforceFolder, inputs: Mapping[str, Path]) -> list[str]:
    """Paths of the input files under the names that workers are to see: of the files themselves, or else of links that nobody can swap."""
    renamed = {name: real for name, real in inputs.items() if real.name != name}
    if renamed:
        draft.inputs.mkdir(mode=0o700)
        for name, real in renamed.items():
            (draft.inputs / name).symlink_to(real)
        sync_folder(draft.inputs)
    return [str(place.inputs / name if name in renamed else real) for name, real in inputs.items()]


def _resolve_inputs(paths: Sequence[str], allowed: Sequence[Path], private: Sequence[Path]) -> dict[str, Path]:
    """By the names that workers are to see: the files themselves."""
    found = {}
    for path in paths:
        # HTCondor reads it as the agent's user, who may read more than whoever names it here: so no folders, and nothing of the agent's.
        real = resolve_input(path, allowed=allowed)
        if is_below(real, private):
            raise RejectedError(f"input_files: {path!r} is the agent's own at this access point, and nobody's input")
        if real.exists() and not real.is_file():
            raise RejectedError(
                f"input_files: {path!r} is no regular file at this access point: name files, not folders"
            )
        name = PurePath(path).name
        if name.startswith(launcher.OWN_PREFIX) or name in (launcher.INPUT_FOLDER, launcher.WORK_FOLDER):
            raise RejectedError(f"input_files: {path!r}: names in a worker's folder may not be {name!r}: rename it")
        if name.startswith((".", "-", "_condor")) or "\n" in path:
            raise RejectedError(f"input_files: {path!r}: HTCondor keeps such names for itself: rename it")
        if not os.access(real, os.R_OK):
            raise RejectedError(f"input_files: {path!r} is missing or not readable at this access point")
        found[name] = real
    return found
