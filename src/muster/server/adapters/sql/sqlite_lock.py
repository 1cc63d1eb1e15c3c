"""Who has the SQLite file, and when was it seen last? A file beside it says so: it is locked by whoever has the database.

What is noted there is what the database had in it at least: one that was put in its place since has an earlier time in it (`eras`).
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from muster.domain.errors import ConflictError
from muster.server.adapters.sql.faults import database_errors
from muster.server.adapters.sql.sqlite_file import follow_links, make_folder, refusing_unusable

_BYTES_MAX = 100
_PROCESS = Path("/proc/self")
_LOCKS = Path("/proc/locks")
"""Every lock, a line each: number, kind, advisory or not, read or write, process, device and inode, range (proc(5))."""


class FileLock:
    """A lock that we have.

    Args:
        descriptor: of the file beside the database.
        seen: the time that is noted there, seconds since the epoch; None where none is.
    """

    def __init__(self, descriptor: int, seen: float | None) -> None:
        self._descriptor = descriptor
        self.seen = seen
        self._write()

    def note_seen(self, at: float) -> None:
        """Note a time that is in the database, committed."""
        self.seen = at
        self._write()

    def sync(self) -> None:
        """Have the file outlive a loss of power. What is noted later is written over it: the earlier or the later is found there."""
        os.fsync(self._descriptor)

    def _write(self) -> None:
        seen = "" if self.seen is None else f"{self.seen:.6f}"
        line = f"{os.getpid():<10}\n{seen:>20}\n".encode()  # always as long
        os.pwrite(self._descriptor, line, 0)
        os.truncate(self._descriptor, len(line))


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[FileLock]:
    """Keep other services off the file: SQLite has one writer, and it is us.

    Raises:
        ConflictError: another one has it.
        InvalidError: there can be no file at that place.
        UnavailableError: its disk does not do.
    """
    with database_errors(), refusing_unusable(path):
        make_folder(path)
        descriptor = os.open(_name_lock(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(descriptor)[0]
            raise ConflictError(
                f"{path} is in use by another service (process {holder}): stop it, or name another database"
            ) from None
        with database_errors():
            held = FileLock(descriptor, _read(descriptor)[1])
        yield held
    finally:
        os.close(descriptor)


def find_holder(path: Path) -> int | None:
    """The process that has the file by `lock_file`; None where none has it, or it cannot be seen from here (from another container).

    The lock is not tried for that: a service that starts at that very moment would find the file in use.
    """
    try:
        locks = _LOCKS.read_text()
        wanted = _find_place(_name_lock(path))
    except OSError:
        return None
    for line in locks.splitlines():
        _, kind, _, _, process, place, *_ = line.replace("-> ", "").split()
        if kind == "FLOCK" and place == wanted:
            return int(process)
    return None


def _find_place(path: Path) -> str | None:
    """Device and inode of a file as they stand among the locks. Raises OSError.

    The device is that of the mount: `stat` names another one where a file system has several in it (btrfs), or lies over others.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        inode = os.fstat(descriptor).st_ino
        opened = (_PROCESS / "fdinfo" / str(descriptor)).read_text().splitlines()
    finally:
        os.close(descriptor)
    mounts = [line.split()[1] for line in opened if line.startswith("mnt_id:")]
    for line in (_PROCESS / "mountinfo").read_text().splitlines():
        mount, _, device, *_ = line.split()
        if mount in mounts:
            major, minor = map(int, device.split(":"))
            return f"{major:02x}:{minor:02x}:{inode}"
    return None


def _name_lock(path: Path) -> Path:
    """One lock, whatever links lead there."""
    real = follow_links(path)
    return real.with_name(real.name + ".lock")


def _read(descriptor: int) -> tuple[str, float | None]:
    """The process that has or had it, and the time that is noted."""
    words = os.pread(descriptor, _BYTES_MAX, 0).decode(errors="replace").split()
    try:
        seen = float(words[1])
    except (IndexError, ValueError):
        seen = None
    return words[0] if words else "unknown", seen
