"""What becomes of a request that the service cuts off because it stops? Its connection is closed, and that is all.

uvicorn would answer it with 500 and write an error with the way there into the log, as of a fault.
"""

import asyncio
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from muster.server.doors.status_line import PhrasingProtocol


def is_cut_off() -> bool:
    """Has somebody asked for the end of the request that runs? So only who stops the service does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class CuttingProtocol(PhrasingProtocol):
    """uvicorn's connection, on which a request that is cut off just ends."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not is_cut_off():
                    raise
                cycle.disconnected = True  # nobody is answered any more
                cycle.transport.close()

        super()._start_asgi_task(cycle, answer)
