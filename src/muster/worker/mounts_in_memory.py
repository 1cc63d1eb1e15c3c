"""How much memory do the files of a container take? Those in its /tmp, its $HOME and /dev/shm, which are file systems in memory of its own.

No process has them in its own memory, so nobody who adds up processes sees them.
"""

from __future__ import annotations

import os
from typing import Dict, Iterable, List, Optional, Tuple

_SPACE = "\\040"


def measure_files_in_memory(pids: Iterable[int]) -> int:
    """Bytes in the file systems in memory that these processes see and this one does not; 0 for processes without mounts of their own."""
    ours = _read_namespace("self")
    namespaces: Dict[str, int] = {}
    for pid in pids:
        name = _read_namespace(str(pid))
        if name and name != ours:
            namespaces.setdefault(name, pid)
    if not namespaces:
        return 0
    seen = {device for device, _ in _list_in_memory("self")}
    total = 0
    for pid in namespaces.values():
        for device, place in _list_in_memory(str(pid)):
            if device not in seen and (size_bytes := _measure(f"/proc/{pid}/root{place}", device)) is not None:
                seen.add(device)
                total += size_bytes
    return total


def _read_namespace(pid: str) -> str:
    """Of its mounts; empty for a process that has ended or is another user's."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _list_in_memory(pid: str) -> "List[Tuple[str, str]]":
    """Device, as major:minor, and place of each tmpfs that a process sees."""
    found: "List[Tuple[str, str]]" = []
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                mount, _, system = line.partition(" - ")
                fields = mount.split(" ")
                if len(fields) > 4 and system.startswith("tmpfs "):
                    found.append((fields[2], fields[4].replace(_SPACE, " ")))
    except OSError:
        return []
    return found


def _measure(path: str, device: str) -> Optional[int]:
    """Bytes that are taken there. None where another mount hides the place, or it cannot be looked at."""
    try:
        number = os.stat(path).st_dev
        if f"{os.major(number)}:{os.minor(number)}" != device:
            return None
        said = os.statvfs(path)
    except OSError:
        return None
    return (said.f_blocks - said.f_bfree) * said.f_frsize
