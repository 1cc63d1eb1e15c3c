"""Who may read the SQLite file? Its owner alone: it holds every body, and the key of the workers' tokens."""

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from muster.domain.errors import Finding, InvalidError

COMPANIONS = ("-wal", "-shm", "-journal")
"""SQLite makes them beside the file, with the file's mode. After a crash they are still there."""

_UNUSABLE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG)
)
"""What the system says of a place that does not do, however often it is tried; a disk that is full or broken is another matter."""


@contextmanager
def refusing_unusable(path: Path) -> Iterator[None]:
    """InvalidError, with the remedy, for the block's OSError where the file can be none at that place."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        reason = f"{error.filename or path} cannot be used: {error.strerror}: name a file in a folder that this user may write"
        raise InvalidError([Finding("database_url", reason)]) from error


def make_folder(path: Path) -> None:
    """Make the folder of a database (0700) where it is missing; one that is there is left as it is. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def name_file(path: Path) -> str:
    """What tells the file from others that are there at the same time: one that comes later may have the same. Raises OSError."""
    return f"file {path.stat().st_ino}"


def follow_links(path: Path) -> Path:
    """The file that links lead to. Links that lead in a round stay as they are, for whoever opens them to be told: `Path.resolve` raises
    RuntimeError.
    """
    return Path(os.path.realpath(path))


def make_private(path: Path) -> None:
    """Make the file (0600) where it is missing, before SQLite would make it as the umask says.

    Only for whoever holds the file's lock and has no connection yet: closing a file ends the locks that SQLite has on it.

    Raises:
        InvalidError: others may use the file, or one that SQLite left beside it, or there can be none at that place.
        OSError: its disk does not do.
    """
    with refusing_unusable(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    refuse_open_files(path)


def refuse_open_files(path: Path) -> None:
    """Raises InvalidError: others may use the file, or one that SQLite left beside it. What is missing is not open.

    Raises OSError where that cannot be seen.
    """
    target = follow_links(path)  # SQLite puts the companions beside it
    files = (path, *(target.with_name(target.name + suffix) for suffix in COMPANIONS))
    found = [one for one in files if _find_mode(one) & 0o077]
    if found:
        remedy = shlex.join(["chmod", "600", *map(str, found)])
        raise InvalidError(
            [
                Finding(
                    str(found[0]),
                    "others may read or write it, and it holds every body and the key of the workers' tokens: "
                    f"say `{remedy}`; if others have had the time to read it, begin with a new database",
                )
            ]
        )


def _find_mode(path: Path) -> int:
    """0 where there is no file. `Path.exists` would say so of a round of links, too."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
