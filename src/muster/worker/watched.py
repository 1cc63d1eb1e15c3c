"""Which processes of tasks are at work, and how is one stopped that takes more than it may? Looked at by the guards of memory and disk."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, Mapping

from muster.worker.child import Cancel


@dataclass(frozen=True)
class Watched:
    """One process of a task, with all that comes of it. `cancel`: stops what its slot works at. `folder`: its own, on disk."""

    cancel: Cancel
    folder: str


class WatchList:
    """The processes of all slots, by pid. For any thread."""

    def __init__(self) -> None:
        self._watched: Dict[int, Watched] = {}
        self._peaks: Dict[int, int] = {}
        self._lock = threading.Lock()

    def watch(self, pid: int, cancel: Cancel, folder: str) -> None:
        """A task's process has begun."""
        with self._lock:
            self._watched[pid] = Watched(cancel, folder)
            self._peaks[pid] = 0

    def forget(self, pid: int) -> None:
        """It has ended."""
        with self._lock:
            self._watched.pop(pid, None)
            self._peaks.pop(pid, None)

    def find_peak(self, pid: int) -> int:
        """The most memory that was seen of what came of it, since that was taken last; in bytes."""
        with self._lock:
            return self._peaks.get(pid, 0)

    def note_peak(self, pid: int, size: int) -> None:
        """So much was seen of it just now."""
        with self._lock:
            if pid in self._peaks:
                self._peaks[pid] = max(self._peaks[pid], size)

    def take_peak(self, pid: int) -> int:
        """As `find_peak`, and it begins anew; 0: nobody has looked meanwhile."""
        with self._lock:
            peak = self._peaks.get(pid, 0)
            self._peaks[pid] = 0
            return peak

    def list(self) -> Mapping[int, Watched]:
        """Those that are at work."""
        with self._lock:
            return dict(self._watched)

    def stop(self, pid: int, kind: str, text: str) -> None:
        """It takes too much: its attempt has failed for this. One that has ended meanwhile is not: its slot works at another event."""
        with self._lock:
            if pid in self._watched:
                self._watched[pid].cancel.exceed(kind, text)
