"""Where does an agent write down how it stands, and does it live? `status.json` of its directory, and the lock beside it."""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import msgspec

from muster.site.adapters.durable import disk_errors, write_file
from muster.site.ports.standing import Standing

NAME = "status.json"
LOCK = "agent.lock"
ROOM_BYTES = 16_384
"""The file is so long, or several times: what is told on a full disk has to fit into it as it is."""
TROUBLES_MAX = 20
"""Troubles told where nothing else fits."""
_HELD = re.compile(r"^\d+: FLOCK +\S+ +WRITE \S+ \w+:\w+:(\d+) ", re.MULTILINE)


class JsonStandingFile:
    """One JSON object, and spaces. Nothing is lost with it, so it is not synced.

    On a full disk it is written over the last one, as far as it fits: whoever asks then wants to know most.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME

    async def write(self, standing: Standing) -> None:
        """Raises UnavailableError; on a full disk also where it could be written over the last one: that is a trouble to be told."""
        short = msgspec.structs.replace(standing, taskforces=[], troubles=standing.troubles[:TROUBLES_MAX])
        contents = [msgspec.json.encode(one) for one in (standing, short)]
        await anyio.to_thread.run_sync(self._write, contents)

    def _write(self, contents: Sequence[bytes]) -> None:
        with disk_errors(self._path):
            try:
                write_file(self._path, contents[0].ljust(-(-len(contents[0]) // ROOM_BYTES) * ROOM_BYTES), sync=False)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    self._write_over(contents)
                raise

    def _write_over(self, contents: Sequence[bytes]) -> None:
        """The first that fits; none where nothing is there yet."""
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        with os.fdopen(handle, "wb") as file:
            size = os.fstat(handle).st_size
            content = next((one for one in contents if len(one) <= size), None)
            if content is not None:
                file.write(content.ljust(size))


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
