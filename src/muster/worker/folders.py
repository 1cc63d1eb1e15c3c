"""Where do a worker's tasks find and leave their files? Its data directory, one folder an attempt, the helper.

Layout and names: pilot.md section 5.1; `scratch` is ours.

<workdir>/ewms-pilot-data/data-hub/                     shared by all tasks of the worker
                          <uuid as decimal>/task-io/    infile-<uuid>.<ext>, outfile-<uuid>.<ext>
                                            scratch/    where the task starts; links to the input files
                                            outputs/    stdoutfile, stderrfile of a failed attempt
<workdir>/helper/muster/task.py                         so that `from muster import task` works
"""

from __future__ import annotations

import contextlib
import errno
import os
import pkgutil
import re
import shutil
import stat
import sys
import uuid
from collections import deque
from pathlib import Path
from typing import Callable, Deque, List, Optional, Sequence, Tuple, TypeVar, Union

from muster.worker.capture import Capture
from muster.worker.child import ExecutionPointError
from muster.worker.settings import data_folder
from muster.worker.task_files import create

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
T = TypeVar("T")
_ATTEMPT = re.compile(r"[0-9]{20,40}")


class DiskError(Exception):
    """A disk of this machine does not do. Not an OSError: where connections are at work too, one would be taken for theirs."""

    def __init__(self, number: Optional[int], text: Optional[str]) -> None:
        super().__init__(text or "the disk does not do")
        self.errno = number
        self.strerror = text


_HELPER = '''"""Lends `muster.task` to a task whose Python has no Muster; hides nothing of one that has."""

import os
import sys

__path__ = [
    *__path__,
    *(
        found
        for found in (os.path.join(folder, "muster") for folder in sys.path)
        if found not in __path__ and os.path.isfile(os.path.join(found, "__init__.py"))
    ),
]
'''


class AttemptFolder:
    """The files of one attempt, or of one warm process. Paths are texts: this is on the way of every event."""

    __slots__ = ("_extensions", "infile", "io", "links", "outfile", "outputs", "path", "scratch")

    def __init__(self, data: str, links: "Tuple[Tuple[str, str], ...]", infile_ext: str, outfile_ext: str) -> None:
        """Make the folders. Raises OSError."""
        self.path = f"{data}/{uuid.uuid4().int}"
        self.io = f"{self.path}/task-io"
        self.scratch = f"{self.path}/scratch"
        self.outputs = f"{self.path}/outputs"
        self.links = links
        self._extensions = (infile_ext, outfile_ext)
        self.rename()
        os.mkdir(self.path, 0o700)
        os.mkdir(self.io)
        os.mkdir(self.scratch)
        for link, target in links:
            os.symlink(target, f"{self.scratch}/{link}")

    def rename(self) -> None:
        """New names for the files: no two attempts have the same."""
        name = uuid.uuid4()
        self.infile = f"{self.io}/infile-{name}.{self._extensions[0]}"
        self.outfile = f"{self.io}/outfile-{name}.{self._extensions[1]}"

    @property
    def files(self) -> "Tuple[str, ...]":
        """What an attempt that does nothing unusual leaves."""
        return self.infile, self.outfile, f"{self.outfile}.kind", f"{self.outfile}.to"

    def keep_outputs(self, stdout: Capture, stderr: Capture) -> None:
        """Write down what was printed. Raises OSError."""
        os.makedirs(self.outputs, exist_ok=True)
        for name, capture in (("stdoutfile", stdout), ("stderrfile", stderr)):
            with open(f"{self.outputs}/{name}", "wb") as file:
                file.write(capture.content())

    def empty(self) -> bool:
        """Delete the files. True: the folder is as it was when it was made, and good for another attempt."""
        try:
            for path in self.files:
                _unlink(path)
            return (
                not os.listdir(self.io)
                and len(os.listdir(self.scratch)) == len(self.links)
                and all(os.path.islink(f"{self.scratch}/{link}") for link, _ in self.links)
                and stat.S_IMODE(os.stat(self.scratch).st_mode) == stat.S_IMODE(os.stat(self.io).st_mode)
            )
        except OSError:
            return False  # the task did something unusual to it

    def remove(self) -> None:
        """Delete all of it."""
        remove_tree(self.path)


class Folders:
    """The worker's data directory. Methods raise ExecutionPointError when the disk will not have it."""

    def __init__(self, workdir: Path, *, input_dir: Optional[Path], failures_kept: int, keep_all: bool = False) -> None:
        self.data = data_folder(workdir)
        self.data_hub = f"{self.data}/data-hub"
        self._helper = workdir / "helper"
        self._keep_all = keep_all
        try:
            os.makedirs(self.data_hub, mode=0o700, exist_ok=True)
            self._links = tuple(sorted(_list_inputs(input_dir))) if input_dir is not None else ()
            kept = [entry for entry in os.scandir(self.data) if _ATTEMPT.fullmatch(entry.name)]
            # What an earlier start of this worker left counts as kept.
            kept.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime)
        except OSError as error:
            raise ExecutionPointError(f"{error.filename}: {error.strerror}") from None
        self._spare: Deque[AttemptFolder] = deque()
        self.left: Sequence[str] = [entry.path for entry in kept]
        """Folders of attempts of former starts: of failures, and of what was at work when a worker was killed."""
        self._kept: Deque[str] = deque(self.left)
        self._failures_kept = failures_kept
        self._drop_old()

    @property
    def inputs(self) -> "List[str]":
        """Where the worker's input files really are."""
        return [place for _, place in self._links]

    def make(self, infile_ext: str, outfile_ext: str) -> AttemptFolder:
        """An empty folder: a new one, or one that an attempt has left as it was. A worker's attempts all have the same extensions."""
        try:
            folder = self._spare.pop()
        except IndexError:
            pass
        else:
            folder.rename()
            return folder
        try:
            return self._make(infile_ext, outfile_ext)
        except OSError as error:
            raise ExecutionPointError(f"{error.filename}: {error.strerror}") from None

    def _make(self, infile_ext: str, outfile_ext: str) -> AttemptFolder:
        try:
            return AttemptFolder(self.data, self._links, infile_ext, outfile_ext)
        except OSError as error:
            if not self._make_room(error):
                raise
        return AttemptFolder(self.data, self._links, infile_ext, outfile_ext)

    def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        try:
            try:
                _write(path, data)
            except OSError as error:
                if not self._make_room(error):
                    raise
                _write(path, data)
        except OSError as error:
            raise ExecutionPointError(f"{path}: {error.strerror}") from None

    def fill(self, fill: Callable[[], T]) -> T:
        """Have somebody write a file; once more with room made, if the disk was full. Raises DiskError: it has no room for this one."""
        try:
            return fill()
        except DiskError as error:
            if not self._make_room(error):
                raise
            return fill()

    def drop(self, path: str) -> None:
        """Delete a file, should it be there."""
        with contextlib.suppress(OSError):
            os.unlink(path)

    def clear(self, folder: AttemptFolder) -> None:
        """Delete the input and the output of a folder that goes on being used."""
        for path in folder.files:
            self.drop(path)

    def _make_room(self, error: "Union[OSError, DiskError]") -> bool:
        """On a full disk: delete what is kept of failed attempts. False: that was not the trouble, or nothing is kept."""
        if error.errno not in _FULL or self.drop_oldest_kept() is None:
            return False
        while self.drop_oldest_kept() is not None:
            pass
        return True

    def settle(self, folder: AttemptFolder, *, is_good: bool, stdout: Capture, stderr: Capture) -> None:
        """After an attempt: delete what ended well, keep what failed, of those the newest only."""
        if is_good and not self._keep_all:
            if folder.empty():
                self._spare.append(folder)
            else:
                folder.remove()
            return
        try:
            folder.keep_outputs(stdout, stderr)
        except OSError as error:
            if error.errno not in _FULL:
                raise ExecutionPointError(f"{folder.outputs}: {error.strerror}") from None
            folder.remove()  # the task has filled the disk itself, as like as not: that is its own failure, and no reason to end
            return
        if not self._keep_all:
            self._kept.append(folder.path)
            self._drop_old()

    def close(self) -> None:
        """Delete the folders that wait for another attempt."""
        while self._spare:
            self._spare.pop().remove()

    def drop_oldest_kept(self) -> Optional[str]:
        """Delete the oldest of the folders that are kept of failed attempts. Returns its path; None: there is none to be deleted."""
        if self._keep_all:
            return None
        try:
            path = self._kept.popleft()
        except IndexError:
            return None
        remove_tree(path)
        return path

    def write_helper(self) -> str:
        """Put `muster.task` where tasks can import it; returns what belongs on PYTHONPATH."""
        return self._write_helper(self._helper)

    def lend_helper(self) -> None:
        """Put it into the data hub, for those that see nothing else of this machine."""
        self._write_helper(Path(self.data_hub) / ".muster")

    def _write_helper(self, folder: Path) -> str:
        source = pkgutil.get_data("muster", "task.py")
        if source is None:
            raise ExecutionPointError("this worker carries no muster/task.py")
        package = folder / "muster"
        try:
            for place in (folder, package):
                if place.is_symlink():  # in the data hub tasks of a former start may have put one
                    place.unlink()
            package.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ExecutionPointError(f"{package}: {error.strerror}") from None
        for name, content in (("__init__.py", _HELPER.encode()), ("task.py", source)):
            # Replaced whole: tasks of an earlier start may be importing it.
            self.write(f"{package}/.{name}.new", content)
            os.replace(package / f".{name}.new", package / name)
        return str(folder)

    def _drop_old(self) -> None:
        while not self._keep_all and len(self._kept) > self._failures_kept:
            self.drop_oldest_kept()


def _write(path: str, data: bytes) -> None:
    descriptor = create(path)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def remove_tree(path: str) -> None:
    """Delete a folder with all that is in it, also what a task has made unwritable; what cannot be deleted stays."""

    def open_up(_function: Callable[..., object], failed: str, _error: object) -> None:
        for folder in (os.path.dirname(failed), failed):
            if not os.path.islink(folder) and os.path.isdir(folder):
                os.chmod(folder, 0o700)

    for _ in range(2):
        if sys.version_info >= (3, 12):
            shutil.rmtree(path, onexc=open_up)
        else:
            shutil.rmtree(path, onerror=open_up)
        if not os.path.lexists(path):
            return


def _list_inputs(folder: Path) -> "List[Tuple[str, str]]":
    """Names and places of the worker's input files; symbolic links are followed once, to where they lead."""
    if not folder.is_dir():
        return []
    return [(entry.name, os.path.realpath(entry.path)) for entry in os.scandir(folder)]
