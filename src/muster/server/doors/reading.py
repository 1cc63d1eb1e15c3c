"""What did the client send? Bodies and identifiers of a request, read whole or refused with every reason."""

import re
from typing import Any, TypeVar

import msgspec
from litestar import Request

from muster.domain.control_characters import CONTROL
from muster.domain.errors import Finding, InvalidError, MusterError, NotFoundError
from muster.server.doors.access import SignedIn
from muster.server.doors.judging import judge
from muster.server.services.idempotent import RequestKey, make_request_key

T = TypeVar("T")

SMALL_BODY_BYTES_MAX = 8 << 20
"""A body that carries no events: at most 8 MiB."""


class UnreadableError(MusterError):
    """The body is not what it says it is: no JSON, broken UTF-8, another content type."""


async def read_body(request: Request[Any, Any, Any], type_: type[T]) -> T:
    """Read the body as a message.

    Raises:
        UnreadableError: it is missing, not JSON, or not UTF-8.
        InvalidError: it is JSON and not the message; every fault is a finding.
    """
    _check_content_type(request)
    return parse_body(await request.body(), type_)


def parse_body(raw: bytes, type_: type[T]) -> T:
    """As `read_body`, of the bytes themselves."""
    if not raw.strip():
        raise UnreadableError("Missing required request body")
    try:
        return msgspec.json.decode(raw, type=type_)
    except msgspec.ValidationError:
        return judge(_decode(raw), type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(error) from None


def _decode(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> UnreadableError:
    reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return UnreadableError(f"Request body validation error: Failed to deserialize value as JSON: {reason}")


def _check_content_type(request: Request[Any, Any, Any]) -> None:
    """A body without a content type is taken for JSON; one of another type is refused."""
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media and media != "application/json":
        raise UnreadableError(
            f"Request body validation error: Content for the following mimetype not found: {media[:100]}. "
            "Valid mimetypes: ['application/json']"
        )


async def read_key(request: SignedIn) -> RequestKey | None:
    """What tells that this request is the same as another; None when the client gave it no `Idempotency-Key`. Raises InvalidError."""
    return make_request_key(
        request.headers.get("idempotency-key"),
        owner=request.user.name,
        route=f"{request.method} {request.scope['path']}",
        body=await request.body(),
    )


def parse_id(pattern: re.Pattern[str], text: str, *, what: str) -> str:
    """Read an identifier of a path. Raises NotFoundError for what cannot be one: nothing is ever named so."""
    if pattern.fullmatch(text) is None:
        raise NotFoundError(f"no {what} is named so")
    return text


def parse_reason(text: str) -> str:
    """Why somebody does something, in one line. Raises InvalidError for what no terminal should be shown."""
    if CONTROL.search(text) is not None:
        raise InvalidError([Finding("reason", "must be one line, without control characters")])
    return text.strip()
