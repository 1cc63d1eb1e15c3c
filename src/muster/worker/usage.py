"""What did an attempt take of its machine? CPU and memory of all the processes that came of it, as the kernel tells.

Of those that have ended, see `spent`; one that lives on, as a warm task's does, is looked at in /proc.
"""

from __future__ import annotations

import os
import time
from typing import Optional, Set

from muster.worker.memory import find_tree
from muster.worker.messages import Usage
from muster.worker.spent import Spent

LOOK_S = 0.01
"""Seconds between two looks at a process, at least. A look takes as long as a short event, so of these several are looked at together."""
LONG_S = 0.05
"""After an event that took so long, its process is looked at again for others that came of it: what that takes is nothing beside it."""
_TICKS_A_S = os.sysconf("SC_CLK_TCK")


def make_usage(spent: Optional[Spent], *, bytes_in: int, peak_bytes: int = 0) -> Usage:
    """What an attempt took.

    Args:
        spent: None where its processes are none of ours, and nobody tells.
        peak_bytes: all of them together at the largest, as far as somebody looked.
    """
    if spent is None:
        return Usage(None, None, bytes_in)
    return Usage(spent.cpu_s, max(spent.memory_bytes, peak_bytes) or None, bytes_in)


class Meter:
    """What does a process that lives on take for each event, with all that came of it? For one thread.

    CPU times are the kernel's, in ticks of a hundredth of a second: right in the sum of many short events. What these took together, and
    the most memory that any of them had, is told of the one at whose end there was a look; of the others no memory is known.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pids: Set[int] = {pid}
        self._began = 0.0
        self._looked_at = 0.0
        self._is_fresh = False
        self.cpu_s = 0.0
        """What all of it took so far."""

    def start(self) -> None:
        """The process is ready: what it took until now is no event's."""
        self._pids = find_tree(self._pid)
        self._look()

    def begin(self) -> None:
        """An event begins."""
        self._began = time.monotonic()
        if self._is_fresh:
            self._is_fresh = False
            for pid in self._pids:
                _forget_peak(pid)

    def end(self, *, is_last: bool = False) -> Spent:
        """It has ended. `is_last`: the process gets no other."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S and not is_last:
            return Spent()
        if now - self._began > LONG_S:
            self._pids = find_tree(self._pid)
        before = self.cpu_s
        self._look()
        return Spent(max(0.0, self.cpu_s - before), max(map(_read_peak, self._pids), default=0))

    def _look(self) -> None:
        self.cpu_s = sum(map(_read_ticks, self._pids)) / _TICKS_A_S
        self._looked_at = time.monotonic()
        self._is_fresh = True


def _read_ticks(pid: int) -> int:
    """Of a process, and of those that it has awaited."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # As in `procfs.find_process`; the four times are the 14th field and those after it.
            return sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))
    except (OSError, ValueError):
        return 0


def _forget_peak(pid: int) -> None:
    """The largest size counts anew from here."""
    try:
        descriptor = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # it has ended, or the kernel does not let us: then it is the largest of its life
    try:
        os.write(descriptor, b"5")
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _read_peak(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            said = file.read()
        return int(said[said.index(b"VmHWM:") + 6 :].split(None, 1)[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 0
