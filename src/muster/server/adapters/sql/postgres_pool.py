"""Is a connection of the pool still good? Without asking the server each time, which would double what a short transaction takes."""

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

IDLE_S = 0.05
"""A connection that nobody has used for so long is asked before it is given out: under load none is."""


def watch_connections(engine: "AsyncEngine") -> None:
    """Give out no connection that has been idle and does not answer; another one comes in its place."""
    pool, dialect = engine.sync_engine.pool, engine.sync_engine.dialect

    def note(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def look(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) > IDLE_S:
            try:
                dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError("it does not answer") from error

    event.listen(pool, "checkin", note)
    event.listen(pool, "checkout", look)
