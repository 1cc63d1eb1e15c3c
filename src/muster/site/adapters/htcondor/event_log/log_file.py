"""How far is one file read, and is it still the file that it was?

A file is its inode, kept open: it stays readable when it is renamed or deleted, and shadows go on writing into it (htcondor-notes.md 8).
Only whole events are taken out. What is behind the last terminator is not kept in memory but read again when the file has grown.
"""

import errno
import os
import stat
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

from muster.site.adapters.htcondor.event_log.split import TERMINATOR, Damage, find_next_header

BLOCK_BYTES = 1 << 18  # its events fit into the cache of a core
EVENT_BYTES_MAX = 4 << 20
"""More than this without a terminator is no event: one is a few kilobytes."""
HEAD_BYTES = 256
MARK_BYTES = 1024
_HEADER_BYTES = 256  # of what is passed over the end may be the beginning of a header


class Condition(Enum):
    """What happened to a file since it was read last."""

    UNCHANGED = auto()
    GROWN = auto()
    CUT = auto()  # its end is gone
    EDITED = auto()  # it begins as it did, but what was read is not what is there
    REPLACED = auto()  # something else was written into it, from its beginning


class LogFile:
    """One inode.

    Args:
        descriptor: open for reading; closed by `close`.
        offset: bytes from the beginning that were read: whole events.
        head: the first bytes of what was read, at most `HEAD_BYTES`.
        mark: the last bytes of what was read, at most `MARK_BYTES`. Times and ids make it unlike any other place.
    """

    def __init__(self, descriptor: int, *, offset: int = 0, head: bytes = b"", mark: bytes = b"") -> None:
        self._descriptor = descriptor
        self.inode = os.fstat(descriptor).st_ino
        self.offset = offset
        self.head = head
        self.mark = mark
        self._seen = self._now = (-1, -1)

    @classmethod
    def open(cls, path: Path) -> "LogFile":
        """Open a file, unread. Raises OSError, also for what is no regular file."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for whoever writes
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return cls(descriptor)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)

    def inspect(self) -> Condition:
        """What happened to it since the last look?"""
        status = os.fstat(self._descriptor)
        self._now = (status.st_size, status.st_mtime_ns)
        if self._now == self._seen:
            return Condition.UNCHANGED
        if status.st_size >= self.offset:
            if self.holds(self.offset, self.mark):
                return Condition.GROWN
            return Condition.EDITED if self.begins_with(self.head) else Condition.REPLACED
        return Condition.CUT if self.begins_with(self.head[: status.st_size]) else Condition.REPLACED

    def begins_with(self, head: bytes) -> bool:
        """Are these its first bytes?"""
        return os.pread(self._descriptor, len(head), 0) == head

    def holds(self, offset: int, mark: bytes) -> bool:
        """Do these bytes end at an offset?"""
        return os.pread(self._descriptor, len(mark), offset - len(mark)) == mark

    def rest(self) -> None:
        """All was read that was there at the last look."""
        self._seen = self._now

    def look_again(self) -> None:
        """There is more to read than was read: the next look finds it grown."""
        self._seen = (-1, -1)

    def start_over(self) -> None:
        """Read it again from its beginning."""
        self.offset, self.head, self.mark = 0, b"", b""

    def go_to_end(self) -> None:
        """Go on behind what is there now."""
        self.go_to(os.fstat(self._descriptor).st_size)

    def go_to(self, offset: int) -> None:
        """Go on at an offset; what is before it counts as read."""
        self.offset = offset
        self.head = os.pread(self._descriptor, min(offset, HEAD_BYTES), 0)
        self.mark = os.pread(self._descriptor, min(offset, MARK_BYTES), max(0, offset - MARK_BYTES))

    def read_blocks(self) -> Iterator[tuple[int, bytes | Damage]]:
        """What can be read now, a block at a time: where it begins, and events, or what is passed over.

        Behind the last whole event of a block there may be more: it is given again with the next one.
        """
        wanted = BLOCK_BYTES
        while True:
            data = os.pread(self._descriptor, wanted, self.offset)
            end = data.rfind(TERMINATOR)
            begin = self.offset
            if end >= 0:
                self._advance(data, end + len(TERMINATOR))
                yield begin, data
                if len(data) < wanted:
                    return
                wanted = BLOCK_BYTES
            elif len(data) < wanted:
                return
            elif wanted < EVENT_BYTES_MAX:
                wanted = EVENT_BYTES_MAX
            else:
                header = find_next_header(data)
                skipped = header if header > 0 else len(data) - _HEADER_BYTES
                self._advance(data, skipped)
                yield begin, Damage(begin, skipped, "no end of an event")

    def _advance(self, data: bytes, taken: int) -> None:
        if len(self.head) < HEAD_BYTES and self.offset == len(self.head):
            self.head = (self.head + data[: min(taken, HEAD_BYTES)])[:HEAD_BYTES]
        self.mark = (self.mark + data[max(0, taken - MARK_BYTES) : taken])[-MARK_BYTES:]
        self.offset += taken
