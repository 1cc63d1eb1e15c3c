"""Is a connection of the pool still good? Without asking the server each time, which would double what a short transaction takes."""

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

IDLE_S = 1.0
"""A connection that nobody has used for so long is asked before it is given out."""


def watch_connections(engine: "AsyncEngine") -> None:
    """Give out no connection that is known to be closed, and none that has been idle and does not answer; others come in their place."""
    pool, dialect = engine.sync_engine.pool, engine.sync_engine.dialect

    def note(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def look(connection: Any, record: Any, _: Any) -> None:
        # The end of a connection that the server closed has been read by now, wherever the network brought it.
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the server closed it")
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) > IDLE_S:
            try:
                dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError("it does not answer") from error

    event.listen(pool, "checkin", note)
    event.listen(pool, "checkout", look)
