"""How do a file's bytes pass between a disk and a connection? A piece at a time, compared with what they should be."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import anyio

from muster.client.shapes.files import Content, NewFile
from muster.domain.errors import UnavailableError
from muster.domain.file import begin_checksum, render_checksum

PIECE_BYTES = 1 << 18
TRIES = 3
"""A download that breaks off in the middle is begun so often."""
CHECKSUM_HEADER = "X-Muster-Checksum"


class BrokenOffError(UnavailableError):
    """A download ended before its end, or brought other bytes."""


def measure(path: Path, content: Content) -> NewFile:
    """What a file is promised to be. Raises OSError."""
    taken = begin_checksum()
    size_bytes = 0
    for piece in Pieces(path):
        taken.update(piece)
        size_bytes += len(piece)
    return NewFile(size_bytes, render_checksum(taken), content)


class Pieces:
    """The bytes of a file, from their beginning whenever they are asked for: a call that is made again sends all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


class AsyncPieces:
    """As `Pieces`, read by threads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with await anyio.open_file(self._path, "rb") as file:
            while piece := await file.read(PIECE_BYTES):
                yield piece


class Landing:
    """Where a download is put: beside its place, which it takes once it is whole. A context; leaving it early leaves nothing."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._draft = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}")
        self._taken = begin_checksum()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Raises OSError."""
        self._taken.update(piece)
        if self._file is not None:
            self._file.write(piece)

    def finish(self, checksum: str) -> None:
        """Put the file in its place. Raises BrokenOffError: its bytes have another checksum; OSError."""
        if (taken := render_checksum(self._taken)) != checksum:
            raise BrokenOffError(
                f"the checksum of what came is {taken}; it should be {checksum or 'told by the service'}"
            )
        if self._file is not None:
            self._file.close()
        self._draft.replace(self._place)
