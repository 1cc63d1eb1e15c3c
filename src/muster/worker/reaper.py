"""What did a task leave running, and how is it stopped for certain?

The worker adopts what its tasks' processes leave behind (it is their subreaper). Tasks are started by the slots' threads, adopted
processes become children of the main thread: so one short file of /proc tells whether anything was left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
import time
from typing import Callable, Dict, List, Optional, Set

from muster.worker.procfs import (
    MARK,
    Process,
    find_descendants,
    find_process,
    list_processes,
    read_environment,
    read_mark,
)
from muster.worker.spent import Spent

_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN_BYTES = 1 << 16
KILL_S = 10.0
"""Seconds that killed processes may take to vanish."""
_TELL_S = 2.0
"""Seconds within which those that await killed ones tell what these took, and end."""


class Reaper:
    """Stops processes of attempts. Methods may be called by any thread."""

    def __init__(self, folder: str, *, adopts: bool) -> None:
        """
        Args:
            folder: the worker's own, which every attempt's variables name: marks alone may be another worker's, too.
            adopts: this process is the worker's own, and takes orphans in.
        """
        self._pid = os.getpid()
        self._names = b"=" + os.fsencode(folder) + b"/"  # a variable that begins with it
        self._children_file: Optional[int] = None
        self._running: Dict[str, int] = {}  # by mark: its first process
        self._spent: Dict[str, Spent] = {}  # by mark: what adopted processes of it took that were awaited
        self._found: Dict[int, str] = {}  # by process: whose it was found to be
        self._noting = threading.Lock()
        if adopts and _become_subreaper():
            try:
                self._children_file = os.open(
                    f"/proc/{self._pid}/task/{self._pid}/children", os.O_RDONLY | os.O_CLOEXEC
                )
            except FileNotFoundError:
                self._children_file = None  # a kernel without CONFIG_PROC_CHILDREN

    def note_start(self, mark: str, pid: int) -> None:
        """An attempt with this mark is at work. `pid`: its first process, the leader of a session."""
        with self._noting:
            self._running[mark] = pid

    def note_end(self, mark: str) -> Spent:
        """Its process was awaited, and what it left is gone. Returns what that took, as far as it can be told whose it was."""
        with self._noting:
            self._running.pop(mark, None)
            self._found = {pid: of for pid, of in self._found.items() if of != mark}
            return self._spent.pop(mark, Spent())

    def clear_up(self, mark: str, *, is_wrapped: bool = False) -> List[int]:
        """After an attempt's process has ended: stop what it left. Returns the pids of what would not die in time.

        `is_wrapped`: all of it dies with one that is dying already.
        """
        if is_wrapped:
            self._await_wrapping(mark)
        if self._children_file is None:
            return self.kill(mark, 0) if self._find_marked(mark) else []
        if not self._list_adopted():
            return []
        end = time.monotonic() + KILL_S
        while True:
            left = self._find_left(mark)
            if not left or time.monotonic() > end:
                self._list_adopted()  # one that has died within the look is awaited, too
                return sorted(left)
            self._note_found(mark, left)
            _kill(left)
            time.sleep(0.001)  # a killed process needs a moment, and there is no handle on those that are not ours

    def kill(
        self, mark: str, pid: int, reap: Callable[[], object] = lambda: None, *, is_wrapped: bool = False
    ) -> List[int]:
        """Stop an attempt: its process, if it has one still, and all that came of it, whatever it did to hide.

        Args:
            pid: of its first process, a leader of a session; 0 when that one has ended and was awaited.
            reap: awaits the first process without blocking.
            is_wrapped: the first process, and its children, only await the others. Killed after these, they tell what those took.

        Returns:
            The pids of what would not die in time.
        """
        began = time.monotonic()
        end = began + KILL_S
        while True:
            left = self._find_tree(mark, pid)
            if not left:
                self._list_adopted()  # those that were dead by now are awaited, too
                return []
            self._note_found(mark, left)
            wrapped = left - _find_wrapping(pid) if is_wrapped and time.monotonic() < began + _TELL_S else left
            _kill(wrapped)  # nothing, while the others have yet to see that these are gone
            reap()
            self._list_adopted()
            if time.monotonic() > end:
                return sorted(left)
            time.sleep(0.001)

    def kill_everything(self) -> List[int]:
        """Stop all that came of this process, and every process that carries a mark and names the folder. The worker's end."""
        end = time.monotonic() + KILL_S
        while True:
            processes = list_processes()
            left = find_descendants({self._pid}, processes) | self._find_marked(None)
            left = {pid for pid in left if pid in processes and not processes[pid].is_zombie}
            self._list_adopted()
            if not left or time.monotonic() > end:
                return sorted(left)
            _kill(left)
            time.sleep(0.001)

    def _list_adopted(self) -> List[int]:
        """Living children of the main thread: adopted ones. Dead ones are awaited on the way."""
        if self._children_file is None:
            return []
        said = os.pread(self._children_file, _CHILDREN_BYTES, 0)
        if not said:
            return []
        words = said.split()
        if len(said) == _CHILDREN_BYTES:
            words.pop()  # it may have been cut off; it is seen once these are gone
        return [pid for pid in map(int, words) if not self._reap(pid)]

    def _reap(self, pid: int) -> bool:
        """Await an adopted process if it is dead. True: it is gone."""
        process = find_process(pid)
        if process is None:
            return True
        if not process.is_zombie:
            return False
        try:
            awaited, _, told = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:
            return True  # another thread was faster
        if awaited:
            self._note_spent(process, told)
        return True

    def _await_wrapping(self, mark: str) -> None:
        """Let what has its end before it come to that: to look at all processes of the machine takes longer."""
        with self._noting:
            session = self._running.get(mark)
        end = time.monotonic() + _TELL_S
        while time.monotonic() < end:
            adopted = [process for process in map(find_process, self._list_adopted()) if process is not None]
            if not any(process.session == session for process in adopted):
                return
            time.sleep(0.0005)

    def _note_found(self, mark: str, pids: Set[int]) -> None:
        with self._noting:
            self._found.update(dict.fromkeys(pids, mark))

    def _note_spent(self, process: Process, told: resource.struct_rusage) -> None:
        """Whose was it? As it was found while it lived; else by its session, in which an attempt begins; else that of the only one."""
        with self._noting:
            mark = self._found.pop(process.pid, None)
            if mark is None:
                marks = [one for one, pid in self._running.items() if pid == process.session] or list(self._running)
                mark = marks[0] if len(marks) == 1 else None
            if mark in self._running:
                self._spent.setdefault(mark, Spent()).add(told)

    def _find_left(self, mark: str) -> Set[int]:
        """What of the adopted, and of what came from them, is the attempt's. One without a mark (its variables were cleared)
        is taken for it when no other attempt is at work.
        """
        adopted = self._list_adopted()
        if not adopted:
            return set()
        with self._noting:
            is_alone = not self._running.keys() - {mark}
        processes = list_processes()
        left: Set[int] = set()
        for pid in adopted:
            said = read_mark(read_environment(pid))
            is_ours = pid in processes and processes[pid].parent == self._pid
            if said == mark or (said is None and is_alone and is_ours):
                left |= {pid} | find_descendants({pid}, processes)
        return {pid for pid in left if pid in processes and not processes[pid].is_zombie}

    def _find_tree(self, mark: str, pid: int) -> Set[int]:
        processes = list_processes()
        tree = self._find_marked(mark)
        if pid:
            tree |= {pid} | find_descendants({pid}, processes)
            tree |= {one.pid for one in processes.values() if pid in (one.group, one.session)}
        tree |= find_descendants(tree, processes)
        return {one for one in tree - {self._pid} if one in processes and not processes[one].is_zombie}

    def _find_marked(self, mark: Optional[str]) -> Set[int]:
        """Processes of this worker that carry the mark (None: any mark)."""
        wanted = f"{MARK}={mark}\0".encode() if mark is not None else f"{MARK}=".encode()
        ours: Optional[Set[int]] = None
        found = set()
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != self._pid:
                environment = read_environment(int(name))
                if wanted not in environment:
                    continue
                if self._names not in environment:  # another worker's, or it has cleared its variables
                    ours = find_descendants({self._pid}, list_processes()) if ours is None else ours
                    if int(name) not in ours:
                        continue
                found.add(int(name))
        return found


def _become_subreaper() -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False  # not Linux, or an odd C library: processes are then found by their marks alone


def _find_wrapping(pid: int) -> Set[int]:
    return {pid} | {one.pid for one in list_processes().values() if one.parent == pid}


def _kill(pids: Set[int]) -> None:
    for pid in pids:
        # One that has become another user's will be among those that would not die.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
