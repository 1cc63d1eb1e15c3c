"""Do the tasks stay within the worker's memory? Looked at now and then, over all that came of them; the largest is stopped where not.

Pools that watch a worker kill all of it, and an event that did nothing counts an attempt. Here it costs the one that took the memory.
"""

from __future__ import annotations

import os
import threading
from typing import Dict, List, Mapping, Optional, Set

from muster.worker.child import Cancel
from muster.worker.procfs import find_descendants, list_processes

LOOK_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class MemoryGuard(threading.Thread):
    """Watches the processes of all slots.

    Args:
        limit_bytes: for all of them together; 0: any number, and they are looked at only.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(name="memory", daemon=True)
        self._limit_bytes = limit_bytes
        self._watched: Dict[int, Cancel] = {}
        self._peaks: Dict[int, int] = {}
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def watch(self, pid: int, cancel: Cancel) -> None:
        """A task's process has begun. `cancel`: stops what its slot works at."""
        with self._lock:
            self._watched[pid] = cancel
            self._peaks[pid] = 0

    def take_peak(self, pid: int) -> int:
        """The most that was seen of what came of it, since it was last asked; 0: nobody has looked meanwhile."""
        with self._lock:
            peak = self._peaks.get(pid, 0)
            self._peaks[pid] = 0
            return peak

    def forget(self, pid: int) -> None:
        """It has ended."""
        with self._lock:
            self._watched.pop(pid, None)
            self._peaks.pop(pid, None)

    def stop(self) -> None:
        """No more looks."""
        self._is_over.set()

    def run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Stop the largest task, if all together have more than they may."""
        with self._lock:
            watched = list(self._watched)
        if not watched:
            return
        trees = _find_trees(watched)
        used = {pid: sum(map(_read_resident, tree)) for pid, tree in trees.items()}
        self._note_peaks(trees, used)
        if not self._limit_bytes or sum(used.values()) <= self._limit_bytes:
            return
        # What several processes share was counted for each; now it is divided, which takes longer to find out.
        used = {pid: sum(map(_read_share, tree)) for pid, tree in trees.items()}
        together = sum(used.values())
        if together <= self._limit_bytes:
            return
        largest = max(watched, key=used.__getitem__)
        with self._lock:
            if largest in self._watched:  # else it has ended, and its slot works at another event
                text = _explain(used[largest], together, self._limit_bytes, n_tasks=len(watched))
                self._watched[largest].exceed(text)

    def _note_peaks(self, trees: Mapping[int, Set[int]], used: Mapping[int, int]) -> None:
        for pid, size in used.items():
            if size > self._peaks.get(pid, size):
                # As above: only one of several processes shares anything.
                own = size if len(trees[pid]) == 1 else sum(map(_read_share, trees[pid]))
                with self._lock:
                    if pid in self._peaks:
                        self._peaks[pid] = max(self._peaks[pid], own)


def _explain(own: int, together: int, limit: int, *, n_tasks: int) -> str:
    others = "" if n_tasks == 1 else f", {render_bytes(together)} with the other slots' tasks,"
    return f"[Memory-Error] it used {render_bytes(own)}{others} of the worker's {render_bytes(limit)} (worker_memory)"


def render_bytes(size: float) -> str:
    """A size for people."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.3g} {_UNITS[unit]}" if size < 1000 else f"{size:.0f} {_UNITS[unit]}"


def find_tree(pid: int) -> Set[int]:
    """A process, and all that came of it."""
    return _find_trees([pid])[pid]


def _find_trees(pids: List[int]) -> Dict[int, Set[int]]:
    """The processes that came of each."""
    children = _read_children(pids)
    if children is None:  # a kernel without CONFIG_PROC_CHILDREN
        processes = list_processes()
        return {pid: {pid} | find_descendants({pid}, processes) for pid in pids}
    return children


def _read_children(pids: List[int]) -> "Optional[Dict[int, Set[int]]]":
    trees: Dict[int, Set[int]] = {}
    for pid in pids:
        tree, front = {pid}, [pid]
        while front:
            one = front.pop()
            try:
                tasks = os.listdir(f"/proc/{one}/task")
            except OSError:
                continue  # it has ended
            for task in tasks:
                try:
                    with open(f"/proc/{one}/task/{task}/children", "rb") as file:
                        found = [int(word) for word in file.read().split()]
                except FileNotFoundError:
                    if os.path.exists(f"/proc/{one}/task/{task}"):
                        return None
                    continue
                except OSError:
                    continue
                front += [child for child in found if child not in tree]
                tree.update(found)
        trees[pid] = tree
    return trees


def _read_resident(pid: int) -> int:
    """Bytes of a process that are in memory, what it shares with others counted whole; 0 for one that has ended."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def _read_share(pid: int) -> int:
    """The same, what it shares divided among those that do."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return _read_resident(pid)  # a kernel before 4.14, or a process that has changed its user
    return 0
