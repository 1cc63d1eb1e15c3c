"""Rows of queues, and their accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Column, Integer, Row, Table, bindparam, func, select, union_all, update
from sqlalchemy import Sequence as DatabaseSequence

from muster.domain.attempt import FAILED_ENDS, AttemptEnd
from muster.domain.errors import NotFoundError
from muster.domain.queue import Counts, Queue
from muster.domain.usage import UsageSums
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.retention_schema import PURGED_PARTS, purged, removed_queue
from muster.server.adapters.sql.rows import LookUp, Session
from muster.server.adapters.sql.schema import (
    attempt,
    counter,
    dead,
    delayed,
    delta,
    event,
    finished,
    leased,
    queue,
    ready,
)
from muster.server.adapters.sql.usage_sums import read_usage, recount_usage
from muster.server.ports.store import Recount

_PARTS = tuple(field.name for field in fields(Counts))
_PLACES = (
    ("published", event),
    ("waiting", ready),
    ("waiting", delayed),
    ("in_work", leased),
    ("done", finished),
    ("dead", dead),
)
# Statements that every workflow needs are built once: building one takes four times as long as carrying it out, the account's twenty.
_NEW, _NEW_COUNTERS = NewRows(queue), NewRows(counter)
_ZEROS = dict.fromkeys(_PARTS, 0)
_NEXT_NUMBERS = LookUp(
    select(DatabaseSequence("queue_number").next_value()).select_from(
        func.generate_series(1, bindparam("count", type_=Integer)).alias()
    )
)
# No number is given twice: rows of a queue that was removed may still be there. Each maximum is the end of an index; one of both tables
# together would read them whole. (SQLite's `max` of two values is what others call `greatest`.)
_LAST_NUMBER = select(
    func.max(
        *(select(func.coalesce(func.max(table.c.number), 0)).scalar_subquery() for table in (queue, removed_queue))
    )
)
_FIND = select(queue).where(queue.c.queue_id.in_(bindparam("queue_ids", expanding=True)))
_OF_WORKFLOW = LookUp(select(queue).where(queue.c.workflow_id == bindparam("workflow_id")).order_by(queue.c.number))
_CHANGES = union_all(
    *(
        select(table.c.queue, *(table.c[part] for part in _PARTS)).where(
            table.c.queue.in_(bindparam("numbers", expanding=True))
        )
        for table in (counter, delta)
    )
).subquery()
_COUNTS = select(_CHANGES.c.queue, *(func.sum(_CHANGES.c[part]).label(part) for part in _PARTS)).group_by(
    _CHANGES.c.queue
)


class SqlQueues:
    """See `muster.server.ports.store.Queues`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, queues: Sequence[Queue]) -> None:
        self._session.insert(_NEW, [vars(one) for one in queues])
        self._session.insert(_NEW_COUNTERS, [_ZEROS | {"queue": one.number} for one in queues])

    def next_numbers(self, count: int) -> Sequence[int]:
        if self._session.is_postgres:
            return list(self._session.look_up(_NEXT_NUMBERS, {"count": count}).scalars())
        last = self._session.execute(_LAST_NUMBER).scalar_one()
        return list(range(last + 1, last + 1 + count))

    def list_of_workflow(self, workflow_id: str) -> Sequence[Queue]:
        rows = self._session.look_up(_OF_WORKFLOW, {"workflow_id": workflow_id})
        return [_read(row) for row in rows]

    def find(self, queue_ids: Sequence[str]) -> Mapping[str, Queue]:
        found = self._session.execute(_FIND, {"queue_ids": list(queue_ids)})
        return {row.queue_id: _read(row) for row in found}

    def get(self, number: int) -> Queue:
        row = self._session.execute(select(queue).where(queue.c.number == number)).one_or_none()
        if row is None:
            raise NotFoundError(f"no queue has the number {number}")
        return _read(row)

    def close(self, number: int, *, at: float) -> None:
        self._session.execute(
            update(queue).where(queue.c.number == number, queue.c.closed_at.is_(None)).values(closed_at=at)
        )

    def counts(self, numbers: Sequence[int]) -> Mapping[int, Counts]:
        found = {
            number: Counts(**dict(zip(_PARTS, map(int, parts), strict=True)))
            for number, *parts in self._session.execute(_COUNTS, {"numbers": list(numbers)})
        }
        return {number: found.get(number, Counts()) for number in numbers}

    def usage(self, numbers: Sequence[int]) -> Mapping[int, UsageSums]:
        return read_usage(self._session, numbers)

    def has_ready(self, numbers: Sequence[int]) -> bool:
        query = select(ready.c.event).where(ready.c.queue.in_(numbers)).limit(1)
        return self._session.connection.scalar(query) is not None

    def find_next_due(self, numbers: Sequence[int]) -> float | None:
        query = select(delayed.c.due).where(delayed.c.queue.in_(numbers)).order_by(delayed.c.due).limit(1)
        return self._session.connection.scalar(query)

    def recount(self, numbers: Sequence[int]) -> Mapping[int, Recount]:
        kept = self.counts(numbers)
        counted = {number: dict.fromkeys(_PARTS, 0) for number in numbers}
        for part, table in _PLACES:
            for row in self._session.execute(self._count(table, numbers)):
                counted[row.queue][part] += row.rows
        for row in self._session.execute(self._count(attempt, numbers, attempt.c.end)):
            if row.end in FAILED_ENDS:
                counted[row.queue]["failed"] += row.rows
            elif row.end == AttemptEnd.DUPLICATE:
                counted[row.queue]["duplicates"] += row.rows
        for row in self._session.execute(select(purged).where(purged.c.queue.in_(numbers))):
            for part in PURGED_PARTS:
                counted[row.queue][part] += getattr(row, part)
        twice = self._count_twice(numbers)
        usage, usage_counted = self.usage(numbers), recount_usage(self._session, numbers)
        return {
            number: Recount(
                kept=kept[number],
                counted=Counts(**counted[number]),
                counted_twice=twice.get(number, 0),
                usage_kept=replace(usage[number], memory_bytes=0),
                usage_counted=usage_counted[number],
            )
            for number in numbers
        }

    @staticmethod
    def _count(table: Table, numbers: Sequence[int], *by: Column[Any]) -> Any:
        """Rows of each queue, or of each queue and value of a further column."""
        return (
            select(table.c.queue, *by, func.count().label("rows"))
            .where(table.c.queue.in_(numbers))
            .group_by(table.c.queue, *by)
        )

    def _count_twice(self, numbers: Sequence[int]) -> Mapping[int, int]:
        """Events that made more events than the one result that counted says."""
        parent = event.alias("parent")
        children = (
            select(event.c.parent.label("id"), func.count().label("made"))
            .where(event.c.parent.is_not(None))
            .group_by(event.c.parent)
            .subquery()
        )
        query = (
            select(parent.c.queue, func.count().label("rows"))
            .select_from(children.join(parent, parent.c.id == children.c.id))
            .join(finished, finished.c.event == children.c.id)
            .where(parent.c.queue.in_(numbers), children.c.made > finished.c.results)
            .group_by(parent.c.queue)
        )
        return {row.queue: row.rows for row in self._session.execute(query)}


def _read(row: Row[Any]) -> Queue:
    return Queue(
        number=row.number,
        queue_id=row.queue_id,
        workflow_id=row.workflow_id,
        alias=row.alias,
        is_public=bool(row.is_public),
        is_input=bool(row.is_input),
        is_output=bool(row.is_output),
        closed_at=row.closed_at,
        attempts=row.attempts,
        lease_s=row.lease_s,
        retry_s=row.retry_s,
    )
