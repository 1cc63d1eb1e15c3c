"""How is an answer given that goes on? Server-sent events, one after another, for as long as somebody takes them.

Source: HTML Living Standard, section 9.2 "Server-sent events".
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import structlog
from litestar.types import Receive, Scope, Send
from prometheus_client import Gauge

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
SEND_S_MAX = 60.0
"""A client that has taken nothing for so long is gone, or might as well be."""
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
            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        continue
                    group.cancel_scope.cancel()

                group.start_soon(watch)
                async with aclosing(self._pieces):
                    await self._send_all(send)
                group.cancel_scope.cancel()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async for piece in self._pieces:
            with anyio.move_on_after(SEND_S_MAX) as patience:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if patience.cancelled_caught:
                log.info("a stream is ended: its client takes nothing", seconds=SEND_S_MAX)
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
