"""Do short works that share a transaction stay as whole, and as much on their own, as if each had one, on both databases?"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sized
from dataclasses import replace
from functools import partial
from typing import Any, Never

import anyio
import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from contracts.store_bench import A_WORKFLOW, Bench, a_workflow, an_event, open_bench, until
from harness.statements import counted_statements
from muster.domain.errors import ConflictError, NotFoundError, UnavailableError
from muster.domain.outbox import BEGINNING, Notice
from muster.domain.queue import Counts
from muster.domain.workflow import Workflow
from muster.server.adapters.sql import database, postgres_groups
from muster.server.adapters.sql.postgres_groups import WORKS_MAX
from muster.server.adapters.sql.postgres_store import ALONE_MAX, PostgresStore
from muster.server.ports.store import StoredAnswer, Transaction

pytestmark = pytest.mark.anyio

GROUP = "publish WF-1"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class OnPurposeError(Exception):
    """No error of ours: a fault."""


def publish_one(tx: Transaction, queue: int) -> int:
    [published] = tx.events.publish(queue, [an_event()])
    return published.event


def refuse_first(tx: Transaction, queue: int) -> Never:
    tx.queues.get(queue)
    tx.workflows.get("WF-nowhere")
    raise AssertionError


def refuse_last(tx: Transaction, queue: int, error: Exception) -> Never:
    publish_one(tx, queue)
    tx.outbox.insert(Notice("WF-1", "queue.closed", 1.0, {}))
    tx.wake("drain")
    raise error


def insert_and_refuse(tx: Transaction) -> Never:
    tx.outbox.insert(Notice("WF-1", "queue.closed", 1.0, {}))
    raise ConflictError("inserted for nothing")


def change_and_refuse(tx: Transaction) -> Never:
    tx.workflows.update(replace(A_WORKFLOW, ended_by="eve"))
    raise ConflictError("changed for nothing")


def wake_and_refuse(tx: Transaction) -> Never:
    tx.wake("drain")
    raise ConflictError("woken for nothing")


def lock_of(owner: str, route: str, key: str) -> int:
    """By which a request's key is locked."""
    digest = hashlib.sha256(f"{owner}\0{route}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _has(found: Sized, count: int) -> bool:
    return len(found) >= count


async def some_wait(connection: "asyncpg.Connection[Any]") -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


class GroupContract:
    async def test_each_has_its_answer_and_all_is_kept(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        numbers: list[int] = []

        async def publish() -> None:
            numbers.append(await bench.store.write(partial(publish_one, queue=queue), group=GROUP))

        async with anyio.create_task_group() as group:
            for _ in range(3 * WORKS_MAX):
                group.start_soon(publish)

        assert len(set(numbers)) == 3 * WORKS_MAX
        assert await bench.counts(queue) == Counts(published=3 * WORKS_MAX, waiting=3 * WORKS_MAX)

    @pytest.mark.parametrize("error", [ConflictError("too late"), OnPurposeError("a fault")])
    async def test_what_one_raises_undoes_its_own_and_nothing_else(self, bench: Bench, error: Exception) -> None:
        queue = await bench.add_queue()
        raised: list[Exception] = []

        async def do(number: int) -> None:
            work = (
                partial(publish_one, queue=queue),
                partial(refuse_first, queue=queue),
                partial(refuse_last, queue=queue, error=error),
            )[number % 3]
            try:
                await bench.store.write(work, group=GROUP)
            except Exception as its:  # noqa: BLE001 - looked at below
                raised.append(its)

        with bench.database.waking.listen("drain") as bell:
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(do, number)
            rung = await bell.wait(0.0)

        assert sorted(type(its).__name__ for its in raised) == sorted(["NotFoundError", type(error).__name__] * 4)
        assert await bench.counts(queue) == Counts(published=4, waiting=4)
        assert list(await bench.read(lambda tx: tx.outbox.list_after(BEGINNING, subject=None, limit=9))) == []
        assert not rung

    @pytest.mark.parametrize("work", [wake_and_refuse, insert_and_refuse, change_and_refuse])
    async def test_whatever_a_refused_one_did_is_not_kept(
        self, bench: Bench, work: Callable[[Transaction], Never]
    ) -> None:
        queue = await bench.add_queue()
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        with bench.database.waking.listen("drain") as bell:
            async with anyio.create_task_group() as group:
                group.start_soon(partial(bench.store.write, partial(publish_one, queue=queue), group=GROUP))
                with pytest.raises(ConflictError):
                    await bench.store.write(work, group=GROUP)
            rung = await bell.wait(0.0)

        assert not rung
        assert list(await bench.read(lambda tx: tx.outbox.list_after(BEGINNING, subject=None, limit=9))) == []
        assert await bench.read(lambda tx: tx.workflows.get("WF-1")) == A_WORKFLOW
        assert await bench.counts(queue) == Counts(published=1, waiting=1)

    async def test_who_waits_for_what_one_did_is_woken_once_it_is_kept(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        with bench.database.waking.listen(f"queue:{queue}") as bell, bench.database.waking.listen("drain") as other:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(partial(bench.store.write, partial(publish_one, queue=queue), group=GROUP))
            rung = await bell.wait(0.0), await other.wait(0.0)

        assert rung == (True, False)

    async def test_one_that_breaks_the_schema_fails_alone_and_as_a_fault(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        made: list[str] = []

        async def insert(name: str) -> None:
            await bench.store.write(lambda tx: tx.workflows.insert(a_workflow(name), []), group="submit")
            made.append(name)

        async with anyio.create_task_group() as group:
            for name in ("WF-2", "WF-3"):
                group.start_soon(insert, name)
            with pytest.raises(DBAPIError):
                await insert("WF-1")

        assert sorted(made) == ["WF-2", "WF-3"]
        assert (await bench.read(lambda tx: tx.workflows.get("WF-1"))) == A_WORKFLOW

    async def test_one_sees_what_those_before_it_did(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(replace(A_WORKFLOW, ended_at=0.0), []))
        answers: list[bytes] = []

        def count_up(tx: Transaction) -> None:
            workflow = tx.workflows.get("WF-1", lock=True)
            assert workflow.ended_at is not None
            tx.workflows.update(replace(workflow, ended_at=workflow.ended_at + 1))

        def once(tx: Transaction, number: int) -> bytes:
            known = tx.answers.claim("ada", "POST /x", "k", body_hash="h", now=1.0)
            if known is not None:
                return known.body
            tx.answers.insert("ada", "POST /x", "k", StoredAnswer(201, b"%d" % number, "h"), now=1.0)
            return b"%d" % number

        async def ask(number: int) -> None:
            answers.append(await bench.store.write(partial(once, number=number), group=GROUP))

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(partial(bench.store.write, count_up, group=GROUP))
                group.start_soon(ask, number)

        assert (await bench.read(lambda tx: tx.workflows.get("WF-1"))).ended_at == 10
        assert len(answers) == 10
        assert len(set(answers)) == 1

    async def test_a_queue_that_another_work_made_is_found_and_so_is_its_workflow(self, bench: Bench) -> None:
        def make(tx: Transaction) -> None:
            tx.workflows.insert(A_WORKFLOW, [])
            assert tx.workflows.get("WF-1", lock=True) == A_WORKFLOW

        async def find() -> None:
            found.append(await bench.store.write(lambda tx: tx.workflows.get("WF-1"), group="submit"))

        found: list[Workflow] = []
        async with anyio.create_task_group() as group:
            group.start_soon(partial(bench.store.write, make, group="submit"))
            group.start_soon(find)

        assert found == [A_WORKFLOW]


class TestSqliteGroups(GroupContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgresGroups(GroupContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench

    async def test_those_that_come_at_once_share_transactions_and_the_statement_of_their_rows(
        self, bench: Bench
    ) -> None:
        async def make(number: int) -> None:
            def insert(tx: Transaction) -> None:
                tx.workflows.insert(a_workflow(f"WF-{number}"), [])
                tx.outbox.insert(Notice(f"WF-{number}", "workflow.created", 1.0, {}))

            await bench.store.write(insert, group="submit")

        with counted_statements() as sent:
            async with anyio.create_task_group() as group:
                for number in range(2 * WORKS_MAX):
                    group.start_soon(make, number)

        assert sum("INSERT INTO workflow" in one for one in sent) == 2
        told = await bench.read(lambda tx: tx.outbox.list_after(BEGINNING, subject=None, limit=100))
        assert len(told) == 2 * WORKS_MAX
        assert len({cursor.transaction for cursor, _ in told}) == 2

    async def test_refusals_cost_the_others_nothing(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        refused = 0

        async def ask() -> None:
            nonlocal refused
            with pytest.raises(NotFoundError):
                await bench.store.write(partial(refuse_first, queue=queue), group=GROUP)
            refused += 1

        with counted_statements() as sent:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(ask)
                    group.start_soon(partial(bench.store.write, partial(publish_one, queue=queue), group=GROUP))

        assert refused == 8
        assert sum("FROM workflow" in one for one in sent) == 8  # each once
        assert await bench.counts(queue) == Counts(published=8, waiting=8)

    async def test_a_group_whose_row_somebody_has_holds_up_no_other(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-2"), []))
        other = await asyncpg.connect(bench.url)
        done: list[str] = []

        async def lock(name: str) -> None:
            await bench.store.write(lambda tx: tx.workflows.get(name, lock=True), group=f"publish {name}")
            done.append(name)

        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("SELECT 1 FROM workflow WHERE workflow_id = 'WF-1' FOR UPDATE")
            for _ in range(20):
                group.start_soon(lock, "WF-1")
            await until(lambda: some_wait(other))
            with anyio.fail_after(30):
                await lock("WF-2")
            meanwhile = list(done)
        await other.close()

        assert (meanwhile, len(done)) == (["WF-2"], 21)

    async def test_a_row_that_is_not_to_be_had_is_told_to_all_who_wait_for_it(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each alone would wait for it once more, on a connection that others need."""
        monkeypatch.setitem(database._COLD_SETTINGS, "lock_timeout", "200ms")
        async with open_bench(postgres_url) as bench:
            store = bench.store
            assert isinstance(store, PostgresStore)
            await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
            other = await asyncpg.connect(bench.url)
            given_up: list[str] = []

            async def lock() -> None:
                try:
                    await store.write(lambda tx: tx.workflows.get("WF-1", lock=True), group=GROUP)
                except UnavailableError as error:
                    given_up.append(str(error))

            async with other.transaction():
                await other.execute("SELECT 1 FROM workflow FOR UPDATE")
                async with anyio.create_task_group() as group:
                    for _ in range(WORKS_MAX + 4):
                        group.start_soon(lock)
                    await until(lambda: some_wait(other))
                    waiting = store.waiting
                    await store.write(lambda tx: tx.workflows.insert(a_workflow("WF-2"), []), group="submit")
            await other.close()

            assert len(given_up) == WORKS_MAX + 4
            assert all("lock timeout" in one for one in given_up)
            assert (waiting, store.waiting, store.lock_timeouts) == (4, 0, 2)

    async def test_those_of_a_spoilt_group_leave_connections_to_others(self, bench: Bench) -> None:
        store = bench.store
        assert isinstance(store, PostgresStore)
        queue = await bench.add_queue()
        busy: list[int] = []

        def spoil(tx: Transaction) -> Never:
            publish_one(tx, queue)
            tx.queues.get(queue)  # so that the row is in
            busy.append(store.connections_busy)
            raise OnPurposeError

        async def ask() -> None:
            with pytest.raises(OnPurposeError):
                await store.write(spoil, group=GROUP)

        async with anyio.create_task_group() as group:
            for _ in range(WORKS_MAX):
                group.start_soon(ask)

        assert len(busy) == WORKS_MAX + 1
        assert max(busy) <= ALONE_MAX
        assert await bench.counts(queue) == Counts()

    async def test_too_many_that_wait_are_refused(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_groups, "WAITING_MAX", 3)
        queue = await bench.add_queue()
        refused: list[str] = []

        async def ask() -> None:
            try:
                await bench.store.write(partial(publish_one, queue=queue), group=GROUP)
            except UnavailableError as error:
                refused.append(str(error))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)

        assert refused == ["too many calls wait for the database"] * 2
        assert await bench.counts(queue) == Counts(published=3, waiting=3)

    async def test_a_key_that_somebody_has_is_waited_for_by_one_alone(self, bench: Bench) -> None:
        """And not with the rows that it locked: whoever has the key may want those."""
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        other = await asyncpg.connect(bench.url)
        done: list[str] = []

        async def ask(name: str, key: str) -> None:
            def work(tx: Transaction) -> None:
                assert tx.answers.claim("ada", "POST /x", key, body_hash="h", now=1.0) is None
                tx.workflows.get("WF-1", lock=True)
                tx.answers.insert("ada", "POST /x", key, StoredAnswer(201, b"{}", "h"), now=1.0)

            await bench.store.write(work, group=GROUP)
            done.append(name)

        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock($1)", lock_of("ada", "POST /x", "taken"))
            for name, key in (("first", "a"), ("waits", "taken"), ("second", "b")):
                group.start_soon(ask, name, key)
            await until(lambda: some_wait(other))
            with anyio.fail_after(20):
                await ask("later", "c")
                await other.execute("SELECT 1 FROM workflow FOR UPDATE")
            meanwhile = list(done)
        await other.close()

        assert (sorted(meanwhile), len(done)) == (["first", "later", "second"], 4)

    async def test_a_group_that_met_a_deadlock_is_carried_out_again(self, bench: Bench) -> None:
        store = bench.store
        assert isinstance(store, PostgresStore)
        for name in ("WF-1", "WF-2"):
            await bench.write(lambda tx, name=name: tx.workflows.insert(a_workflow(name), []))  # type: ignore[misc]
        other = await asyncpg.connect(bench.url, server_settings={"deadlock_timeout": "20s"})
        queue = await bench.add_queue()

        def lock_both(tx: Transaction) -> None:
            tx.workflows.get("WF-1", lock=True)
            publish_one(tx, queue)
            tx.workflows.get("WF-2", lock=True)

        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("SELECT 1 FROM workflow WHERE workflow_id = 'WF-2' FOR UPDATE")
            for _ in range(3):
                group.start_soon(partial(store.write, lock_both, group=GROUP))
            await until(lambda: some_wait(other))
            await other.execute("SELECT 1 FROM workflow WHERE workflow_id = 'WF-1' FOR UPDATE")
        await other.close()

        assert store.retries >= 1
        assert await bench.counts(queue) == Counts(published=3, waiting=3)

    async def test_a_connection_that_went_while_nobody_used_it_costs_nobody_anything(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        other = await asyncpg.connect(bench.url)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state = 'idle'"
        )
        await other.close()
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(partial(bench.store.write, partial(publish_one, queue=queue), group=GROUP))

        assert await bench.counts(queue) == Counts(published=8, waiting=8)

    async def test_what_waits_for_too_long_is_given_up_and_not_done(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever sent it may have sent it again."""
        monkeypatch.setattr(postgres_groups, "WAIT_S_MAX", 0.2)
        queue = await bench.add_queue()
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        other = await asyncpg.connect(bench.url)
        given_up: list[str] = []

        def lock_and_publish(tx: Transaction) -> None:
            tx.workflows.get("WF-1", lock=True)
            publish_one(tx, queue)

        async def ask() -> None:
            try:
                await bench.store.write(lock_and_publish, group=GROUP)
            except UnavailableError as error:
                given_up.append(str(error))

        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("SELECT 1 FROM workflow FOR UPDATE")
            for _ in range(WORKS_MAX + 3):
                group.start_soon(ask)
            await until(lambda: _has(given_up, 3))
        await other.close()

        assert given_up == ["the database does not answer: those before it take too long"] * 3
        assert await bench.counts(queue) == Counts(published=WORKS_MAX, waiting=WORKS_MAX)

    async def test_a_caller_that_goes_takes_nobody_along(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(partial(bench.store.write, partial(publish_one, queue=queue), group=GROUP))
            with anyio.move_on_after(0):
                await bench.store.write(partial(publish_one, queue=queue), group=GROUP)
            with anyio.move_on_after(0.001):
                await bench.store.write(partial(publish_one, queue=queue), group=GROUP)

        published = (await bench.counts(queue)).published
        assert published in {4, 5}  # the second one may have begun

    async def test_a_database_that_goes_tells_all_of_them_once(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        other = await asyncpg.connect(bench.url)
        told: list[str] = []

        def end_and_publish(tx: Transaction) -> None:
            publish_one(tx, queue)
            tx.queues.get(queue)  # so that rows are in

        async def publish() -> None:
            try:
                await bench.store.write(end_and_publish, group=GROUP)
            except UnavailableError as error:
                told.append(str(error))

        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("LOCK TABLE queue IN ACCESS EXCLUSIVE MODE")
            for _ in range(6):
                group.start_soon(publish)
            await until(lambda: some_wait(other))
            await other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        await other.close()

        assert len(told) in {1, 6}  # the first one may go alone, the others after it
        assert (await bench.counts(queue)).published == 6 - len(told)
