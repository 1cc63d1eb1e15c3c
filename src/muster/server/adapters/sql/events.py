"""Rows of events, outside the hot path: publishing, and looking at single ones."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Column, Row, Select, Table, delete, func, literal, null, select

from muster.domain.attempt import FAILED_ENDS, AttemptEnd, AttemptError, CauseOfDeath
from muster.domain.errors import NotFoundError
from muster.domain.event_state import EventState
from muster.domain.usage import Usage
from muster.server.adapters.sql.deltas import add_delta
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import (
    attempt,
    dead,
    delayed,
    event,
    event_key,
    finished,
    holder,
    leased,
    ready,
    taskforce,
)
from muster.server.ports.events import AttemptRow, DeadLetter, ErrorGroup, EventRow, NewEvent, Published
from muster.server.ports.queue_engine import Body, BodyKind

CHUNK = 1000
WORKER_LOST = "worker lost: it died, or its lease ran out"
"""The cause by which attempts are grouped that ended because nobody renewed them."""
HOSTS_MAX = 20

_TABLES = {
    EventState.WAITING: (ready, delayed),
    EventState.IN_WORK: (leased,),
    EventState.DONE: (finished,),
    EventState.DEAD: (dead,),
}
_NEW, _NEW_KEYS, _NEW_READY = NewRows(event), NewRows(event_key), NewRows(ready)
_WITHOUT_BODY = select(*(column for column in event.c if column is not event.c.body))
_ERROR_FIELDS = {field.name for field in fields(AttemptError)}


class SqlEvents:
    """See `muster.server.ports.events.Events`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- publishing ----------------------------------------------------------------------------------------------

    def publish(self, queue: int, events: Sequence[NewEvent]) -> Sequence[Published]:
        published: list[Published] = []
        for start in range(0, len(events), CHUNK):
            published += self._publish_chunk(queue, events[start : start + CHUNK])
        if any(one.is_new for one in published):
            self._session.topics[f"queue:{queue}"] = None
        return published

    def _publish_chunk(self, queue: int, events: Sequence[NewEvent]) -> list[Published]:
        known = self._claim_keys(queue, [one.key for one in events if one.key is not None])
        ids = iter(self._session.ids.take(len(events), now_s=self._session.now()))
        published: list[Published] = []
        rows: list[dict[str, Any]] = []
        for one in events:
            if one.key is not None and one.key in known:
                published.append(Published(known[one.key], is_new=False))  # judged below
                continue
            number = next(ids)
            if one.key is not None:
                known[one.key] = number
            published.append(Published(number, is_new=True))
            rows.append(
                {"id": number, "queue": queue, "kind": one.body.kind.value, "key": one.key, "body": one.body.data}
            )
        if rows:
            self._session.insert(_NEW, rows)
            keyed = [{"queue": queue, "key": row["key"], "event": row["id"]} for row in rows if row["key"] is not None]
            self._session.insert(_NEW_KEYS, keyed)
            self._session.insert(
                _NEW_READY, [{"queue": queue, "event": row["id"], "attempts": 0, "fence": 0} for row in rows]
            )
            add_delta(self._session, queue, published=len(rows), waiting=len(rows))
        return self._judge_known(published, events)

    def _judge_known(self, published: list[Published], events: Sequence[NewEvent]) -> list[Published]:
        """Say of those whose key was known whether the earlier event has another body."""
        known = [(one.event, new.body) for one, new in zip(published, events, strict=True) if not one.is_new]
        if not known:
            return published
        # Only bodies as long as the new ones are read: together they are no more than the call itself has.
        size_bytes = func.length(event.c.body).label("size_bytes")
        shapes = select(event.c.id, event.c.kind, size_bytes).where(event.c.id.in_({number for number, _ in known}))
        shape_of = {row.id: (row.kind, row.size_bytes) for row in self._session.execute(shapes)}
        bodies = self._read_bodies(
            {number for number, body in known if shape_of.get(number) == (body.kind.value, len(body.data))}
        )
        return [
            one
            if one.is_new or one.event not in shape_of or shape_of[one.event][0] == BodyKind.PURGED  # nobody knows
            else replace(one, is_other=bodies.get(one.event) != new.body)
            for one, new in zip(published, events, strict=True)
        ]

    def _claim_keys(self, queue: int, keys: Sequence[str]) -> dict[str, int]:
        """Those of the keys that are known, with their events. On PostgreSQL nobody else publishes to the queue with keys until the
        commit, so that the same key in two calls at once is one event.
        """
        if not keys:
            return {}
        if self._session.is_postgres:
            self._session.execute(select(func.pg_advisory_xact_lock(literal(_KEYS_LOCK), literal(queue))))
        query = select(event_key.c.key, event_key.c.event).where(event_key.c.queue == queue, event_key.c.key.in_(keys))
        return {row.key: row.event for row in self._session.execute(query)}

    def replay(self, queue: int, events: Sequence[int] | None, *, limit: int) -> Sequence[int]:
        chosen = select(dead.c.event).where(dead.c.queue == queue).order_by(dead.c.event).limit(limit)
        if events is not None:
            chosen = chosen.where(dead.c.event.in_(events))
        moved = self._session.execute(
            delete(dead).where(dead.c.queue == queue, dead.c.event.in_(chosen)).returning(dead.c.event, dead.c.fence)
        ).all()
        if moved:
            self._session.insert(
                _NEW_READY, [{"queue": queue, "event": row.event, "attempts": 0, "fence": row.fence} for row in moved]
            )
            add_delta(self._session, queue, waiting=len(moved), dead=-len(moved))
            self._session.topics[f"queue:{queue}"] = None
        return sorted(row.event for row in moved)

    # -- looking -------------------------------------------------------------------------------------------------

    def get(self, event_id: int) -> EventRow:
        row = self._session.execute(select(event).where(event.c.id == event_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"no event has the number {event_id}")
        for state, tables in _TABLES.items():
            for table in tables:
                place = self._session.execute(
                    select(table).where(table.c.queue == row.queue, table.c.event == event_id)
                ).one_or_none()
                if place is not None:
                    return self._read_event(row, state, place)
        raise NotFoundError(f"event {event_id} is in no queue: it was purged")

    def list_page(self, queue: int, state: EventState, *, after: int, limit: int) -> Sequence[EventRow]:
        found: dict[int, Row[Any]] = {}
        for table in _TABLES[state]:
            of_queue = select(table).where(table.c.queue == queue, table.c.event > after)
            found |= {
                place.event: place for place in self._session.execute(of_queue.order_by(table.c.event).limit(limit))
            }
        places = {number: found[number] for number in sorted(found)[:limit]}
        rows = self._session.execute(_WITHOUT_BODY.where(event.c.id.in_(places)).order_by(event.c.id))
        return [self._read_event(row, state, places[row.id], is_row_of_list=True) for row in rows]

    def list_bodies(self, events: Sequence[int], *, size_bytes_max: int) -> Mapping[int, Body]:
        # The lengths first: neither database reads a long body to tell its length.
        lengths = select(event.c.id, func.length(event.c.body).label("size_bytes")).where(event.c.id.in_(events))
        size_of = {row.id: row.size_bytes for row in self._session.execute(lengths)}
        chosen: list[int] = []
        total_bytes = 0
        for number in events:
            total_bytes += size_of.get(number, 0)
            if chosen and total_bytes > size_bytes_max:
                break
            chosen.append(number)
        return self._read_bodies(chosen)

    def _read_bodies(self, events: Collection[int]) -> dict[int, Body]:
        query = select(event.c.id, event.c.kind, event.c.body).where(event.c.id.in_(events))
        return {row.id: Body(BodyKind(row.kind), bytes(row.body)) for row in self._session.execute(query)}

    def list_attempts(self, event_id: int) -> Sequence[AttemptRow]:
        ended: Select[Any] = (
            select(
                attempt.c.fence,
                attempt.c.end,
                attempt.c.since,
                attempt.c.at,
                attempt.c.wall_s,
                attempt.c.error,
                *_usage_of(attempt),
                holder,
                taskforce.c.revision,
            )
            .outerjoin(holder, holder.c.number == attempt.c.holder)
            .outerjoin(taskforce, taskforce.c.taskforce_uuid == holder.c.taskforce_uuid)
            .where(attempt.c.event == event_id)
        )
        done: Select[Any] = (
            select(
                finished.c.fence,
                null().label("end"),
                finished.c.since,
                finished.c.at,
                finished.c.wall_s,
                null().label("error"),
                *_usage_of(finished),
                holder,
                taskforce.c.revision,
            )
            .outerjoin(holder, holder.c.number == finished.c.holder)
            .outerjoin(taskforce, taskforce.c.taskforce_uuid == holder.c.taskforce_uuid)
            .where(finished.c.event == event_id)
        )
        rows = [*self._session.execute(ended), *self._session.execute(done)]
        # A late result has both rows: its attempt row says how, the finished row that it counts.
        attempts = {row.fence: _read_attempt(row) for row in reversed(rows)}
        return [attempts[fence] for fence in sorted(attempts)]

    def list_dead(self, queue: int, *, after: int, limit: int) -> Sequence[DeadLetter]:
        query = (
            select(dead, attempt.c.error)
            .outerjoin(attempt, (attempt.c.event == dead.c.event) & (attempt.c.fence == dead.c.fence))
            .where(dead.c.queue == queue, dead.c.event > after)
            .order_by(dead.c.event)
            .limit(limit)
        )
        return [
            DeadLetter(row.event, row.queue, row.attempts, row.at, _read_error(row.error))
            for row in self._session.execute(query)
        ]

    def list_errors(self, queues: Sequence[int], *, limit: int) -> Sequence[ErrorGroup]:
        cause = func.coalesce(attempt.c.fingerprint, WORKER_LOST)
        failures = func.count().label("failures")
        query = (
            select(
                cause.label("cause"),
                failures,
                func.count(attempt.c.event.distinct()).label("events"),
                func.count(finished.c.event.distinct()).label("done"),
                func.min(attempt.c.event).label("example"),
                func.min(attempt.c.at).label("first_at"),
                func.max(attempt.c.at).label("last_at"),
            )
            .outerjoin(finished, finished.c.event == attempt.c.event)
            .where(attempt.c.queue.in_(queues), attempt.c.end.in_(FAILED_ENDS))
            .group_by(cause)
            .order_by(failures.desc(), cause)
            .limit(limit)
        )
        return [self._read_group(row, queues) for row in self._session.execute(query).all()]

    def list_deaths(self, queues: Sequence[int], *, limit: int) -> Sequence[CauseOfDeath]:
        cause, events = func.coalesce(attempt.c.fingerprint, WORKER_LOST).label("cause"), func.count().label("events")
        query = (
            select(cause, events, func.min(dead.c.at).label("first_at"), func.max(dead.c.at).label("last_at"))
            .outerjoin(attempt, (attempt.c.event == dead.c.event) & (attempt.c.fence == dead.c.fence))
            .where(dead.c.queue.in_(queues))
            .group_by(cause)
            .order_by(events.desc(), cause)
            .limit(limit)
        )
        return [CauseOfDeath(row.cause, row.events, row.first_at, row.last_at) for row in self._session.execute(query)]

    # -- reading rows ----------------------------------------------------------------------------------------------

    def _read_event(
        self, row: Row[Any], state: EventState, place: Row[Any], *, is_row_of_list: bool = False
    ) -> EventRow:
        return EventRow(
            event=row.id,
            queue=row.queue,
            state=state,
            attempts=place.attempts,
            body=Body(BodyKind(row.kind), b"" if is_row_of_list else bytes(row.body)),
            key=row.key,
            parent=row.parent,
            results=self._list_results(place) if state is EventState.DONE and not is_row_of_list else (),
            retry_at=getattr(place, "due", None),
            result=_read_result(place) if state is EventState.DONE and not is_row_of_list else None,
        )

    def _list_results(self, place: Row[Any]) -> Sequence[int]:
        if not place.results or place.first_result is None:
            return ()
        query = (
            select(event.c.id)
            .where(event.c.id >= place.first_result, event.c.parent == place.event)
            .order_by(event.c.id)
            .limit(place.results)
        )
        return list(self._session.execute(query).scalars())

    def _read_group(self, row: Row[Any], queues: Sequence[int]) -> ErrorGroup:
        of_group = [
            attempt.c.queue.in_(queues),
            attempt.c.end.in_(FAILED_ENDS),
            attempt.c.fingerprint.is_(None) if row.cause == WORKER_LOST else attempt.c.fingerprint == row.cause,
        ]
        example = self._session.connection.scalar(
            select(attempt.c.error).where(*of_group, attempt.c.event == row.example).order_by(attempt.c.fence).limit(1)
        )
        hosts = self._session.execute(
            select(holder.c.host)
            .join(attempt, attempt.c.holder == holder.c.number)
            .where(*of_group)
            .distinct()
            .order_by(holder.c.host)
            .limit(HOSTS_MAX)
        )
        error = _read_error(example)
        return ErrorGroup(
            fingerprint=row.cause,
            failures=row.failures,
            events=row.events,
            done=row.done,
            example_event=row.example,
            example_text=error.text if error else WORKER_LOST,
            first_at=row.first_at,
            last_at=row.last_at,
            hosts=list(hosts.scalars()),
        )


_KEYS_LOCK = 0x6B657973
"""The class of advisory locks on a queue's keys."""


def _read_result(place: Row[Any]) -> Body | None:
    return None if place.kind is None else Body(BodyKind(place.kind), bytes(place.result))


def _read_attempt(row: Row[Any]) -> AttemptRow:
    return AttemptRow(
        fence=row.fence,
        end=None if row.end is None else AttemptEnd(row.end),
        worker="" if row.number is None else f"{row.cluster}.{row.proc}@{row.host}",
        host=row.host or "",
        site=row.site or "",
        started_at=row.since,
        ended_at=row.at,
        wall_s=row.wall_s,
        error=_read_error(row.error),
        revision=row.revision,
        isolation=row.isolation or "",
        usage=Usage(
            cpu_s=None if row.cpu_us is None else row.cpu_us / 1e6,
            memory_bytes=row.memory_bytes,
            bytes_in=row.bytes_in,
            bytes_out=row.bytes_out,
        ),
    )


def _usage_of(table: Table) -> list[Column[Any]]:
    return [table.c[name] for name in ("cpu_us", "memory_bytes", "bytes_in", "bytes_out")]


def _read_error(text: str | None) -> AttemptError | None:
    if text is None:
        return None
    values = json.loads(text)
    return AttemptError(**{name: value for name, value in values.items() if name in _ERROR_FIELDS})
