"""Where does an agent write down how it stands, and does it live? `status.json` of its directory, and the lock beside it."""

import re
from pathlib import Path

import anyio.to_thread
import msgspec

from muster.site.adapters.durable import disk_errors, write_file
from muster.site.ports.standing import Standing

NAME = "status.json"
LOCK = "agent.lock"
_HELD = re.compile(r"^\d+: FLOCK +\S+ +WRITE \S+ \w+:\w+:(\d+) ", re.MULTILINE)


class JsonStandingFile:
    """One JSON object. Nothing is lost with it, so it is not synced."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    async def write(self, standing: Standing) -> None:
        content = msgspec.json.encode(standing)
        await anyio.to_thread.run_sync(self._write, content)

    def _write(self, content: bytes) -> None:
        with disk_errors(self._path):
            write_file(self._path, content, sync=False)


def read_standing(directory: Path) -> Standing | None:
    """What was written last; None: nothing, or nothing that this version can read. Raises UnavailableError."""
    path = directory / NAME
    with disk_errors(path):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Standing)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None


def find_taken_at(directory: Path) -> float:
    """When an agent last took the directory, seconds since the epoch; 0: none ever did."""
    try:
        return (directory / LOCK).stat().st_mtime
    except OSError:
        return 0.0


def find_holder(directory: Path) -> str | None:
    """The process id of the agent that has the directory; None: no agent has it. Raises UnavailableError.

    The lock is looked up, and not tried: an agent that starts at this moment would find it taken.
    """
    path = directory / LOCK
    with disk_errors(path):
        try:
            inode = path.stat().st_ino
        except (FileNotFoundError, NotADirectoryError):
            return None
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace")
        if str(inode) not in _HELD.findall(locks):
            return None
        return path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
