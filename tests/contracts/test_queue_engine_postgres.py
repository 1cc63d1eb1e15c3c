"""Does the PostgreSQL engine share its connections fairly, survive their loss, and keep its tables small?"""

import socket
import time
from collections.abc import AsyncIterator, Sequence

import anyio
import asyncpg
import pytest

from contracts.queue_engine_bench import LIVE_S, Bench, postgres_bench
from contracts.queue_engine_contract import Worker, done, failed, released, step
from muster.domain.attempt import Verdict
from muster.domain.errors import UnavailableError
from muster.domain.ids import EventIds
from muster.domain.queue import Counts
from muster.server.adapters.sql.postgres_engine import PostgresEngine
from muster.server.ports.queue_engine import SessionEndedError, StepAnswer

pytestmark = [pytest.mark.anyio, pytest.mark.server]
DEADLINE_S = 60.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bench(postgres_url: str) -> AsyncIterator[Bench]:
    async with postgres_bench(postgres_url) as bench:
        yield bench


@pytest.fixture
async def narrow(postgres_url: str) -> AsyncIterator[Bench]:
    """A bench whose engine has one connection, so that what waits must share it."""
    async with postgres_bench(postgres_url, connections=1) as bench:
        yield bench


async def together(bench: Bench, *asked: tuple[int, Sequence[int], int]) -> list[StepAnswer | Exception]:
    """First calls of sessions that arrive at once, as (holder, queues, want); gives answers and errors in order."""
    results: dict[int, StepAnswer | Exception] = {}

    async def ask(index: int, holder: int, queues: Sequence[int], want: int) -> None:
        try:
            results[index] = await bench.engine.step(step(holder, 1, queues, want=want))
        except (SessionEndedError, UnavailableError, asyncpg.DataError) as error:
            results[index] = error

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            for index, one in enumerate(asked):
                group.start_soon(ask, index, *one)
    return [results[index] for index in range(len(asked))]


async def transactions(bench: Bench) -> int:
    """How many transactions made leases that are in force."""
    ((number,),) = await bench.sql.run("SELECT count(DISTINCT xmin::text) FROM leased")
    return int(number)


async def test_calls_that_arrive_together_share_a_transaction_and_its_events(narrow: Bench) -> None:
    queue = await narrow.add_queue()
    events = await narrow.publish(queue, 7)
    sessions = [await narrow.add_session() for _ in range(4)]
    await narrow.engine.fold()

    answers = await together(narrow, *((session, [queue], 2) for session in sessions))

    assert [[one.event for one in answer.leased] for answer in answers if isinstance(answer, StepAnswer)] == [
        events[0:2],
        events[2:4],
        events[4:6],
        events[6:],
    ]
    assert await transactions(narrow) == 1
    assert await narrow.sql.run("SELECT count(*) FROM delta") == [(1,)]
    assert await narrow.counts(queue) == Counts(published=7, in_work=7)


async def test_calls_with_different_queues_and_ended_sessions_share_a_transaction_too(narrow: Bench) -> None:
    left, right = await narrow.add_queue(), await narrow.add_queue()
    in_left, in_right = await narrow.publish(left, 2), await narrow.publish(right, 2)
    sessions = [await narrow.add_session() for _ in range(4)]
    await narrow.end_session(sessions[1])

    a, b, c, d = await together(
        narrow,
        (sessions[0], [left, right], 1),
        (sessions[1], [left, right], 1),
        (sessions[2], [right, left], 3),
        (sessions[3], [], 5),
    )

    assert isinstance(b, SessionEndedError)
    assert isinstance(a, StepAnswer)
    assert isinstance(c, StepAnswer)
    assert [one.event for one in a.leased] == in_left[:1]
    assert [one.event for one in c.leased] == [*in_right, in_left[1]]
    assert d == StepAnswer([], [])
    assert await transactions(narrow) == 1


async def test_a_poisoned_call_fails_alone(narrow: Bench) -> None:
    queue = await narrow.add_queue()
    await narrow.publish(queue, 4)
    sessions = [await narrow.add_session() for _ in range(3)]

    good, bad, other = await together(
        narrow, (sessions[0], [queue], 1), (sessions[1], [1 << 40], 1), (sessions[2], [queue], 1)
    )

    assert isinstance(bad, asyncpg.DataError)  # a queue number that no column could hold
    assert isinstance(good, StepAnswer)
    assert isinstance(other, StepAnswer)
    assert [len(good.leased), len(other.leased)] == [1, 1]


async def test_two_calls_of_a_session_at_once_are_carried_out_one_after_the_other(bench: Bench) -> None:
    queue = await bench.add_queue()
    events = await bench.publish(queue, 4)
    session = await bench.add_session()

    first, again = await together(bench, (session, [queue], 3), (session, [queue], 3))

    assert isinstance(first, StepAnswer)
    assert isinstance(again, StepAnswer)
    assert [one.event for one in first.leased] == [one.event for one in again.leased] == events[:3]


async def test_what_goes_back_through_another_service_is_found_below_the_head(bench: Bench) -> None:
    queue = await bench.add_queue(attempts=50)
    events = await bench.publish(queue, 40)
    here = Worker(bench.engine, await bench.add_session(), [queue])
    async with bench.replica() as other:
        there = Worker(other, await bench.add_session(), [queue])
        (leased,) = await there.lease()
        assert [one.event for one in await here.lease(5)] == events[1:6]  # so here the head is behind it
        assert await there.judge(failed(leased)) is Verdict.REQUEUED

    found = None
    deadline = time.monotonic() + DEADLINE_S
    while found != events[0]:
        assert time.monotonic() < deadline
        (one,) = await here.lease()  # what it is given goes back at once, so the queue does not run dry
        found = one.event
        await here.call(failed(one))


async def test_the_engine_goes_on_after_its_connections_were_cut(bench: Bench) -> None:
    queue = await bench.add_queue()
    await bench.publish(queue, 3)
    worker = Worker(bench.engine, await bench.add_session(), [queue])
    (leased,) = await worker.lease()
    await bench.engine.tend()
    cut = await bench.sql.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ 'muster_|VACUUM|pg_stat_user'"
    )
    assert cut

    call = step(worker.holder, 2, [queue], done(leased), want=1)
    deadline = time.monotonic() + DEADLINE_S
    answer = None
    while answer is None:
        assert time.monotonic() < deadline
        try:
            answer = await bench.engine.step(call)  # the same call again, as a worker would
        except UnavailableError:
            continue
    assert (list(answer.verdicts), len(answer.leased)) == ([Verdict.DONE], 1)
    for _ in range(2):
        try:
            await bench.engine.tend()
        except UnavailableError:
            continue
    await bench.engine.tend()
    assert await bench.counts(queue) == Counts(published=3, waiting=1, in_work=1, done=1)


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))  # bound and not listening: nobody else takes the port, and nobody answers
    url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(url, timeout=5)

    async with PostgresEngine(connect, EventIds()) as engine:
        for _ in range(3):
            with pytest.raises(UnavailableError, match="does not answer"):
                await engine.renew(1, [], lease_s=1.0)
        with pytest.raises(UnavailableError, match="does not answer"):
            await engine.tend()
    with pytest.raises(UnavailableError, match="closed"):
        await engine.fold()
    silent.close()


async def test_closing_answers_whoever_waits(postgres_url: str) -> None:
    answers: list[int] = []
    async with postgres_bench(postgres_url) as bench:
        sessions = [await bench.add_session() for _ in range(200)]
        async with bench.replica() as other, anyio.create_task_group() as group:

            async def renew(session: int) -> None:
                assert await other.renew(session, [], lease_s=LIVE_S) == []
                answers.append(session)

            for session in sessions:
                group.start_soon(renew, session)
            await anyio.lowlevel.checkpoint()
    assert sorted(answers) == sessions


async def test_a_cancelled_caller_disturbs_nobody(narrow: Bench) -> None:
    queue = await narrow.add_queue()
    await narrow.publish(queue, 2)
    first, second = [await narrow.add_session() for _ in range(2)]
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(narrow.engine.step, step(first, 1, [queue], want=1))
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        answer = await narrow.engine.step(step(second, 1, [queue], want=2))
    assert answer.leased


N_ROWS = 6_000
"""Of each table: any of them read whole is far more than a step of a few events needs."""


async def do_one_of_each(bench: Bench, worker: Worker, kin: Worker) -> None:
    """Each statement of a step: done, failed, released, late from the queue and from another's lease, a repeat, a parked call."""
    (queue,) = worker.queues
    await bench.publish(queue, 6)
    a, b, c, d, e = await worker.lease(5)
    answer = await worker.call(done(a, b"1"), failed(b), released(c), done(c, b"1"))
    assert list(answer.verdicts) == [Verdict.DONE, Verdict.REQUEUED, Verdict.REQUEUED, Verdict.LATE]
    answer = await kin.call(done(d, b"1"), failed(e), done(a, b"1"), want=2)
    assert list(answer.verdicts) == [Verdict.LATE, Verdict.STALE, Verdict.DONE]
    again = step(kin.holder, kin.calls, [queue], want=2)
    for repeated in (await kin.engine.step(again), await kin.engine.lease_more(again)):
        assert [one.event for one in repeated.leased] == [one.event for one in answer.leased]
    await worker.call(failed(e))
    await kin.call(*map(done, answer.leased))


async def fill(bench: Bench, queue: int, holder: int) -> None:
    """Give every table that a step looks into many rows of no concern to it: all leases are the holder's."""
    events: list[int] = []
    for table, columns, values in (
        ("event", "id, queue, kind, body", "i, {queue}, 0, '1'"),
        ("ready", "event, queue, attempts, fence", "i, {queue}, 0, 0"),
        ("leased", "event, queue, holder, call, attempts, fence, since", "i, {queue}, {holder}, 1000000, 1, 1, 0"),
        ("attempt", 'event, fence, queue, holder, "end", since, at, wall_s', "i, 1, {queue}, {holder}, 2, 0, 0, 0"),
        (
            "finished",
            "event, queue, holder, fence, attempts, late, since, at, wall_s, results",
            "i, {queue}, {holder}, 2, 1, false, 0, 0, 0, 0",
        ),
        (
            "holder",
            "number, taskforce_uuid, owner, cluster, proc, start, at_once, host, site, begun_at, until, call",
            "i, 'TF-x', '', 'c', 0, 1, 1, 'h', 's', 0, 0, 0",
        ),
    ):
        chosen = values.format(queue=queue, holder=holder)
        if table != "ready":  # what is ready has a body
            events = list(bench.ids.take(N_ROWS, now_s=time.time()))
        await bench.sql.run(f"INSERT INTO {table} ({columns}) SELECT {chosen} FROM unnest(?::bigint[]) i", events)


async def test_plans_made_while_the_tables_were_empty_read_no_more_when_they_are_full(
    bench: Bench, postgres_url: str
) -> None:
    ((schema,),) = await bench.sql.run("SELECT current_schema()::text")
    opened: list[asyncpg.Connection[asyncpg.Record]] = []

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        opened.append(await asyncpg.connect(postgres_url, server_settings={"search_path": schema}))
        return opened[-1]

    async def count_rows_read() -> int:
        await opened[0].execute("SELECT pg_stat_force_next_flush()")
        ((rows,),) = await bench.sql.run(
            "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = current_schema())"
            " + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = current_schema())"
        )
        return int(rows)

    queue, output = await bench.add_queue(attempts=99), await bench.add_queue()
    async with PostgresEngine(connect, EventIds(node=9), connections=1) as engine:
        worker, kin = [Worker(engine, await bench.add_session(), [queue], [output]) for _ in range(2)]
        await do_one_of_each(bench, worker, kin)
        while_empty = await count_rows_read()
        await fill(bench, queue, worker.holder)
        before = await count_rows_read()
        await do_one_of_each(bench, worker, kin)
        while_full = await count_rows_read() - before

    assert while_empty > 0
    assert while_full < N_ROWS / 2


async def test_tending_takes_away_dead_rows_and_is_idle_otherwise(bench: Bench) -> None:
    queue = await bench.add_queue()
    await bench.publish(queue, 30)
    worker = Worker(bench.engine, await bench.add_session(), [queue])
    await worker.call(*(done(one) for one in await worker.lease(30)))

    async def dead_rows() -> int:
        ((number,),) = await bench.sql.run(
            "SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE schemaname = current_schema()"
            " AND relname IN ('ready', 'leased') AND vacuum_count > 0"
        )
        return -1 if number is None else int(number)

    deadline = time.monotonic() + DEADLINE_S
    while await dead_rows() != 0:  # statistics arrive a moment later
        assert time.monotonic() < deadline
        await bench.engine.tend()
