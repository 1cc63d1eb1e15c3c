"""What did removed workflows leave? It goes in small steps, however many rows they are.

Events have no index by queue (each would cost per event), so a walk over their numbers finds them, once for all queues that are to go; on
PostgreSQL a partition that holds nothing else is dropped whole.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, tuple_, update

from muster.domain.ids import NODE_BITS, SERIAL_BITS
from muster.server.adapters.sql.partitions import drop_unwanted_partition
from muster.server.adapters.sql.retention_schema import attempt_log, purged, removed_queue
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import (
    attempt,
    counter,
    dead,
    delayed,
    delta,
    event,
    event_key,
    finished,
    holder,
    holder_live,
    ready,
    taskforce,
)
from muster.server.ports.retention import After, Swept

MARGIN = 3_600_000 << (NODE_BITS + SERIAL_BITS)
"""An hour of event numbers: by so much the clocks of services may differ that gave those of one workflow."""
_ANY = (1 << 63) - 1
"""No number is higher."""
_OF_QUEUES = (ready, delayed, dead, event_key, attempt, attempt_log)
"""Tables with an index by queue."""


class SqlRemoved:
    """See `muster.server.ports.retention.Removed`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def sweep_places(self, *, limit: int) -> Swept:
        left = limit
        for table in _OF_QUEUES:
            key = tuple(table.primary_key)
            chosen = select(*key).where(table.c.queue.in_(_removed_until(None))).limit(left)
            left -= self._session.execute(delete(table).where(tuple_(*key).in_(chosen))).rowcount
            if left <= 0:
                return Swept((0, 0))
        return Swept(None)

    def drop_partition(self, after: After) -> Swept:
        if not self._session.is_postgres:
            return Swept(None)
        span = drop_unwanted_partition(self._session.connection, after=after[0] - 1, now=self._session.now())
        return Swept(None if span is None else (span + 1, 0))

    def sweep_events(self, after: After, *, upto: float, limit: int) -> Swept:
        def remove(low: int, high: int) -> None:
            for table, key in ((finished, finished.c.event), (event, event.c.id)):
                of_these = table.c.queue.in_(_removed_until(upto))
                self._session.execute(delete(table).where(key > low, key <= high, of_these))

        highest = select(func.max(removed_queue.c.last)).where(_is_unswept(upto))
        last = self._session.connection.scalar(highest) or 0
        return self._walk(event.c.id, after, upto=upto, last=last, limit=limit, remove=remove)

    def sweep_sessions(self, after: After, *, upto: float, limit: int) -> Swept:
        def remove(low: int, high: int) -> None:
            is_nobodys = or_(
                and_(
                    holder.c.taskforce_uuid.is_not(None),
                    ~exists().where(taskforce.c.taskforce_uuid == holder.c.taskforce_uuid),
                ),
                holder.c.consumer_queue.in_(_removed_until(upto)),
            )
            gone = select(holder.c.number).where(holder.c.number > low, holder.c.number <= high, is_nobodys)
            self._session.execute(delete(holder_live).where(holder_live.c.number.in_(gone)))
            self._session.execute(delete(holder).where(holder.c.number.in_(gone)))

        # To the newest: people consume long after the end.
        return self._walk(holder.c.number, after, upto=upto, last=_ANY, limit=limit, remove=remove)

    def _walk(self, key: ColumnElement[int], after: After, *, upto: float, last: int, limit: int, remove: Any) -> Swept:
        """The next `limit` rows by number, from the first that the removed queues can have to `last`."""
        lowest = select(func.min(removed_queue.c.first)).where(_is_unswept(upto))
        first = self._session.connection.scalar(lowest)
        if first is None:
            return Swept(None)
        low = max(after[0], first)
        ahead = select(key).where(key > low, key <= last).order_by(key)
        high = self._session.connection.scalar(ahead.offset(limit - 1).limit(1))
        remove(low, last if high is None else high)
        return Swept(None if high is None else (high, 0))

    def end_sweep(self, *, upto: float) -> None:
        gone = _removed_until(upto)
        for table in (delta, counter, purged):
            self._session.execute(delete(table).where(table.c.queue.in_(gone)))
        swept = removed_queue.c.removed_at <= upto
        if not self._session.is_postgres:  # which counts on from the highest number (`SqlQueues.next_numbers`)
            highest = select(func.max(removed_queue.c.number)).scalar_subquery()
            self._session.execute(update(removed_queue).where(_is_unswept(upto)).values(swept=True))
            swept = and_(swept, removed_queue.c.number < highest)
        self._session.execute(delete(removed_queue).where(swept))


def _is_unswept(upto: float | None) -> ColumnElement[bool]:
    unswept = ~removed_queue.c.swept
    return unswept if upto is None else and_(unswept, removed_queue.c.removed_at <= upto)


def _removed_until(upto: float | None) -> Select[Any]:
    return select(removed_queue.c.number).where(_is_unswept(upto))
