"""Rows of sessions: workers and people's consumers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from muster.domain.attempt import AttemptEnd
from muster.domain.errors import NotFoundError
from muster.domain.retry import next_pause
from muster.server.adapters.sql.deltas import add_delta
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import attempt, dead, delayed, holder, holder_live, leased, ready, taskforce
from muster.server.adapters.sql.schema import queue as queue_table
from muster.server.adapters.sql.step_rules import RETRY_TOPIC
from muster.server.ports import holders as port


class SqlHolders:
    """See `muster.server.ports.holders.Holders`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, new: port.Session) -> int:
        number = self._session.take_number()
        self._session.execute(insert(holder), asdict(new) | {"number": number, "call": 0})
        if new.ended is None:
            self._session.execute(insert(holder_live), {"number": number})
        return number

    def get(self, number: int) -> port.Session:
        row = self._session.execute(select(holder).where(holder.c.number == number)).one_or_none()
        if row is None:
            raise NotFoundError(f"no session has the number {number}")
        return _read(row)

    def list_live(self, taskforce_uuids: Sequence[str]) -> Sequence[port.Session]:
        query = (
            select(holder)
            .where(holder.c.taskforce_uuid.in_(taskforce_uuids), holder.c.ended.is_(None))
            .order_by(holder.c.number)
        )
        return [_read(row) for row in self._session.execute(query)]

    def find_of_proc(self, taskforce_uuid: str, cluster: str, proc: int) -> Sequence[port.Session]:
        query = (
            select(holder)
            .where(
                holder.c.taskforce_uuid == taskforce_uuid,
                holder.c.cluster == cluster,
                holder.c.proc == proc,
                holder.c.ended.is_(None),
            )
            .order_by(holder.c.number)
        )
        return [_read(row) for row in self._session.execute(query)]

    def end(self, number: int, *, reason: str, is_death: bool = False) -> None:
        ended = self._session.execute(
            update(holder)
            .where(holder.c.number == number, holder.c.ended.is_(None))
            .values(ended=reason)
            .returning(holder.c.at_once)
        ).one_or_none()
        if ended is None:
            return
        self._session.execute(delete(holder_live).where(holder_live.c.number == number))
        self._give_back(number, at_once=ended.at_once if is_death else None)

    def _give_back(self, number: int, *, at_once: int | None) -> None:
        """What the session holds waits again; a row keeps who had it, by which a late result is known. `at_once` None: nobody died."""
        held = self._session.execute(delete(leased).where(leased.c.holder == number).returning(leased)).all()
        if not held:
            return
        oldest = sorted(held, key=lambda row: (row.call, row.event))[: at_once or 0]
        counted = {row.event for row in oldest}
        uncounted = AttemptEnd.RELEASED if at_once is None else AttemptEnd.ABANDONED
        rules = self._rules({row.queue for row in held}) if counted else {}
        over = [row for row in held if row.event in counted and row.attempts >= rules[row.queue].attempts]
        later = [row for row in held if row.event in counted and row not in over and rules[row.queue].retry_s]
        back = [row for row in held if row not in over and row not in later]
        now = self._session.now()
        if over:
            self._session.execute(
                insert(dead),
                [
                    {"queue": row.queue, "event": row.event, "attempts": row.attempts, "fence": row.fence, "at": now}
                    for row in over
                ],
            )
        if later:
            self._session.execute(
                insert(delayed),
                [
                    {
                        "queue": row.queue,
                        "event": row.event,
                        "attempts": row.attempts,
                        "fence": row.fence,
                        "due": now + next_pause(row.attempts, retry_s=rules[row.queue].retry_s),
                    }
                    for row in later
                ],
            )
            self._session.topics[RETRY_TOPIC] = None
        if back:
            self._session.execute(
                insert(ready),
                [
                    {
                        "queue": row.queue,
                        "event": row.event,
                        "attempts": row.attempts if row.event in counted else row.attempts - 1,
                        "fence": row.fence,
                    }
                    for row in back
                ],
            )
        self._session.execute(
            insert(attempt),
            [
                {
                    "event": row.event,
                    "fence": row.fence,
                    "queue": row.queue,
                    "holder": number,
                    "end": (AttemptEnd.EXPIRED if row.event in counted else uncounted).value,
                    "since": row.since,
                    "at": now,
                    "wall_s": 0.0,
                }
                for row in held
            ],
        )
        died, failed = Counter(row.queue for row in over), Counter(row.queue for row in oldest)
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
    )
