"""Which processes are there, whose children are they, and which attempt's mark do they carry? As /proc says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, List, Optional

MARK = "MUSTER_ATTEMPT"
FOLDER = "MUSTER_ATTEMPT_FOLDER"
"""Names the attempt's folder on the execution point: in a container no other variable does."""
ISOLATION = "MUSTER_TASK_ISOLATION"
"""Tells a plain task what keeps it from the others."""


@dataclass(frozen=True)
class Process:
    """One process. `group`, `session`: their numbers. A zombie is dead and only waits to be awaited."""

    pid: int
    parent: int
    group: int
    session: int
    is_zombie: bool


def read_environment(pid: int) -> bytes:
    """The variables that a process was started with, each ended by NUL; nothing for a zombie or one that is not ours."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def read_mark(environment: bytes) -> Optional[str]:
    """Of which attempt a process is, by its variables."""
    name = f"{MARK}=".encode()
    for variable in environment.split(b"\0"):
        if variable.startswith(name):
            return variable[len(name) :].decode("ascii", "replace")
    return None


def find_process(pid: int) -> Optional[Process]:
    """One process, or None when there is none with this pid."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in the second field may hold anything, also parentheses and spaces; the last one ends it.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), fields[0] in (b"Z", b"X"))


def list_processes() -> Dict[int, Process]:
    """All of them, by pid."""
    found = (find_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def find_descendants(roots: "set[int]", processes: Dict[int, Process]) -> "set[int]":
    """The processes that come from the roots, without the roots."""
    children: Dict[int, List[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: "set[int]" = set()
    front = list(roots)
    while front:
        for child in children.get(front.pop(), ()):
            if child not in found and child not in roots:
                found.add(child)
                front.append(child)
    return found
