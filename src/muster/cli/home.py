"""What does `muster up` keep in its folder, and who may use it? Address, token, database, site, logs; one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from muster.domain.errors import ConflictError, Finding, InvalidError


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
        """
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What is in here is of no use to version control, and the token should not get there.
            (self.directory / ".gitignore").write_text("*\n")
            lock = (self.directory / "lock").open("a+")
        except OSError as error:
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
