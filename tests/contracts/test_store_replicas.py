"""Does the store keep its word on PostgreSQL when others work beside it, and when the server goes away?"""

import random
import re
import time
from collections.abc import AsyncIterator

import anyio
import asyncpg
import pytest

from contracts.store_bench import Bench, a_workflow, open_bench, until
from muster.domain.errors import UnavailableError
from muster.domain.outbox import Cursor, Notice
from muster.domain.queue import Counts
from muster.server.adapters.sql.replicas import HEARD_S, PLACE_S
from muster.server.ports.store import Transaction
from services.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.server]

BEGINNING = Cursor()
NOTICE = (
    "INSERT INTO outbox (txid, subject, kind, at, data)"
    " VALUES (pg_current_xact_id()::text::bigint, $1, 'taskforce.phase', 0, '{}')"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bench(postgres_url: str) -> AsyncIterator[Bench]:
    async with open_bench(postgres_url) as bench:
        yield bench


@pytest.fixture
async def other(postgres_url: str, bench: Bench) -> AsyncIterator[Bench]:
    """Another service on the same database."""
    async with open_bench(postgres_url) as other:
        yield other


async def list_all(bench: Bench, cursor: Cursor = BEGINNING) -> tuple[list[str], Cursor]:
    found = await bench.read(lambda tx: tx.outbox.list_after(cursor, subject=None, limit=10_000))
    return [notice.subject for _, notice in found], found[-1][0] if found else cursor


async def test_services_know_of_each_other_until_one_is_gone(bench: Bench, other: Bench) -> None:
    one, another = [await each.read(lambda tx: tx.get_share()) for each in (bench, other)]
    raw = await asyncpg.connect(bench.url)
    until = "extract(epoch FROM clock_timestamp()) + $2"
    shares = []
    for left_s in (PLACE_S - HEARD_S / 2, PLACE_S - HEARD_S - 1):  # its last heartbeat
        await raw.execute(f"UPDATE replica SET until = {until} WHERE node = $1", another.own, left_s)
        shares.append(await bench.read(lambda tx: tx.get_share()))
    await raw.close()
    late, alone = shares

    assert one.own != another.own
    assert {*one.others} == {*another.others} == {one.own, another.own}
    assert {*late.others} == {one.own, another.own}
    assert [*alone.others] == [one.own]


async def test_a_notice_that_commits_late_is_not_skipped(bench: Bench) -> None:
    raw = await asyncpg.connect(bench.url)
    transaction = raw.transaction()
    await transaction.start()
    await raw.execute(NOTICE, "first")
    await bench.write(lambda tx: tx.outbox.insert(Notice("second", "taskforce.phase", 0.0, {})))

    seen, cursor = await list_all(bench)
    await transaction.commit()
    await raw.close()
    later, _ = await list_all(bench, cursor)

    assert seen == []
    assert later == ["first", "second"]


async def test_notices_that_wait_for_an_older_transaction_are_said_to_and_so_is_what_they_wait_for(
    bench: Bench,
) -> None:
    await bench.write(lambda tx: tx.outbox.insert(Notice("WF-1", "workflow.created", 0.0, {})))
    raw = await asyncpg.connect(bench.url, server_settings={"application_name": "a long report"})
    transaction = raw.transaction()
    await transaction.start()
    number = int(await raw.fetchval("SELECT pg_current_xact_id()::text"))
    await bench.write(lambda tx: tx.outbox.insert(Notice("WF-1", "workflow.ended", 0.0, {})))
    await bench.write(lambda tx: tx.outbox.insert(Notice("WF-2", "workflow.created", 0.0, {})))

    held = [
        await bench.read(lambda tx, one=one: tx.outbox.list_newest(one, limit=9))  # type: ignore[misc]
        for one in ("WF-1", "WF-2", "WF-3")
    ]
    horizon = await bench.read(lambda tx: tx.outbox.find_horizon())
    await transaction.rollback()
    await raw.close()
    free = await bench.read(lambda tx: tx.outbox.list_newest("WF-1", limit=9))

    assert [([notice.kind for _, notice in one.notices], one.is_held_back) for one in held] == [
        (["workflow.created"], True),
        ([], True),
        ([], False),
    ]
    assert [notice.kind for _, notice in free.notices] == ["workflow.created", "workflow.ended"]
    assert not free.is_held_back
    assert horizon is not None
    assert horizon.transaction == number
    assert re.fullmatch(
        r"process \d+ of postgres, a long report, idle in transaction, begun at \d\d:\d\d:\d\d UTC", horizon.holder
    )


async def test_no_notice_is_skipped_or_told_twice_among_many_that_commit_at_random(bench: Bench) -> None:
    chance = random.Random(7)
    written: list[str] = []
    read: list[str] = []
    is_over = False

    async def write(writer: int) -> None:
        raw = await asyncpg.connect(bench.url)
        for number in range(25):
            async with raw.transaction():
                await raw.execute(NOTICE, f"{writer}.{number}")
                await anyio.sleep(chance.choice([0, 0, 0.001, 0.01]))
            written.append(f"{writer}.{number}")
        await raw.close()

    async def follow() -> None:
        cursor = Cursor()
        with anyio.fail_after(60):
            while True:
                was_over = is_over
                found, cursor = await list_all(bench, cursor)
                read.extend(found)
                if was_over and len(read) >= len(written):
                    return

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        async with anyio.create_task_group() as writers:
            for writer in range(6):
                writers.start_soon(write, writer)
        is_over = True

    assert sorted(read) == sorted(written)
    for writer in range(6):
        of_one = [int(one.split(".")[1]) for one in read if one.startswith(f"{writer}.")]
        assert of_one == sorted(of_one)


async def test_a_read_sees_one_moment(bench: Bench) -> None:
    queue = await bench.add_queue()
    gate = await asyncpg.connect(bench.url)
    await gate.execute("SELECT pg_advisory_lock(1)")

    def look_twice(tx: Transaction) -> tuple[Counts, Counts]:
        before = tx.queues.counts([queue])[queue]
        tx._session.connection.exec_driver_sql("SELECT pg_advisory_lock_shared(1)")  # type: ignore[attr-defined]
        return before, tx.queues.counts([queue])[queue]

    async def publish() -> None:
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: gate.fetchval(waits))
        await bench.publish(queue, b"1")
        await gate.execute("SELECT pg_advisory_unlock(1)")

    async with anyio.create_task_group() as group:
        group.start_soon(publish)
        seen = await bench.read(look_twice)
    await gate.close()

    assert seen == (Counts(), Counts())
    assert await bench.counts(queue) == Counts(published=1, waiting=1)


async def test_two_that_lock_each_other_out_both_commit_in_the_end(bench: Bench, other: Bench) -> None:
    for name in ("WF-1", "WF-2"):
        await bench.write(lambda tx, name=name: tx.workflows.insert(a_workflow(name), []))  # type: ignore[misc]

    async def lock(one: Bench, *names: str) -> None:
        def work(tx: Transaction) -> None:
            for name in names:
                tx.workflows.get(name, lock=True)
                tx._session.connection.exec_driver_sql("SELECT pg_sleep(0.2)")  # type: ignore[attr-defined]
            tx.outbox.insert(Notice(names[0], "workflow.created", 0.0, {}))

        await one.write(work)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lock, bench, "WF-1", "WF-2")
            group.start_soon(lock, other, "WF-2", "WF-1")

    assert sorted((await list_all(bench))[0]) == ["WF-1", "WF-2"]


async def test_callers_that_go_away_leave_whole_transactions_and_free_connections(bench: Bench) -> None:
    chance = random.Random(11)
    queue = await bench.add_queue()

    async def publish_and_go() -> None:
        with anyio.move_on_after(chance.random() * 0.05):
            await bench.publish(queue, *[b"1"] * 20)

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(publish_and_go)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(bench.publish, queue, b"2")

    recount = (await bench.read(lambda tx: tx.queues.recount([queue])))[queue]
    assert recount.kept == recount.counted
    assert recount.kept.adds_up
    assert recount.kept.published % 20 == 0
    assert recount.kept.published >= 20


async def test_a_commit_wakes_those_who_wait_at_another_service(bench: Bench, other: Bench) -> None:
    with other.database.waking.listen("launch") as there, bench.database.waking.listen("launch") as here:
        with anyio.fail_after(30):
            while not await there.wait(0.2):  # until the other one listens
                await bench.write(lambda tx: tx.wake("launch"))
        assert await here.wait(0)

        queue = await bench.add_queue()
        with other.database.waking.listen(f"queue:{queue}") as bell:
            await bench.publish(queue, b"1")
            assert await bell.wait(30)


async def test_many_commits_are_told_of_in_few_notifications(bench: Bench) -> None:
    told: list[object] = []
    raw = await asyncpg.connect(bench.url)
    await raw.add_listener("muster", lambda *heard: told.append(heard[-1]))

    async def is_bridge_up() -> bool:
        await bench.write(lambda tx: tx.wake("last"))
        return bool(told)

    await until(is_bridge_up)
    told.clear()
    began = time.monotonic()

    for number in range(200):
        bench.database.waking.wake_after_commit([f"queue:{number}"])
        await anyio.lowlevel.checkpoint()

    async def is_last_told() -> bool:
        return "queue:199" in " ".join(map(str, told))

    await until(is_last_told)
    took_s = time.monotonic() - began
    await raw.close()

    assert len(told) <= took_s / 0.01 + 2
    assert all(f"queue:{number}" in " ".join(map(str, told)).split() for number in range(200))


async def test_a_server_that_crashes_makes_the_store_unavailable_until_it_is_back(
    own_postgres: PostgresServer,
) -> None:
    async with open_bench(own_postgres.make_database()) as bench, open_bench(bench.url) as other:
        queue = await bench.add_queue()
        await bench.publish(queue, b"1")
        await anyio.to_thread.run_sync(own_postgres.kill)

        for call in (
            bench.store.check(),
            bench.store.heartbeat(),
            bench.publish(queue, b"2"),
            bench.counts(queue),
            bench.store.get_secret("worker"),
        ):
            with pytest.raises(UnavailableError):
                await call

        await anyio.to_thread.run_sync(own_postgres.start)
        await bench.store.check()
        await bench.store.heartbeat()
        assert await bench.counts(queue) == Counts(published=1, waiting=1)
        await bench.publish(queue, b"2")
        assert await bench.counts(queue) == Counts(published=2, waiting=2)
        with other.database.waking.listen("launch") as bell, anyio.fail_after(60):
            while not await bell.wait(0.2):  # until both listen again
                await bench.write(lambda tx: tx.wake("launch"))


async def test_a_crash_in_the_middle_of_writes_loses_nothing_that_was_answered(own_postgres: PostgresServer) -> None:
    answered: set[int] = set()
    unanswered = 0
    async with open_bench(own_postgres.make_database()) as bench:
        queue = await bench.add_queue()

        async def publish() -> None:
            nonlocal unanswered
            for _ in range(200):
                try:
                    answered.update(await bench.publish(queue, b"1", b"2"))
                except UnavailableError:
                    unanswered += 1
                    return

        async def is_some_answered() -> bool:
            return len(answered) >= 40

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(publish)
            await until(is_some_answered)
            await anyio.to_thread.run_sync(own_postgres.kill)
        await anyio.to_thread.run_sync(own_postgres.start)

        assert unanswered == 4
        recount = (await bench.read(lambda tx: tx.queues.recount([queue])))[queue]
        assert recount.kept == recount.counted
        assert len(answered) <= recount.kept.published <= len(answered) + 2 * unanswered
        for event in answered:
            await bench.read(lambda tx, event=event: tx.events.get(event))  # type: ignore[misc]
