"""Where do attempts wait that could not be handed in? On disk, one file each, so that the worker's own end does not lose them.

A file is whole or not there: written beside its place, synced, renamed, and its folder synced. What it holds is what the service would
have been sent, under a checksum. The worker's lock keeps others out of the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterable, List, Optional, Tuple

from muster.worker.log_lines import LogLines
from muster.worker.messages import Handed

COUNT_MAX = 10_000
"""Attempts on disk, at most."""
AGAIN_S = 10.0
"""Seconds until a disk that would not take one is tried again."""

_FORM = b"muster-spool-1 "
_DRAFT = ".new"
_FILE_BYTES_MAX = 32 << 20
"""More than any attempt has (`lines.RENDERED_BYTES_MAX` and what it printed)."""

Key = Tuple[str, int]


@dataclass(frozen=True)
class Left(Handed):
    """An attempt that a former start has left. `result` holds it as it was rendered then, but for usage, output (`rest`) and `final`."""

    rest: Tuple[Optional[bytes], Optional[bytes]] = (None, None)

    @property
    def has_extras(self) -> bool:
        """See `Handed.has_extras`."""
        return self.rest != (None, None) or self.is_final

    def without_extras(self) -> "Left":
        """See `Handed.without_extras`."""
        return replace(self, rest=(None, None), is_final=False)

    def render(self, *, with_usage: bool = True, with_output: bool = True) -> bytes:
        """See `Handed.render`."""
        usage, output = self.rest
        more = b',"usage":' + usage if with_usage and usage is not None else b""
        more += b',"output":' + output if with_output and output is not None else b""
        more += b',"final":true' if self.is_final else b""
        return (self.result or b"{}")[:-1] + more + b"}"


class TornError(Exception):
    """A file that is no attempt, or not the whole of one; the text says why."""


class Spool:
    """The attempts on disk. For one thread."""

    def __init__(
        self,
        folder: str,
        *,
        taskforce: str,
        bytes_max: int,
        log: LogLines,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            folder: made when it is needed.
            taskforce: whose attempts are kept here; those of another are nobody's any more.
            bytes_max: how much may be on disk, the last attempt may come on top; 0: nothing is kept.
        """
        self._folder = folder
        self._taskforce = taskforce
        self._bytes_max = bytes_max
        self._log = log
        self._clock = clock
        self._kept: Dict[Key, int] = {}
        self._size_bytes = 0
        self._failed_at: Optional[float] = None

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_full(self) -> bool:
        """No more is taken until something is let go."""
        return bool(self._bytes_max) and (self._size_bytes >= self._bytes_max or len(self._kept) >= COUNT_MAX)

    @property
    def again_at(self) -> Optional[float]:
        """When a disk that would not take an attempt is to be tried again; None: it took all."""
        return None if self._failed_at is None else self._failed_at + AGAIN_S

    def keep(self, attempts: Iterable[Handed]) -> None:
        """Put attempts on disk, those that are not there yet. What finds no room stays in memory alone, as all do otherwise."""
        new = [one for one in attempts if (one.event, one.fence) not in self._kept] if self._bytes_max else []
        if not new:
            self._failed_at = None
            return
        if self.again_at is not None and self._clock() < self.again_at:
            return
        written: List[Tuple[Key, int]] = []
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            for one in new:
                if self.is_full:
                    break
                written.append(((one.event, one.fence), self._write(one)))
                self._note_kept(*written[-1])
            _sync(self._folder)
            self._failed_at = None
        except OSError as error:
            self._failed_at = self._clock()
            self._log.tell("results cannot wait on disk", why=f"{error.filename or self._folder}: {error.strerror}")
        if written:
            self._log.tell("results wait on disk", count=len(self._kept), size_bytes=self._size_bytes)

    def let_go(self, attempts: Iterable[Handed]) -> None:
        """The service has answered for these."""
        if not self._kept:
            return
        for one in attempts:
            size_bytes = self._kept.pop((one.event, one.fence), None)
            if size_bytes is not None:
                self._size_bytes -= size_bytes
                # One that stays is handed in again by the next start, and is a duplicate then.
                with contextlib.suppress(OSError):
                    os.unlink(self._place(one.event, one.fence))

    def read(self) -> "List[Left]":
        """What former starts have left for this taskforce. The rest is deleted: drafts, torn files, another taskforce's."""
        try:
            names = sorted(os.listdir(self._folder))
        except OSError:
            return []  # there is none, as a rule
        found: List[Left] = []
        n_others = 0
        for name in names:
            path = f"{self._folder}/{name}"
            if self.is_full:
                break  # the next start finds them
            try:
                taskforce, left = _parse(_read(path))
            except TornError as error:
                if not name.endswith(_DRAFT):
                    self._log.tell("a result on disk is torn", file=name[:100], why=str(error))
            except OSError as error:
                self._log.tell("a result on disk cannot be read", file=name[:100], why=str(error.strerror))
                continue
            else:
                if taskforce == self._taskforce:
                    found.append(left)
                    self._note_kept((left.event, left.fence), len(left.render()))
                    continue
                n_others += 1
            with contextlib.suppress(OSError):
                os.unlink(path)
        if n_others:
            self._log.tell("results of another taskforce deleted", count=n_others)
        return found

    def _note_kept(self, key: Key, size_bytes: int) -> None:
        self._kept[key] = size_bytes
        self._size_bytes += size_bytes

    def _place(self, event: str, fence: int) -> str:
        return f"{self._folder}/{event.replace('/', '_')}.{fence}"

    def _write(self, one: Handed) -> int:
        rendered = one.without_extras().render()
        about = {"taskforce": self._taskforce, "event": one.event, "fence": one.fence, "outcome": one.outcome}
        usage = None if one.usage is None else one.usage.render().decode()
        output = None if one.output is None else one.output.decode()
        said = {
            **about,
            "wall_s": one.wall_s,
            "usage": usage,
            "output": output,
            "n_results": one.n_results,
            "final": one.is_final,
        }
        content = json.dumps(said).encode() + b"\n" + rendered
        place = self._place(one.event, one.fence)
        draft = place + _DRAFT
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(_FORM + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            os.replace(draft, place)
        except OSError:
            os.unlink(draft)  # it takes room that something else may need
            raise
        finally:
            os.close(descriptor)
        return len(rendered)


def _read(path: str) -> bytes:
    """A file's content; a pipe in its place is nothing to wait for. Raises OSError, TornError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TornError("it is no regular file")
        return file.read(_FILE_BYTES_MAX)


def _parse(raw: bytes) -> "Tuple[str, Left]":
    """Taskforce and attempt. Raises TornError."""
    form, _, content = raw.partition(b"\n")
    if form != _FORM + hashlib.sha256(content).hexdigest().encode():
        raise TornError("its checksum is not that of its content")
    about, _, rendered = content.partition(b"\n")
    try:
        said = json.loads(about)
        left = Left(
            event=str(said["event"]),
            fence=int(said["fence"]),
            outcome=str(said["outcome"]),
            result=rendered,
            wall_s=float(said["wall_s"]),
            rest=(_encode(said["usage"]), _encode(said["output"])),
            n_results=int(said["n_results"]),
            is_final=said.get("final") is True,
        )
        return str(said["taskforce"]), left
    except (ValueError, KeyError, TypeError) as error:
        raise TornError(f"{type(error).__name__}: {error}") from None


def _encode(text: object) -> Optional[bytes]:
    return None if text is None else str(text).encode()


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
