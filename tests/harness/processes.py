"""Which processes are there? A look at /proc, by what their environment says."""

import os
from pathlib import Path


def find_with(variable: str, value: str | None = None) -> dict[int, str]:
    """Live processes (pid → command line) whose environment has the variable, and the value where one is given."""
    wanted = f"{variable}=".encode() if value is None else f"{variable}={value}\0".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = b"\0" + (entry / "environ").read_bytes() + b"\0"
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it has ended meanwhile, or is another user's
        if b"\0" + wanted in environment and command:  # an empty command line: a zombie
            found[int(entry.name)] = command
    return found


def attempts_alive(root: Path) -> dict[int, str]:
    """Processes of attempts whose worker belongs to the stack in `root`."""
    return {pid: command for pid, command in find_with("MUSTER_ATTEMPT").items() if _works_below(pid, root)}


def workers_alive(root: Path) -> dict[int, str]:
    """Worker processes of the stack in `root`."""
    return {
        pid: command
        for pid, command in find_with("MUSTER_TASKFORCE").items()
        if _works_below(pid, root) and "MUSTER_ATTEMPT=" not in _environment(pid)
    }


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _works_below(pid: int, root: Path) -> bool:
    try:
        inside = Path(f"/proc/{pid}/cwd").readlink().is_relative_to(root)
    except OSError:
        inside = False
    return inside or str(root) in _environment(pid)
