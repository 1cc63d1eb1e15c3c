"""May this travel as an event's body? Bodies as JSON messages carry them: judged, never turned into objects.

A JSON body is copied through as text; whoever reads it later (a task in any language) must be able to. So what some parsers
refuse and others let pass is refused here, with the reason: broken UTF-8, depth, numbers of thousands of digits. (Halves
of surrogate pairs never get here: msgspec takes the message that holds one for malformed.)
"""

import base64
import binascii
import re

import msgspec

from muster.domain.queue import BODY_BYTES_MAX
from muster.server.ports.queue_engine import Body, BodyKind

DEPTH_MAX = 256
"""How deep arrays and objects of a body may be nested."""
DIGITS_MAX = 4000
"""Digits of one number: CPython's parser refuses more than 4300."""

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]|[0-9]++')


class BodyTooLargeError(ValueError):
    """The body is over `BODY_BYTES_MAX`."""


def parse_body(kind: str, raw: bytes) -> Body:
    """Read one body.

    Args:
        kind: `json` or `bytes`.
        raw: one JSON value, structurally sound; for `bytes` a string of base64.

    Raises:
        BodyTooLargeError: over 1 MiB.
        ValueError: with half a sentence that says why it is refused.
    """
    if kind == "bytes":
        return Body(BodyKind.BYTES, _parse_base64(raw))
    if len(raw) > BODY_BYTES_MAX:
        raise BodyTooLargeError(f"is {len(raw)} bytes; at most {BODY_BYTES_MAX} are allowed")
    if (reason := find_flaw(raw)) is not None:
        raise ValueError(reason)
    return Body(BodyKind.JSON, raw)


def render_body(body: Body) -> msgspec.Raw:
    """The JSON value that carries a body."""
    if body.kind is BodyKind.JSON:
        return msgspec.Raw(body.data)
    return msgspec.Raw(b'"' + base64.b64encode(body.data) + b'"')


def render_kind(kind: BodyKind) -> str:
    """`json` or `bytes`."""
    return "json" if kind is BodyKind.JSON else "bytes"


def find_flaw(raw: bytes) -> str | None:
    """Why structurally sound JSON text must not travel; None when it may."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {error.start})"
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX or len(raw) > DIGITS_MAX:
        return _find_excess(raw)
    return None


def _find_excess(raw: bytes) -> str | None:
    depth = 0
    for match in _TOKENS.finditer(raw):
        match raw[match.start()]:
            case 0x22:  # a string
                continue
            case 0x5B | 0x7B:
                depth += 1
                if depth > DEPTH_MAX:
                    return f"is nested deeper than {DEPTH_MAX} levels"
            case 0x5D | 0x7D:
                depth -= 1
            case _:
                if match.end() - match.start() > DIGITS_MAX:
                    return f"holds a number of more than {DIGITS_MAX} digits"
    return None


def _parse_base64(raw: bytes) -> bytes:
    try:
        text = msgspec.json.decode(raw, type=str)
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (msgspec.MsgspecError, UnicodeError, binascii.Error):
        raise ValueError("must be a string of base64 for the kind `bytes`") from None
    if len(data) > BODY_BYTES_MAX:
        raise BodyTooLargeError(f"is {len(data)} bytes; at most {BODY_BYTES_MAX} are allowed")
    return data
