"""How does the queue engine run on PostgreSQL? Groups of calls, each group one server-side function (`postgres_step.sql`)."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from importlib.resources import files
from types import TracebackType
from typing import Self

import anyio
import asyncpg

from muster.domain.errors import UnavailableError
from muster.domain.ids import EventIds
from muster.server.adapters.sql.faults import BROKEN
from muster.server.adapters.sql.postgres_batcher import Batcher, Connect, Connection, Sort, close, read_error
from muster.server.adapters.sql.postgres_rows import Hints, StepArrays, StepCall
from muster.server.adapters.sql.step_rules import ENDED_EXPIRED, check_session, check_step, may_exist, name_topics
from muster.server.ports.queue_engine import Reaped, Requeued, SessionEndedError, Step, StepAnswer

FUNCTIONS = files(__package__).joinpath("postgres_step.sql").read_text(encoding="utf-8")
HOT_TABLES = ("ready", "delayed", "leased", "holder", "holder_live", "delta", "counter")
VACUUM_S_MAX = 300.0

_SETTINGS = "SET idle_in_transaction_session_timeout = '30s'; SET jit = off;"
_STEP = f"SELECT * FROM pg_temp.muster_step({', '.join(f'${i}' for i in range(1, 31))})"  # noqa: S608 - numbers
_RENEW = "SELECT o_of, o_event, o_fence FROM pg_temp.muster_renew($1, $2, $3, $4, $5)"
_REAP = "SELECT o_holders, o_requeued, o_dead, o_queues, o_delayed FROM pg_temp.muster_reap($1, $2)"
_REQUEUE_DUE = "SELECT o_events, o_queues, o_next_s FROM pg_temp.muster_requeue_due($1)"
_FOLD = "SELECT pg_temp.muster_fold()"
_CHANGES = """
SELECT coalesce(sum(n_dead_tup + n_mod_since_analyze), 0) FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND relname = ANY ($1)
"""
_VACUUM = f"VACUUM (ANALYZE) {', '.join(HOT_TABLES)}"

_RenewCall = tuple[int, tuple[tuple[int, int], ...], float]  # holder, held, lease_s
_RESULT_BYTES_A_WEIGHT = 1 << 14  # a full group carries 64 MiB of results at most


class PostgresEngine:
    """A `QueueEngine`; an async context manager. Any number of them, in any number of processes, may share a database.

    Args:
        connect: opens a connection; it is ours until we close it.
        ids: where the ids of results' events come from; its node differs from those of other processes.
        on_wake: called after a commit with the topics of queues that got events, in the event loop.
        connections: for the hot path; one more is opened for `tend`.
    """

    def __init__(
        self,
        connect: Connect,
        ids: EventIds,
        on_wake: Callable[[Iterable[str]], None] | None = None,
        *,
        connections: int = 2,
    ) -> None:
        self._connect = connect
        self._ids = ids
        self._on_wake = on_wake
        self._hints = Hints()
        self.batcher = Batcher(self._open, connections=connections)
        self._tending: Connection | None = None
        self._tend_lock = anyio.Lock()
        self._stack = AsyncExitStack()
        self._steps = Sort("step", self._carry_out_steps, lambda call: call.step.holder, _weigh_step)
        self._renewals = Sort("renew", _carry_out_renewals, lambda call: call[0], lambda call: len(call[1]))
        # Not two in one transaction, so the key is the same for all.
        self._reaps = Sort("reap", _carry_out_reap, lambda _: None, lambda _: 1)
        self._dues = Sort("requeue due", _carry_out_requeue_due, lambda _: None, lambda _: 1)
        self._folds = Sort("fold", _carry_out_fold, lambda _: None, lambda _: 1)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.batcher)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        if self._tending is not None:
            await close(self._tending)

    async def step(self, step: Step) -> StepAnswer:
        check_step(step)
        answer = await self.batcher.submit(self._steps, StepCall(step, is_more=False))
        self._wake(answer.published | answer.requeued, has_delayed=answer.has_delayed)
        return answer

    async def lease_more(self, step: Step) -> StepAnswer:
        check_step(step)
        bare = Step(step.holder, step.call, step.queues, (), (), step.want, step.lease_s)
        return await self.batcher.submit(self._steps, StepCall(bare, is_more=True))

    async def renew(self, holder: int, held: Sequence[tuple[int, int]], *, lease_s: float) -> Sequence[int]:
        check_session(holder, lease_s)
        return await self.batcher.submit(self._renewals, (holder, tuple(held), float(lease_s)))

    async def reap(self, *, limit: int) -> Reaped:
        reaped = await self.batcher.submit(self._reaps, limit)
        self._hints.forget(reaped.queues)
        self._wake(reaped.queues, has_delayed=reaped.has_delayed)
        return reaped

    async def requeue_due(self, *, limit: int) -> Requeued:
        requeued = await self.batcher.submit(self._dues, limit)
        self._hints.forget(requeued.queues)
        self._wake(requeued.queues)
        return requeued

    async def fold(self) -> int:
        return await self.batcher.submit(self._folds, None)

    async def tend(self) -> None:
        async with self._tend_lock:
            try:
                if self._tending is None or self._tending.is_closed():
                    async with asyncio.timeout(VACUUM_S_MAX):
                        self._tending = await self._connect()
                if await self._tending.fetchval(_CHANGES, HOT_TABLES, timeout=VACUUM_S_MAX):
                    await self._tending.execute(_VACUUM, timeout=VACUUM_S_MAX)
            except asyncpg.PostgresError as error:
                raise read_error(error, is_closed=False) from error
            except BROKEN as error:
                if self._tending is not None:
                    self._tending.terminate()
                raise UnavailableError(f"the database does not answer: {error}") from error

    def went_back(self, queues: Iterable[int]) -> None:
        """Another part of this process has sent events back to queues, and committed: look at their fronts at once.

        Without this (from another process, say) they are found within a second.
        """
        self._hints.forget(queues)

    # -- in the batcher's tasks ------------------------------------------------------------------------------------------

    async def _open(self) -> Connection:
        connection = await self._connect()
        try:
            await connection.execute(_SETTINGS)
            await connection.execute(FUNCTIONS)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _carry_out_steps(
        self, connection: Connection, calls: Sequence[StepCall]
    ) -> Sequence[StepAnswer | Exception]:
        arrays = StepArrays(calls)
        rows = await connection.fetch(_STEP, *arrays.arguments(self._ids, self._hints))
        return arrays.read(rows, self._hints)

    def _wake(self, queues: frozenset[int], *, has_delayed: bool = False) -> None:
        topics = name_topics(queues, has_delayed=has_delayed)
        if topics and self._on_wake is not None:
            self._on_wake(topics)


def _weigh_step(call: StepCall) -> int:
    step = call.step
    size = sum(len(body.data) for finished in step.finished for body in finished.results) * max(1, len(step.outputs))
    return 1 + len(step.finished) + step.want + size // _RESULT_BYTES_A_WEIGHT


async def _carry_out_renewals(
    connection: Connection, calls: Sequence[_RenewCall]
) -> Sequence[Sequence[int] | Exception]:
    named = [
        (index, event, fence)
        for index, (_, held, _) in enumerate(calls, 1)
        for event, fence in held
        if may_exist(event, fence)
    ]
    rows = await connection.fetch(
        _RENEW,
        [holder for holder, _, _ in calls],
        [lease_s for _, _, lease_s in calls],
        *(zip(*named, strict=True) if named else ([], [], [])),
    )
    over = {of for of, event, _ in rows if event is None}
    lost = {tuple(row) for row in rows}
    return [
        SessionEndedError()
        if index in over
        else [event for event, fence in held if (index, event, fence) in lost or not may_exist(event, fence)]
        for index, (_, held, _) in enumerate(calls, 1)
    ]


async def _carry_out_reap(connection: Connection, calls: Sequence[int]) -> Sequence[Reaped]:
    row = await connection.fetchrow(_REAP, calls[0], ENDED_EXPIRED)
    assert row is not None, "a function with OUT parameters gives a row"
    holders, requeued, dead, queues, has_delayed = row
    return [Reaped(holders, requeued, dead, frozenset(queues), has_delayed)]


async def _carry_out_requeue_due(connection: Connection, calls: Sequence[int]) -> Sequence[Requeued]:
    row = await connection.fetchrow(_REQUEUE_DUE, calls[0])
    assert row is not None, "a function with OUT parameters gives a row"
    events, queues, next_s = row
    return [Requeued(events, frozenset(queues), next_s)]


async def _carry_out_fold(connection: Connection, calls: Sequence[None]) -> Sequence[int]:
    return [int(await connection.fetchval(_FOLD)) for _ in calls]
