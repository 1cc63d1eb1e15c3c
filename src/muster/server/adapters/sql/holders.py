"""Rows of sessions: workers and people's consumers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Row, Table, bindparam, delete, func, insert, select, update

from muster.domain.attempt import AttemptEnd
from muster.domain.errors import NotFoundError
from muster.domain.retry import next_pause
from muster.server.adapters.sql.deltas import add_delta
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import attempt, dead, delayed, holder, holder_live, leased, ready, taskforce
from muster.server.adapters.sql.schema import queue as queue_table
from muster.server.adapters.sql.step_rules import RETRY_TOPIC
from muster.server.ports import holders as port

TOGETHER_MAX = 1000
"""Sessions that end with the same statements."""
# Statements of every enrolment, of which there may be 20,000 at once, are built once: building one takes four times as long as its work.
_FIELDS = tuple(field.name for field in fields(port.Session))
_INSERT, _INSERT_LIVE = insert(holder), insert(holder_live)
_OF_PROC = (
    select(holder)
    .where(
        holder.c.taskforce_uuid == bindparam("taskforce_uuid"),
        holder.c.cluster == bindparam("cluster"),
        holder.c.proc == bindparam("proc"),
        holder.c.ended.is_(None),
    )
    .order_by(holder.c.number)
)


class SqlHolders:
    """See `muster.server.ports.holders.Holders`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, new: port.Session) -> int:
        number = self._session.take_number()
        self._session.execute(_INSERT, {name: getattr(new, name) for name in _FIELDS} | {"number": number, "call": 0})
        if new.ended is None:
            self._session.execute(_INSERT_LIVE, {"number": number})
        return number

    def get(self, number: int) -> port.Session:
        row = self._session.execute(select(holder).where(holder.c.number == number)).one_or_none()
        if row is None:
            raise NotFoundError(f"no session has the number {number}")
        return _read(row)

    def note_isolation(self, number: int, text: str) -> None:
        self._session.execute(update(holder).where(holder.c.number == number).values(isolation=text))

    def list_live(self, taskforce_uuids: Sequence[str]) -> Sequence[port.Session]:
        query = (
            select(holder)
            .where(holder.c.taskforce_uuid.in_(taskforce_uuids), holder.c.ended.is_(None))
            .order_by(holder.c.number)
        )
        return [_read(row) for row in self._session.execute(query)]

    def list_up(
        self, workflow_id: str, *, taskforce_uuid: str | None, after: int, limit: int
    ) -> Sequence[port.Session]:
        query = (
            select(holder)
            .join(taskforce, taskforce.c.taskforce_uuid == holder.c.taskforce_uuid)
            .where(taskforce.c.workflow_id == workflow_id, holder.c.ended.is_(None), holder.c.number > after)
            .order_by(holder.c.number)
            .limit(limit)
        )
        if taskforce_uuid is not None:
            query = query.where(holder.c.taskforce_uuid == taskforce_uuid)
        return [_read(row) for row in self._session.execute(query)]

    def count_held(self, numbers: Sequence[int]) -> Mapping[int, int]:
        query = select(leased.c.holder, func.count()).where(leased.c.holder.in_(numbers)).group_by(leased.c.holder)
        return {holder_: int(count) for holder_, count in self._session.execute(query)}

    def find_of_proc(self, taskforce_uuid: str, cluster: str, proc: int) -> Sequence[port.Session]:
        asked = {"taskforce_uuid": taskforce_uuid, "cluster": cluster, "proc": proc}
        return [_read(row) for row in self._session.execute(_OF_PROC, asked)]

    def end(self, numbers: Sequence[int], *, reason: str, are_deaths: bool = False) -> None:
        ordered = sorted(numbers)
        for start in range(0, len(ordered), TOGETHER_MAX):
            self._end(ordered[start : start + TOGETHER_MAX], reason=reason, are_deaths=are_deaths)

    def _end(self, numbers: Sequence[int], *, reason: str, are_deaths: bool) -> None:
        living = select(holder.c.number).where(holder.c.number.in_(numbers), holder.c.ended.is_(None))
        # In order of number, as the engine locks them: each way round waits for the other.
        locked = list(self._session.execute(living.order_by(holder.c.number).with_for_update()).scalars())
        if not locked:
            return
        ended = self._session.execute(
            update(holder)
            .where(holder.c.number.in_(locked))
            .values(ended=reason)
            .returning(holder.c.number, holder.c.at_once)
        ).all()
        self._session.execute(delete(holder_live).where(holder_live.c.number.in_(locked)))
        held = self._session.execute(delete(leased).where(leased.c.holder.in_(locked)).returning(leased)).all()
        if held:
            self._give_back(held, {row.number: row.at_once for row in ended} if are_deaths else None)

    def _give_back(self, held: Sequence[Row[Any]], at_once: Mapping[int, int] | None) -> None:
        """What sessions held waits again, or is dead. `at_once`: by session, how many events it worked on as it died; None: nobody did."""
        counted = _find_tried(held, at_once or {})
        rules = self._rules({row.queue for row in held}) if counted else {}
        over, later, back = list[Row[Any]](), list[Row[Any]](), list[Row[Any]]()
        for row in held:
            if row.event not in counted:
                back.append(row)
            elif row.attempts >= rules[row.queue].attempts:
                over.append(row)
            else:
                (later if rules[row.queue].retry_s else back).append(row)
        now = self._session.now()
        self._insert(dead, [_place(row, attempts=row.attempts, at=now) for row in over])
        self._insert(
            delayed,
            [
                _place(row, attempts=row.attempts, due=now + next_pause(row.attempts, retry_s=rules[row.queue].retry_s))
                for row in later
            ],
        )
        self._insert(ready, [_place(row, attempts=row.attempts - (row.event not in counted)) for row in back])
        uncounted = AttemptEnd.RELEASED if at_once is None else AttemptEnd.ABANDONED
        # Who had it is kept: by that a late result is known.
        self._insert(
            attempt,
            [
                {
                    "event": row.event,
                    "fence": row.fence,
                    "queue": row.queue,
                    "holder": row.holder,
                    "end": (AttemptEnd.EXPIRED if row.event in counted else uncounted).value,
                    "since": row.since,
                    "at": now,
                    "wall_s": 0.0,
                }
                for row in held
            ],
        )
        if later:
            self._session.topics[RETRY_TOPIC] = None
        died, failed = Counter(row.queue for row in over), Counter(row.queue for row in held if row.event in counted)
        for queue, count in sorted(Counter(row.queue for row in held).items()):
            add_delta(
                self._session,
                queue,
                waiting=count - died[queue],
                in_work=-count,
                dead=died[queue],
                failed=failed[queue],
            )
            self._session.topics[f"queue:{queue}"] = None

    def _insert(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        if rows:
            self._session.execute(insert(table), list(rows))

    def _rules(self, queues: set[int]) -> dict[int, Row[Any]]:
        """`attempts` and `retry_s` by queue."""
        columns = (queue_table.c.number, queue_table.c.attempts, queue_table.c.retry_s)
        query = select(*columns).where(queue_table.c.number.in_(queues))
        return {row.number: row for row in self._session.execute(query)}

    def count_live(self, workflow_id: str) -> Mapping[str, int]:
        query = (
            select(holder.c.taskforce_uuid, func.count())
            .join(taskforce, taskforce.c.taskforce_uuid == holder.c.taskforce_uuid)
            .where(taskforce.c.workflow_id == workflow_id, holder.c.ended.is_(None))
            .group_by(holder.c.taskforce_uuid)
        )
        return {uuid: int(count) for uuid, count in self._session.execute(query)}

    def count_live_of(self, taskforce_uuids: Sequence[str]) -> Mapping[str, int]:
        query = (
            select(holder.c.taskforce_uuid, func.count())
            .where(holder.c.taskforce_uuid.in_(taskforce_uuids), holder.c.ended.is_(None))
            .group_by(holder.c.taskforce_uuid)
        )
        return {uuid: int(count) for uuid, count in self._session.execute(query)}


def _find_tried(held: Sequence[Row[Any]], at_once: Mapping[int, int]) -> set[int]:
    """The events that sessions were working on: of each the oldest that it held, so many as it works on at once."""
    tried: set[int] = set()
    seen: Counter[int] = Counter()
    for row in sorted(held, key=lambda row: (row.holder, row.call, row.event)):
        if seen[row.holder] < at_once.get(row.holder, 0):
            tried.add(row.event)
        seen[row.holder] += 1
    return tried


def _place(row: Row[Any], *, attempts: int, **more: float) -> dict[str, object]:
    """The row of an event in the table that it goes to."""
    return {"queue": row.queue, "event": row.event, "attempts": attempts, "fence": row.fence} | more


def _read(row: Row[Any]) -> port.Session:
    return port.Session(
        number=row.number,
        taskforce_uuid=row.taskforce_uuid,
        consumer_queue=row.consumer_queue,
        owner=row.owner,
        cluster=row.cluster,
        proc=row.proc,
        start=row.start,
        at_once=row.at_once,
        host=row.host,
        site=row.site,
        begun_at=row.begun_at,
        until=row.until,
        ended=row.ended,
        isolation=row.isolation,
    )
