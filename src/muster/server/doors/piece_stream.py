"""How is an answer sent that is never whole in memory? A piece after another, as fast as its client takes them, while it is there."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio
import structlog
from litestar.types import Receive, Send

log = structlog.get_logger(__name__)

SEND_S_MAX = 60.0
"""A client that has taken nothing for so long is gone, or might as well be."""


async def send_pieces(
    pieces: AsyncGenerator[bytes, None],
    headers: Sequence[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
    *,
    broken_off_by: type[Exception] | tuple[type[Exception], ...] = (),
    subject: str,
) -> None:
    """Answer 200 with these pieces. The next one is asked for when the client has taken the last one.

    Args:
        broken_off_by: where the pieces fail so, the answer ends before its end, which a client sees by its length.
        subject: what is sent, for the log.
    """

    async def send_all() -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async for piece in pieces:
                with anyio.move_on_after(SEND_S_MAX) as patience:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if patience.cancelled_caught:
                    log.info("an answer is ended: its client takes nothing", subject=subject, seconds=SEND_S_MAX)
                    return
        except broken_off_by as error:
            log.warning("an answer is broken off", subject=subject, reason=str(error))
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                continue
            group.cancel_scope.cancel()

        group.start_soon(watch)
        async with aclosing(pieces):
            await send_all()
        group.cancel_scope.cancel()
