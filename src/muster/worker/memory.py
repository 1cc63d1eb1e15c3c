"""Do the tasks stay within the worker's memory? Looked at now and then, over all that came of them; the largest is stopped where not.

Pools that watch a worker kill all of it, and an event that did nothing counts an attempt. Here it costs the one that took the memory.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Set

from muster.worker.mounts_in_memory import measure_files_in_memory
from muster.worker.procfs import find_descendants, list_processes
from muster.worker.watched import WatchList

LOOK_S = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Use:
    """Memory of one task, in bytes. `total`: with `files`, which are in its container's own /tmp and the like."""

    total: int
    files: int


class MemoryGuard(threading.Thread):
    """Watches the processes of all slots.

    Args:
        limit_bytes: for all of them together; 0: any number, and they are looked at only.
        watched: the tasks at work.
    """

    def __init__(self, limit_bytes: int, watched: WatchList) -> None:
        super().__init__(name="memory", daemon=True)
        self._limit_bytes = limit_bytes
        self._watched = watched
        self._is_over = threading.Event()

    def stop(self) -> None:
        """No more looks."""
        self._is_over.set()

    def run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Stop the largest task, if all together have more than they may."""
        watched = list(self._watched.list())
        if not watched:
            return
        trees = _find_trees(watched)
        files = {pid: measure_files_in_memory(tree) for pid, tree in trees.items()}
        resident = {pid: files[pid] + sum(map(_read_resident, tree)) for pid, tree in trees.items()}
        self._note_peaks(trees, resident, files)
        if not self._limit_bytes or sum(resident.values()) <= self._limit_bytes:
            return
        # What several processes share was counted for each; now it is divided, which takes longer to find out.
        used = {pid: _measure(tree, files[pid]) for pid, tree in trees.items()}
        together = sum(use.total for use in used.values())
        if together <= self._limit_bytes:
            return
        largest = max(watched, key=lambda pid: used[pid].total)
        text = _explain(used[largest], together, self._limit_bytes, n_tasks=len(watched))
        self._watched.stop(largest, "memory", text)

    def _note_peaks(self, trees: Mapping[int, Set[int]], resident: Mapping[int, int], files: Mapping[int, int]) -> None:
        for pid, size in resident.items():
            if size > self._watched.find_peak(pid):
                # As above: only one of several processes shares anything.
                own = size if len(trees[pid]) == 1 and not files[pid] else _measure(trees[pid], files[pid]).total
                self._watched.note_peak(pid, own)


def _explain(own: Use, together: int, limit: int, *, n_tasks: int) -> str:
    notes = []
    if own.files > own.total // 10:
        notes.append(f"{render_bytes(own.files)} for files in /tmp, $HOME or /dev/shm")
    if n_tasks > 1:
        notes.append(f"{render_bytes(together)} with the other slots' tasks")
    used = render_bytes(own.total) + "".join(f", {note}" for note in notes) + ("," if notes else "")
    return f"[Memory-Error] it used {used} of the worker's {render_bytes(limit)} (worker_memory)"


def render_bytes(size: float) -> str:
    """A size for people."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.3g} {_UNITS[unit]}" if size < 1000 else f"{size:.0f} {_UNITS[unit]}"


def _measure(tree: Iterable[int], files: int) -> Use:
    """What a task uses. Files that its processes have mapped are in the share of these as well: they count once."""
    shares = [_read_share(pid) for pid in tree]
    mapped = sum(share.files for share in shares)
    return Use(sum(share.total for share in shares) + max(0, files - mapped), files)


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


def _read_share(pid: int) -> Use:
    """The same, what it shares divided among those that do; and how much of it are files in memory, or shared like these."""
    total = files = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    total = int(line.split()[1]) * 1024
                elif line.startswith(b"Pss_Shmem:"):
                    files = int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return Use(_read_resident(pid), 0)  # a kernel before 4.14, or a process that has changed its user
    return Use(total, files)
