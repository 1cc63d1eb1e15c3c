"""By which marks is a process of a cluster known, and how is each of them killed, whatever it did to hide?

A worker carries MUSTER_TASKFORCE and MUSTER_WORKER_PROC and leads a session of its own. What its tasks start carries MUSTER_ATTEMPT and
names a folder of the worker in its variables, also after it left the session and lost its parent.
"""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.site.adapters.processes.procfs import (
    Process,
    find_process,
    list_processes,
    read_variable,
)
from muster.worker.settings import PROC, START


@dataclass(frozen=True)
class Marks:
    """What the processes of one worker, or of a whole cluster, have in common.

    Args:
        folder: the worker's, or the cluster's.
        proc: None for the whole cluster.
        leaders: (pid, start tick) of workers that were started, dead or alive.
    """

    tag: str
    folder: Path
    proc: int | None = None
    leaders: frozenset[tuple[int, int]] = frozenset()

    def cover(self, environment: bytes) -> bool:
        """Does a process with these variables belong to them?"""
        if read_variable(environment, "MUSTER_TASKFORCE") == self.tag:
            return self.proc is None or read_variable(environment, PROC) == str(self.proc)
        return read_variable(environment, "MUSTER_ATTEMPT") is not None and f"{self.folder}/".encode() in environment

    def sessions(self) -> frozenset[int]:
        """Sessions that are certain to be theirs: a pid stays taken while its session lives, so only a leader's successor
        with the same pid but another start tick shows that the session is another's.
        """
        return frozenset(
            pid
            for pid, started in self.leaders
            if (now := find_process(pid)) is None or (now.started == started and now.session == pid)
        )


def find_workers(tag: str) -> dict[int, tuple[Process, int]]:
    """Workers of a cluster among all processes, with their start numbers, by proc: leaders of their sessions that are in no attempt."""
    found = {}
    for process, environment in list_processes():
        if (
            read_variable(environment, "MUSTER_TASKFORCE") == tag
            and read_variable(environment, "MUSTER_ATTEMPT") is None
            and process.session == process.pid
        ):
            number, start = (read_variable(environment, name) or "" for name in (PROC, START))
            if number.isdigit() and start.isdigit():
                found[int(number)] = (process, int(start))
    return found


def find_covered(marks: Sequence[Marks]) -> list[Process]:
    """Every living process that one of the marks covers. One pass over /proc."""
    sessions = frozenset[int]().union(*(one.sessions() for one in marks))
    return [
        process
        for process, environment in list_processes()
        if process.session in sessions or any(one.cover(environment) for one in marks)
    ]


def signal_exactly(process: Process, signum: int) -> bool:
    """Signal this process and never another that got its pid. False: it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        now = find_process(process.pid)
        if now is None or now.started != process.started:
            return False
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def kill_covered(marks: Sequence[Marks], *, deadline_s: float) -> list[Process]:
    """Kill every process that the marks cover, until none is left; returns those that outlived `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    left = find_covered(marks)
    while left and time.monotonic() < end:
        for process in left:
            signal_exactly(process, signal.SIGKILL)
        _await_gone(left, end)
        left = find_covered(marks)  # a child that was just being made shows up here
    return left


def _await_gone(processes: Iterable[Process], end: float) -> None:
    for process in processes:
        while time.monotonic() < end:
            now = find_process(process.pid)
            if now is None or now.started != process.started or now.is_zombie:
                break
            time.sleep(0.002)  # a killed process needs a moment; there is no handle on one that is not our child
