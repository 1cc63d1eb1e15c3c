"""Which processes are ours? What Linux tells of them in /proc.

A pid alone names nobody: it is used again. A pid with the tick at which its process started, in one boot of the machine, does.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PID = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Process:
    """One process, as /proc/<pid>/stat shows it. `started`: clock ticks since boot. `session`: its leader's pid."""

    pid: int
    started: int
    session: int
    is_zombie: bool


def read_boot_id() -> str:
    """Names the time since the machine was started."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def find_process(pid: int) -> Process | None:
    """Who has this pid now?"""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the second field, the name, may hold spaces and brackets
    return Process(pid, started=int(fields[19]), session=int(fields[3]), is_zombie=fields[0] in (b"Z", b"X"))


def read_environment(pid: int) -> bytes:
    """The variables with which a process was started, each ended by NUL; empty when it is gone, a zombie, or another user's."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def list_processes() -> list[tuple[Process, bytes]]:
    """Every living process with its variables, but this one."""
    own = os.getpid()
    pids = [int(name) for name in os.listdir(_PROC) if _PID.fullmatch(name)]  # noqa: PTH208
    return [
        (process, read_environment(pid))
        for pid in pids
        if pid != own and (process := find_process(pid)) is not None and not process.is_zombie
    ]


def read_variable(environment: bytes, name: str) -> str | None:
    """One variable of an environment."""
    key = name.encode() + b"="
    for item in environment.split(b"\0"):
        if item.startswith(key):
            return item[len(key) :].decode(errors="replace")
    return None
