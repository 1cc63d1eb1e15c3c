"""Where are the images of an execution point? In one folder, made once for all workers of a user, whoever comes first.

<name>-<hash>.<time>/     an unpacked image; a newer one of the same name takes its place, and it stays while it is used
<name>-<hash>.<time>.use  held (shared) by each worker that uses it, as long as it lives; its time is when the last one came
<name>-<hash>.lock        held by the worker that is looking for it, unpacks it or removes it
"""

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
from typing import Callable, Dict, Iterator, Optional, Sequence

from muster.worker.child import ExecutionPointError
from muster.worker.folders import remove_tree

FRESH_S = 3600.0
"""Seconds for which an image that is named without its digest is taken for the one of that name."""

_USE = ".use"
_IMAGE = re.compile(r"(?P<slug>.+-[0-9a-f]{16})\.[0-9a-f]+(?P<half>\.draft|\.gone)?")
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

    def __init__(
        self,
        folder: str,
        *,
        is_over: threading.Event,
        kept_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            is_over: nobody waits for an image any more.
            kept_s: how long after its last worker came an image stays; 0: for ever.
        """
        self._folder = folder
        self._is_over = is_over
        self._kept_s = kept_s
        self._clock = clock
        self._uses: Dict[str, int] = {}

    def find_or_make(self, name: str, make: Callable[[str], None]) -> str:
        """The place of an image, which stays as long as this process.

        `make` puts it into a folder that does not exist yet, if there is none, or it has grown old.
        """
        with self.lock(name):
            place = f"{self._folder}/{_slug(name)}"
            old = self._find_newest(place)
            if old is not None and (_DIGEST.search(name) or self._clock() - os.stat(old).st_mtime < FRESH_S):
                return self._use(old)
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
            return self._use(new)

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

    def remove_old_meanwhile(self) -> None:
        """The same as `remove_old`, while the worker goes on."""
        if self._kept_s:
            threading.Thread(target=self.remove_old, name="images", daemon=True).start()

    def remove_old(self) -> None:
        """Delete images that no worker uses or has used for long, and what workers that died over one have left.

        What cannot be deleted stays.
        """
        with contextlib.suppress(OSError):
            names = set(os.listdir(self._folder))
            slugs = {found.group("slug") for found in map(_IMAGE.fullmatch, names) if found}
            for slug in sorted(
                slug for slug in slugs if f"{slug}.lock" in names
            ):  # else it only looks like one of ours
                self._remove_old_of(slug)

    def _remove_old_of(self, slug: str) -> None:
        with _hold(f"{self._folder}/{slug}.lock") as is_ours:
            if not is_ours:
                return  # somebody has to do with it just now
            newest = self._find_newest(f"{self._folder}/{slug}")
            for name in os.listdir(self._folder):
                found, path = _IMAGE.fullmatch(name), f"{self._folder}/{name}"
                if found is None or found.group("slug") != slug:
                    continue
                if found.group("half"):
                    remove_tree(path)
                elif self._is_old(path, newest):
                    self._remove_unused(path)

    def _is_old(self, path: str, newest: Optional[str]) -> bool:
        """Nobody takes one that is not the newest any more, though a worker of before, which held nothing, may have it still."""
        if path != newest and os.path.exists(path + _USE):
            return True
        return self._clock() - self._find_last_use(path) > self._kept_s

    def _remove_unused(self, path: str) -> None:
        with _hold(path + _USE) as is_ours:
            if is_ours:
                os.rename(path, f"{path}.gone")  # at once and whole, for whoever looks for it after us
                remove_tree(f"{path}.gone")
                os.unlink(path + _USE)

    def _find_last_use(self, path: str) -> float:
        try:
            return os.stat(path + _USE).st_mtime
        except FileNotFoundError:
            return os.stat(path).st_mtime  # one of before

    def _use(self, place: str) -> str:
        """Hold an image. Nobody removes it meanwhile: that takes the lock that we have."""
        try:
            if place not in self._uses:
                descriptor = os.open(place + _USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                self._uses[place] = descriptor
            os.utime(place + _USE, (self._clock(), self._clock()))
        except OSError as error:
            raise ExecutionPointError(f"{error.filename or place}: {error.strerror}") from None
        return place

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

    def _find_newest(self, place: str) -> Optional[str]:
        begin = os.path.basename(place) + "."
        made = [
            one
            for one in os.listdir(self._folder)
            if one.startswith(begin) and re.fullmatch(r"[0-9a-f]+", one[len(begin) :])
        ]
        return f"{self._folder}/{max(made, key=lambda one: int(one[len(begin) :], 16))}" if made else None


@contextlib.contextmanager
def _hold(path: str) -> Iterator[bool]:
    """Lock a file for ourselves, if nobody else has it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _slug(name: str) -> str:
    """A name for files: readable, and never another image's."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[-80:]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
