"""What does `muster up` keep in its folder, and who may use it? Address, token, database, site, logs; one process at a time."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from muster.domain.errors import ConflictError, Finding, InvalidError, UnavailableError

ROOM_BYTES = 2 << 20
"""With less room than this an error of the disk or the database is told as one of a full disk: a first start alone takes half a MiB."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Home:
    """The folder of a `muster up`, absolute."""

    directory: Path

    @property
    def address(self) -> Path:
        return self.directory / "address"

    @property
    def token(self) -> Path:
        return self.directory / "token"

    @property
    def database(self) -> Path:
        return self.directory / "muster.db"

    @property
    def files(self) -> Path:
        """Of large bodies."""
        return self.directory / "files"

    @property
    def site(self) -> Path:
        return self.directory / "site"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def read_port(self) -> int:
        """The port of the last start; 0 when there was none."""
        try:
            return urlsplit(self.address.read_text().strip()).port or 0
        except FileNotFoundError:
            return 0
        except (ValueError, UnicodeDecodeError):
            raise InvalidError(
                [Finding(str(self.address), "does not hold an address; delete the file to take a free port")]
            ) from None

    def write_address(self, url: str) -> None:
        """Whole or not at all: other processes read it at any moment."""
        draft = self.directory / "address.new"
        draft.write_text(url + "\n")
        draft.replace(self.address)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only `muster up` here; the lock goes with the process, however it ends.

        Raises:
            ConflictError: another one runs here.
            InvalidError: the folder cannot be made or written.
            OSError: its disk is full.
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What is in here is of no use to version control, and the token should not get there.
            (self.directory / ".gitignore").write_text("*\n")
            lock = (self.directory / "lock").open("a+")
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            place = str(self.directory)
            raise InvalidError(
                [Finding(place, f"cannot be used: {error.strerror or error}; name another folder with --dir")]
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise ConflictError(
                    f"`muster up` runs already in {self.directory} (process {holder}): use it, stop it (Ctrl-C there, or "
                    f"`kill {holder}`), or name another folder with --dir"
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    @contextmanager
    def explaining_a_full_disk(self) -> Iterator[None]:
        """ConflictError, with folder and remedy, for what the block raises because the folder's disk is full.

        SQLite says so in several ways ("disk I/O error" is one of them), so the room that is left is looked at.
        """
        try:
            yield
        except (OSError, UnavailableError) as error:
            no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
            if not no_room and self._find_room() >= ROOM_BYTES:
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConflictError(
                f"the disk of {self.directory} is full ({reason}): free space on it and start again, or name another folder "
                "with --dir"
            ) from error

    def _find_room(self) -> int:
        """Bytes that are free on the folder's disk."""
        folder = next(one for one in (self.directory, *self.directory.parents) if one.exists())
        return shutil.disk_usage(folder).free
