"""Where are the images of an execution point? In one folder, made once for all workers of a user, whoever comes first."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Callable, Iterator, Sequence

from muster.worker.child import ExecutionPointError

FRESH_S = 3600.0
"""Seconds for which an image that is named without its digest is taken for the one of that name."""

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True)
class Ran:
    """What came of a program."""

    status: int
    stdout: str
    stderr: str


Run = Callable[[Sequence[str]], Ran]
"""Runs a program to its end."""


def default_folder() -> str:
    """Where a user's images are, unless a setting says otherwise: on this machine's own disk, kept beyond a reboot."""
    base = "/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()  # noqa: S108 - the folder in it is private
    return f"{base}/muster-images-{os.getuid()}"


class ImageStore:
    """Unpacked images by their names. For several workers at once; methods raise ExecutionPointError when the disk will not have it."""

    def __init__(self, folder: str, *, is_over: threading.Event, clock: Callable[[], float] = time.time) -> None:
        """`is_over`: nobody waits for an image any more."""
        self._folder = folder
        self._is_over = is_over
        self._clock = clock

    def find_or_make(self, name: str, make: Callable[[str], None]) -> str:
        """The place of an image. `make` puts it into a folder that does not exist yet, if there is none, or it has grown old."""
        with self.lock(name):
            place = f"{self._folder}/{_slug(name)}"
            old = self._find_newest(place)
            if old is not None and (_DIGEST.search(name) or self._clock() - os.stat(old).st_mtime < FRESH_S):
                return old
            new = f"{place}.{int(self._clock() * 1000):x}"
            draft = f"{new}.draft"
            try:
                make(draft)
                os.utime(draft, (self._clock(), self._clock()))
                os.rename(draft, new)
            except OSError as error:
                raise ExecutionPointError(f"{error.filename}: {error.strerror}") from None
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            return new

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One worker at a time has to do with this image; it goes with the process."""
        try:
            self._make_private()
            descriptor = os.open(f"{self._folder}/{_slug(name)}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ExecutionPointError(f"{error.filename or self._folder}: {error.strerror}") from None
        try:
            self._await_turn(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _await_turn(self, descriptor: int) -> None:
        while not _try_lock(descriptor):
            if self._is_over.wait(0.1):
                raise ExecutionPointError("the worker ends before its image is ready")

    def _make_private(self) -> None:
        """What lies in it is run: nobody else may have put it there."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        found = os.lstat(self._folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise ExecutionPointError(f"{self._folder}: is not a folder of this user's alone, so no image of it is run")

    def _find_newest(self, place: str) -> "str | None":
        begin = os.path.basename(place) + "."
        made = [
            one
            for one in os.listdir(self._folder)
            if one.startswith(begin) and re.fullmatch(r"[0-9a-f]+", one[len(begin) :])
        ]
        return f"{self._folder}/{max(made, key=lambda one: int(one[len(begin) :], 16))}" if made else None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _slug(name: str) -> str:
    """A name for files: readable, and never another image's."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[-80:]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
