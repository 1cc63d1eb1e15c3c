"""How is an answer given that goes on? Server-sent events, one after another, for as long as somebody takes them.

Source: HTML Living Standard, section 9.2 "Server-sent events".
"""

from collections.abc import AsyncGenerator

from litestar.types import Receive, Scope, Send
from prometheus_client import Gauge

from muster.server.doors.piece_stream import send_pieces

MEDIA_TYPE = "text/event-stream"
RETRY = b"retry: 1000\n\n"
"""Clients connect again after a second."""
SIGN_OF_LIFE = b":\n\n"
_HEADERS = (
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # for nginx, and others that have learned it
)


def render_event(name: str, data: bytes, *, id_: str | None = None) -> bytes:
    """One event. `name`, `data` and `id_` have no line break; an event without an id leaves that of the last one in force."""
    head = b"" if id_ is None else b"id: %b\n" % id_.encode()
    return head + b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def render_id(id_: str) -> bytes:
    """An id alone: nothing is told by it, and clients go on there."""
    return b"id: %b\n\n" % id_.encode()


class EventStream:
    """An ASGI application that sends what is told to it, piece by piece, and ends with its client.

    The next piece is asked for when the client has taken the last one, so a slow client costs one piece, and what the connection buffers.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], open_streams: Gauge) -> None:
        self._pieces = pieces
        self._open_streams = open_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        with self._open_streams.track_inprogress():
            await send_pieces(self._pieces, _HEADERS, receive, send, subject="events")
