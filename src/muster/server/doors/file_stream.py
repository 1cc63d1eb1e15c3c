"""How are bytes given out that are too many for memory? A piece after another, as fast as the client takes them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import anyio
import structlog
from litestar.types import Receive, Scope, Send

from muster.domain.errors import MusterError

log = structlog.get_logger(__name__)

SEND_S_MAX = 60.0
"""A client that has taken nothing for so long is gone, or might as well be."""


class FileStream:
    """An ASGI application that sends pieces, as many bytes as its headers say. Where they fail the answer is broken off before its end, and
    the client sees that it is too short.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str], *, subject: str) -> None:
        self._pieces = pieces
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._subject = subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
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
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        try:
            async for piece in self._pieces:
                with anyio.move_on_after(SEND_S_MAX) as patience:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if patience.cancelled_caught:
                    log.info("a file is not sent on: its client takes nothing", file=self._subject, seconds=SEND_S_MAX)
                    return
        except MusterError as error:
            log.warning("a file is broken off", file=self._subject, reason=str(error))
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
