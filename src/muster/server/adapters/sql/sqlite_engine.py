"""How does the queue engine run on SQLite? Prepared statements, in the one writer's thread."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence

from muster.domain.attempt import AttemptEnd, Verdict
from muster.domain.errors import NotFoundError
from muster.domain.ids import EventIds
from muster.server.adapters.sql.sqlite_ladder import SQL, Deltas, Ladder, Lease, Rule
from muster.server.adapters.sql.sqlite_writer import SqliteWriter
from muster.server.adapters.sql.step_rules import (
    ENDED_EXPIRED,
    WANT_MAX,
    check_session,
    check_step,
    name_topics,
)
from muster.server.ports.queue_engine import (
    Body,
    BodyKind,
    Leased,
    Reaped,
    Requeued,
    SessionEndedError,
    Step,
    StepAnswer,
)

_KINDS = {kind.value: kind for kind in BodyKind}


class SqliteEngine:
    """A `QueueEngine` over the writer that the store uses too.

    Args:
        ids: where the ids of results' events come from; the same source that publishes.
        on_wake: called after a commit with the topics of queues that got events, in the event loop.
    """

    def __init__(
        self, writer: SqliteWriter, ids: EventIds, on_wake: Callable[[Iterable[str]], None] | None = None
    ) -> None:
        self._writer = writer
        self._ids = ids  # used in the writer's thread alone
        self._on_wake = on_wake
        self._rules: dict[int, Rule] = {}

    async def step(self, step: Step) -> StepAnswer:
        check_step(step)
        answer = await self._writer.run(lambda connection: self._step(connection, step))
        self._wake(answer.published | answer.requeued, has_delayed=answer.has_delayed)
        return answer

    async def lease_more(self, step: Step) -> StepAnswer:
        check_step(step)
        return await self._writer.run(lambda connection: self._lease_more(connection, step))

    async def renew(self, holder: int, held: Sequence[tuple[int, int]], *, lease_s: float) -> Sequence[int]:
        check_session(holder, lease_s)

        def work(connection: sqlite3.Connection) -> Sequence[int]:
            if connection.execute(SQL["renew"], (time.time() + lease_s, 0, holder)).rowcount == 0:
                raise SessionEndedError
            ours = set(connection.execute(SQL["held"], (holder,)))
            return [event for event, fence in held if (event, fence) not in ours]

        return await self._writer.run(work)

    async def reap(self, *, limit: int) -> Reaped:
        reaped = await self._writer.run(lambda connection: self._reap(connection, limit))
        self._wake(reaped.queues, has_delayed=reaped.has_delayed)
        return reaped

    async def requeue_due(self, *, limit: int) -> Requeued:
        requeued = await self._writer.run(lambda connection: _requeue_due(connection, limit))
        self._wake(requeued.queues)
        return requeued

    async def fold(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute(SQL["fold"])
            return connection.execute(SQL["folded"]).rowcount

        return await self._writer.run(work)

    async def tend(self) -> None:
        """SQLite frees what is deleted by itself."""

    # -- in the writer's thread ------------------------------------------------------------------------------------------

    def _step(self, connection: sqlite3.Connection, step: Step) -> StepAnswer:
        now = time.time()
        newest = _open_session(connection, step, now)
        deltas = Deltas()
        ladder = self._make_ladder(connection, step.holder, step.outputs, deltas, now)
        verdicts = ladder.judge_all(step.finished)
        is_repeat = step.call <= newest
        leased = self._list_leased(connection, step) if is_repeat else self._lease(connection, step, deltas, now)
        deltas.write(connection)
        published, requeued = frozenset(ladder.published), frozenset(ladder.requeued)
        return StepAnswer(
            verdicts, leased, published, requeued, superseded=step.call < newest, has_delayed=ladder.has_delayed
        )

    def _lease_more(self, connection: sqlite3.Connection, step: Step) -> StepAnswer:
        now = time.time()
        newest = _open_session(connection, step, now)
        leased = self._list_leased(connection, step)  # this call may have leased before, unheard
        if not leased and step.call == newest:
            deltas = Deltas()
            leased = self._lease(connection, step, deltas, now)
            deltas.write(connection)
        return StepAnswer([], leased, superseded=step.call < newest)

    def _lease(self, connection: sqlite3.Connection, step: Step, deltas: Deltas, now: float) -> list[Leased]:
        leased: list[Leased] = []
        want = min(step.want, WANT_MAX)
        for queue in dict.fromkeys(step.queues):
            if len(leased) >= want:
                break
            rows = connection.execute(SQL["peek"], (queue, want - len(leased))).fetchall()
            if not rows:
                continue
            last = rows[-1][0]
            connection.execute(SQL["lease"], (step.holder, step.call, now, queue, last))
            connection.execute(SQL["unready"], (queue, last))
            deltas.add(queue, waiting=-len(rows), in_work=len(rows))
            limit = self._rule_of(connection, queue).limit
            leased += [
                Leased(
                    event,
                    fence + 1,
                    attempts + 1,
                    Body(_KINDS[kind], body),
                    key,
                    limit,
                    _deaths(connection, event, fence),
                    queue,
                )
                for event, fence, attempts, kind, key, body in rows
            ]
        return leased

    def _list_leased(self, connection: sqlite3.Connection, step: Step) -> list[Leased]:
        """What this call of the session leased, as far as it is still held."""
        rows = connection.execute(SQL["leased_by_call"], (step.holder, step.call)).fetchall()
        place = {queue: index for index, queue in enumerate(step.queues)}
        rows.sort(key=lambda row: (place.get(row[6], len(place)), row[0]))
        return [
            Leased(
                event,
                fence,
                attempts,
                Body(_KINDS[kind], body),
                key,
                self._rule_of(connection, queue).limit,
                _deaths(connection, event, fence - 1),
                queue,
            )
            for event, fence, attempts, kind, key, body, queue in rows
        ]

    def _reap(self, connection: sqlite3.Connection, limit: int) -> Reaped:
        now = time.time()
        deltas = Deltas()
        requeued = dead = 0
        queues: set[int] = set()
        has_delayed = False
        expired = connection.execute(SQL["expired"], (now, limit)).fetchall()
        for holder, at_once in expired:
            ladder = self._make_ladder(connection, holder, (), deltas, now)
            held = sorted(connection.execute(SQL["take_held"], (holder,)))
            for place, (_, event, queue, attempts, fence, since) in enumerate(held):
                is_counted = place < at_once
                lease = Lease(queue, holder, attempts, fence, since)
                ladder.write_attempt(event, lease, AttemptEnd.EXPIRED if is_counted else AttemptEnd.ABANDONED)
                is_dead = ladder.send_back(event, lease, is_counted=is_counted) is Verdict.DEAD
                dead += is_dead
                requeued += not is_dead
            queues |= ladder.requeued
            has_delayed |= ladder.has_delayed
            connection.execute(SQL["end_session"], (ENDED_EXPIRED, holder))
            connection.execute(SQL["unlive"], (holder,))
        deltas.write(connection)
        return Reaped(len(expired), requeued, dead, frozenset(queues), has_delayed)

    def _make_ladder(
        self, connection: sqlite3.Connection, holder: int, outputs: Sequence[int], deltas: Deltas, now: float
    ) -> Ladder:
        return Ladder(
            connection,
            holder,
            tuple(dict.fromkeys(outputs)),
            now,
            lambda queue: self._rule_of(connection, queue),
            lambda count: self._ids.take(count, now_s=now),
            deltas,
        )

    def _rule_of(self, connection: sqlite3.Connection, queue: int) -> Rule:
        rule = self._rules.get(queue)
        if rule is None:
            row = connection.execute(SQL["rule"], (queue,)).fetchone()
            if row is None:
                raise NotFoundError(f"queue number {queue} does not exist")
            rule = self._rules[queue] = Rule(*row)
        return rule

    def _wake(self, queues: frozenset[int], *, has_delayed: bool = False) -> None:
        topics = name_topics(queues, has_delayed=has_delayed)
        if topics and self._on_wake is not None:
            self._on_wake(topics)


def _requeue_due(connection: sqlite3.Connection, limit: int) -> Requeued:
    now = time.time()
    due = connection.execute(SQL["due"], (now, limit)).fetchall()
    connection.executemany(SQL["undelay"], [row[:2] for row in due])
    connection.executemany(SQL["ready"], due)
    next_due = connection.execute(SQL["next_due"]).fetchone()[0]
    next_s = None if next_due is None else max(0.0, next_due - now)
    return Requeued(len(due), frozenset(queue for queue, *_ in due), next_s)


def _deaths(connection: sqlite3.Connection, event: int, leases: int) -> int:
    """How many workers died while they held an event that had so many leases before this one."""
    return int(connection.execute(SQL["deaths"], (event,)).fetchone()[0]) if leases else 0


def _open_session(connection: sqlite3.Connection, step: Step, now: float) -> int:
    """Renew the step's session. Returns its newest call before this one. Raises SessionEndedError."""
    row = connection.execute(SQL["session"], (step.holder,)).fetchone()
    if row is None:
        raise SessionEndedError
    connection.execute(SQL["renew"], (now + step.lease_s, step.call, step.holder))
    return int(row[0])
