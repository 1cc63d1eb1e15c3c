"""How does a file survive a crash? Written beside its place, synced, renamed over it, and the folder synced too."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from muster.domain.errors import UnavailableError

TEMPORARY = ".tmp-"
"""How the name of a file begins that is not in its place yet. Nobody reads those; whoever opens the folder deletes them."""


@contextlib.contextmanager
def disk_errors(what: Path) -> Iterator[None]:
    """OSError in; UnavailableError out, naming the path."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{what}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Put a 0600 file in its place, whole or not at all. `sync`: it also survives a power cut. Raises OSError."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(handle)
    temporary.replace(path)
    if sync:
        sync_folder(path.parent)
