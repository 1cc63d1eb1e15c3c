"""Do the tasks stay within the worker's disk? Its data directory is measured now and then; the largest attempt is stopped where not.

What is allotted counts, as the disk sees it: holes do not, and a file with two names does once. Folders of failed attempts that are
kept for their authors make room first: they are nobody's need.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Dict, List, Set, Tuple

from muster.worker.folders import Folders
from muster.worker.memory import render_bytes
from muster.worker.watched import WatchList

LOOK_S = 5.0
SHARE_MAX = 0.05
"""Of the time, at most, goes into looking: large trees are looked at less often."""


class DiskGuard(threading.Thread):
    """Watches the data directory of one worker.

    Args:
        limit_bytes: for all of it together.
        watched: the tasks at work, with their folders.
    """

    def __init__(self, limit_bytes: int, folders: Folders, watched: WatchList) -> None:
        super().__init__(name="disk", daemon=True)
        self._limit_bytes = limit_bytes
        self._folders = folders
        self._watched = watched
        self._is_over = threading.Event()

    def stop(self) -> None:
        """No more looks."""
        self._is_over.set()

    def run(self) -> None:
        pause_s = LOOK_S
        while not self._is_over.wait(pause_s):
            began = time.monotonic()
            self.look()
            pause_s = max(LOOK_S, (time.monotonic() - began) / SHARE_MAX)

    def look(self) -> None:
        """Make room, and stop the largest task if there is still too little. Nothing grows where none is at work."""
        watched = self._watched.list()
        if not watched:
            return
        sizes = self._measure()
        together = sum(sizes.values())
        while together > self._limit_bytes and (dropped := self._folders.drop_oldest_kept()) is not None:
            together -= sizes.pop(dropped, 0)
        if together <= self._limit_bytes:
            return
        own = {pid: sizes.get(one.folder, 0) for pid, one in watched.items()}
        largest = max(own, key=own.__getitem__)
        hub = sizes.get(self._folders.data_hub, 0)
        self._watched.stop(largest, "disk", _explain(own[largest], hub, together, self._limit_bytes))

    def _measure(self) -> Dict[str, int]:
        """Bytes of each folder of the data directory."""
        seen: Set[Tuple[int, int]] = set()
        try:
            return {entry.path: measure_tree(entry.path, seen) for entry in os.scandir(self._folders.data)}
        except OSError:
            return {}


def _explain(own: int, hub: int, together: int, limit: int) -> str:
    of = f"of the worker's {render_bytes(limit)} (worker_disk)"
    if hub > limit:
        return f"[Disk-Error] the data hub alone, which the worker's tasks share, holds {render_bytes(hub)} {of}"
    others = "" if together - own < limit // 100 else f", {render_bytes(together)} with the data hub and others' files,"
    return f"[Disk-Error] it used {render_bytes(own)}{others} {of}"


def measure_tree(path: str, seen: "Set[Tuple[int, int]]") -> int:
    """Bytes that a folder, or a file, takes on its disk; what cannot be looked into, and what is mounted in it, does not count.

    `seen`: device and inode of files with several names; added to.
    """
    try:
        top = os.lstat(path)
    except OSError:
        return 0
    total = top.st_blocks * 512
    front: List[str] = [path] if os.path.isdir(path) and not os.path.islink(path) else []
    while front:
        try:
            entries = list(os.scandir(front.pop()))
        except OSError:
            continue  # gone, or closed to us
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError:
                continue
            if found.st_dev != top.st_dev:
                continue
            if found.st_nlink > 1 and not is_folder:
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
            if is_folder:
                front.append(entry.path)
    return total
