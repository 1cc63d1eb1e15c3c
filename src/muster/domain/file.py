"""What is a file? A body too large for a message: its name, and by what it is known to be whole."""

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

FILE_ID = re.compile(r"[0-9a-f]{32}")
"""Made by the service, of random hex digits; nothing that a caller says becomes a part of a path."""
CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
UNPUBLISHED_MAX = 1000
"""Files that one who uploads may have at once to which no event refers yet."""
UNPUBLISHED_OF_TASKFORCE_MAX = 10_000
"""The same of all workers of a taskforce together."""
GRACE_S = 3 * 24 * 3600.0
"""Seconds that a file is kept to which no event refers: so long may pass between its upload and its event."""


class Content(StrEnum):
    """What is in a file. Nobody looks: it is what whoever uploaded it said."""

    JSON = "json"  # one JSON value
    TEXT = "text"  # UTF-8, without quotes
    BYTES = "bytes"


class FileState(StrEnum):
    """How far a file has come."""

    PROMISED = "promised"  # its size and checksum are known; its bytes are to come
    STORED = "stored"  # it is in the store, whole
    GOING = "going"  # nobody may refer to it any more: it is being removed


class Checksum(Protocol):
    """A checksum that is being taken."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def begin_checksum() -> Checksum:
    """The checksum of all files, the one place that names it (docs/decisions/0030)."""
    return hashlib.sha256()


def render_checksum(taken: Checksum) -> str:
    """As it travels, e.g. `sha256:9f86…`: the name before it says how it was taken."""
    return f"sha256:{taken.hexdigest()}"


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file as an event refers to it.

    Args:
        file: its id, of 32 hex digits.
        checksum: of all its bytes (`render_checksum`).
    """

    file: str
    size_bytes: int
    checksum: str
    content: Content


def render_reference(ref: FileRef) -> bytes:
    """The body of an event that refers to a file, as JSON. Always the same text of the same file: by it is found whether an event does."""
    told = {"file": ref.file, "size_bytes": ref.size_bytes, "checksum": ref.checksum, "content": ref.content.value}
    return json.dumps(told, separators=(",", ":")).encode()


def parse_reference(body: bytes) -> FileRef:
    """Read the body of an event that refers to a file. Raises ValueError for what `render_reference` never wrote."""
    try:
        told = json.loads(body)
        return FileRef(str(told["file"]), int(told["size_bytes"]), str(told["checksum"]), Content(str(told["content"])))
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no reference to a file: {error}") from None
