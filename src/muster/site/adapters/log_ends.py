"""What stands at the end of a log that somebody wants to see? Also of one that was compressed since."""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from muster.domain.worker_order import LOG_BYTES_MAX, WorkerLog

PACKED = ".gz"
_CHUNK = 1 << 16


def read_end(path: Path, name: str) -> WorkerLog | None:
    """The end of a file, under a name; None where there is none, or nothing in it. Raises OSError."""
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(0, size_bytes - LOG_BYTES_MAX))
            return make_log(name, file.read(LOG_BYTES_MAX), size_bytes)
    except FileNotFoundError:
        return _read_packed(path.with_name(f"{path.name}{PACKED}"), name)


def make_log(name: str, end: bytes, size_bytes: int) -> WorkerLog | None:
    """A log of which that is the end; None for an empty one."""
    if not size_bytes:
        return None
    # What is cut begins behind the first line's end, so that no character, and no line, is half.
    begin = end.find(b"\n") + 1 if size_bytes > len(end) else 0
    text = end[begin:].decode(errors="replace")
    while len(text.encode()) > LOG_BYTES_MAX:  # what was no text has become longer
        text = text[len(text) // 2 :]
    return WorkerLog(name, text, size_bytes)


def _read_packed(path: Path, name: str) -> WorkerLog | None:
    kept: deque[bytes] = deque(maxlen=LOG_BYTES_MAX // _CHUNK + 1)
    size_bytes = 0
    try:
        with gzip.open(path, "rb") as file:
            for chunk in read_packed_blocks(cast("BinaryIO", file), _CHUNK):
                kept.append(chunk)
                size_bytes += len(chunk)
    except FileNotFoundError:
        return None
    return make_log(name, b"".join(kept)[-LOG_BYTES_MAX:], size_bytes)


def read_packed_blocks(file: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    """What is in a compressed file that was opened; of one that was cut off, or damaged, what is before that."""
    with suppress(EOFError, zlib.error, gzip.BadGzipFile):
        while block := file.read(block_bytes):
            yield block
