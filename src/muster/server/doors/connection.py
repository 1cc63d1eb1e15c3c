"""Is anybody still waiting for the answer? A parked call ends when its client is gone."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from litestar import Request

from muster.domain.errors import MusterError, UnavailableError
from muster.server.ports.queue_engine import SessionEndedError

T = TypeVar("T")


async def while_connected(request: Request[Any, Any, Any], work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, and cancel it when the client disconnects. The request's body must have been read.

    Raises:
        UnavailableError: the client is gone; nobody reads this.
    """
    done: list[T] = []
    error: MusterError | SessionEndedError = UnavailableError("the client is gone")
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                continue
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            done.append(await work())
        except (MusterError, SessionEndedError) as raised:
            error = raised
        group.cancel_scope.cancel()
    if not done:
        raise error
    return done[0]
