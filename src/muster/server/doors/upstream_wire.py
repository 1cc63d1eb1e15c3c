"""What is true of every answer to EWMS clients, whatever its route? The form in which JSON stands on the wire (wms.md section 2).

Text beyond ASCII is escaped, the character set is named, and an answer has an `Etag` by which a client can ask whether it has changed.
"""

import hashlib
import re
from typing import cast

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from muster.server.doors.errors import is_upstream

Headers = list[tuple[bytes, bytes]]

NO_ROUTE = "/v1/no/such/route"
_NAMES = re.compile(r"(/[\w-]+)+/?")
_KEYS = "/mqbroker-issuer/.well-known/jwks.json"
_OK, _NOT_MODIFIED = 200, 304
_JSON = b"application/json"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_SAFE = frozenset({"GET", "HEAD"})


class UpstreamWire:
    """Wraps the application; requests of other doors go through as they are."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not is_upstream(scope["path"]):
            await self._inner(scope, receive, send)
            return
        if not is_named(scope["path"]):
            scope["path"] = NO_ROUTE
        known = next((value for name, value in cast("Headers", scope["headers"]) if name == b"if-none-match"), b"")
        is_safe = scope["method"] in _SAFE
        held: HTTPResponseStartEvent | None = None

        async def send_formed(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                held = message
            elif held is not None and message["type"] == "http.response.body":
                start, held = held, None
                if not message.get("more_body"):
                    _form(start, message, known if is_safe else b"")
                await send(start)
                await send(message)
            else:
                await send(message)

        await self._inner(scope, receive, send_formed)


def is_named(path: str) -> bool:
    """Can it be a route? Identifiers are letters, digits, `_` and `-`; anything else is an unknown one, whoever asks."""
    return _NAMES.fullmatch(path) is not None or path == _KEYS


def escape(body: bytes) -> bytes:
    r"""JSON with blanks after commas and colons, what is not ASCII written as `\uXXXX`, and `</` as `<\/`."""
    body = msgspec.json.format(body, indent=0)
    body = body.replace(b"</", b"<\\/")  # stands in texts alone
    if body.isascii():
        return body
    return _BEYOND_ASCII.sub(_escape_one, body.decode()).encode()


def _escape_one(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _form(start: HTTPResponseStartEvent, message: HTTPResponseBodyEvent, known: bytes) -> None:
    """Bring a whole answer into its form. `known`: the client's `If-None-Match`."""
    headers = dict(cast("Headers", start["headers"]))
    body = message["body"]
    if headers.get(b"content-type", b"").startswith(_JSON):
        body = escape(body)
        headers[b"content-type"] = b"application/json; charset=UTF-8"
    if start["status"] == _OK:
        headers[b"etag"] = _make_etag(body)
        if headers[b"etag"] in [one.strip().removeprefix(b"W/") for one in known.split(b",")] or known.strip() == b"*":
            start["status"], body = _NOT_MODIFIED, b""
            headers.pop(b"content-type", None)
    if b"content-length" in headers:
        headers[b"content-length"] = str(len(body)).encode()
    if start["status"] == _NOT_MODIFIED:
        headers.pop(b"content-length", None)
    start["headers"] = list(headers.items())
    message["body"] = body


def _make_etag(body: bytes) -> bytes:
    return b'"' + hashlib.blake2b(body, digest_size=20).hexdigest().encode() + b'"'
