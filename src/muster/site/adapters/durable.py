"""How does a file survive a crash? Written beside its place, synced, renamed over it, and the folder synced too."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from muster.domain.errors import UnavailableError

T = TypeVar("T")

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
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(handle)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()  # the disk is full, say: what there is of it only takes room
        raise
    if sync:
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make what is in a file durable. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file)


def sync_files(folder: Path) -> None:
    """Make the files in a folder durable, with their names. Raises OSError."""
    for entry in folder.iterdir():
        if entry.is_file():
            sync_file(entry)
    sync_folder(folder)


@contextlib.contextmanager
def removed_on_error(folder: Path) -> Iterator[None]:
    """Begin without the folder, and leave nothing of it where it cannot be made whole."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def take_over_folders(
    parent: Path, read: Callable[[Path], T], *, damaged: Callable[[str], Path]
) -> tuple[list[T], list[Path]]:
    """What an earlier agent left in a folder of folders, by name; what a crash left half made is deleted. Raises OSError.

    Args:
        read: makes something of one. Raises FileNotFoundError or msgspec.DecodeError for a damaged one.
        damaged: where a damaged one of this name goes, behind which something is put that makes it unlike all others.

    Returns:
        What was read, and the places of the damaged ones.
    """
    found: list[T] = []
    moved: list[Path] = []
    for entry in sorted(parent.iterdir()):
        if entry.name.startswith(TEMPORARY):
            shutil.rmtree(entry)
            continue
        try:
            found.append(read(entry))
        except (FileNotFoundError, msgspec.DecodeError):
            place = damaged(entry.name)
            place = place.with_name(f"{place.name}-{secrets.token_hex(4)}")
            entry.rename(place)
            moved.append(place)
    return found, moved
