"""May this travel as an event's body? Bodies as JSON messages carry them: judged, never turned into objects.

A JSON body is copied through as text; whoever reads it later (a task in any language) must be able to. So what some parsers
refuse and others let pass is refused here, with the reason: broken UTF-8, depth, numbers of thousands of digits. (Halves
of surrogate pairs never get here: msgspec takes the message that holds one for malformed.)
"""

import base64
import binascii

import msgspec

from muster.domain.file import FILE_ID
from muster.domain.queue import BODY_BYTES_MAX
from muster.server.ports.queue_engine import Body, BodyKind
from muster.worker.body_rules import find_excess


class _Reference(msgspec.Struct):
    """As `domain.file.render_reference` writes it; only the id counts."""

    file: str


class BodyTooLargeError(ValueError):
    """The body is over `BODY_BYTES_MAX`."""


def parse_body(kind: str, raw: bytes) -> Body:
    """Read one body.

    Args:
        kind: `json`, `bytes` or `file`.
        raw: one JSON value, structurally sound; for `bytes` a string of base64, for `file` a file's id, or its reference as it is shown.

    Raises:
        BodyTooLargeError: over 1 MiB.
        ValueError: with half a sentence that says why it is refused.
    """
    if kind == "bytes":
        return Body(BodyKind.BYTES, _parse_base64(raw))
    if kind == "file":
        return Body(BodyKind.FILE, _parse_file(raw))
    if len(raw) > BODY_BYTES_MAX:
        raise BodyTooLargeError(_tell_limit(len(raw)))
    if (reason := find_flaw(raw)) is not None:
        raise ValueError(reason)
    return Body(BodyKind.JSON, raw)


def render_body(body: Body) -> msgspec.Raw:
    """The JSON value that carries a body; null where it is not kept any more."""
    if body.kind is BodyKind.PURGED:
        return msgspec.Raw(b"null")
    if body.kind in {BodyKind.JSON, BodyKind.FILE}:
        return msgspec.Raw(body.data)
    return msgspec.Raw(b'"' + base64.b64encode(body.data) + b'"')


def render_kind(kind: BodyKind) -> str:
    """`json`, `bytes`, `purged` or `file`."""
    return kind.name.lower()


def find_flaw(raw: bytes) -> str | None:
    """Why structurally sound JSON text must not travel; None when it may."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {error.start})"
    return find_excess(raw)


def _tell_limit(size_bytes: int) -> str:
    return f"is {size_bytes} bytes; at most {BODY_BYTES_MAX} are allowed: send what is larger as a file, and name that"


def _parse_file(raw: bytes) -> bytes:
    """The id alone; what else there is to the file is known."""
    try:
        named = msgspec.json.decode(raw, type=str | _Reference)
    except msgspec.MsgspecError:
        named = ""
    file = named if isinstance(named, str) else named.file
    if FILE_ID.fullmatch(file) is None:
        raise ValueError("must be the id of a file (32 hex digits), or a reference to one, for the kind `file`")
    return file.encode()


def _parse_base64(raw: bytes) -> bytes:
    try:
        text = msgspec.json.decode(raw, type=str)
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (msgspec.MsgspecError, UnicodeError, binascii.Error):
        raise ValueError("must be a string of base64 for the kind `bytes`") from None
    if len(data) > BODY_BYTES_MAX:
        raise BodyTooLargeError(_tell_limit(len(data)))
    return data
