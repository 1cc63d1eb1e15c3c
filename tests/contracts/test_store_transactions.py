"""Are the store's transactions whole, told of in order, and heard by those who wait, on both databases?"""

import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Never

import anyio
import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from contracts.store_bench import A_DIRECTIVE, A_WORKFLOW, Bench, a_workflow, an_event, open_bench, until
from muster.domain.event_state import EventState
from muster.domain.outbox import Cursor, Notice
from muster.domain.queue import Counts
from muster.server.adapters.sql import postgres_pool
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.ports.outbox import Newest
from muster.server.ports.store import StoredAnswer, Transaction

pytestmark = pytest.mark.anyio

CALLERS = 8


class OnPurposeError(Exception):
    """What a work raises."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


def _raise(tx: Transaction) -> Never:
    tx.workflows.find_free(["WF-1"])
    raise OnPurposeError


class WholenessContract:
    async def test_an_error_undoes_everything_and_is_passed_on(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))

        def work(tx: Transaction) -> Never:
            tx.events.publish(queue, [an_event(key="a")])
            tx.workflows.update(replace(A_WORKFLOW, ended_by="eve"))
            tx.outbox.insert(Notice("WF-1", "workflow.created", 1.0, {}))
            tx.answers.insert("ada", "POST /x", "k", StoredAnswer(201, b"{}", "h"), now=1.0)
            tx.workflows.insert(a_workflow("WF-2"), [A_DIRECTIVE])
            raise OnPurposeError

        with pytest.raises(OnPurposeError):
            await bench.write(work)

        assert await bench.counts(queue) == Counts()
        assert await bench.read(lambda tx: tx.workflows.get("WF-1")) == A_WORKFLOW
        assert list(await bench.read(lambda tx: tx.outbox.list_after(Cursor(), subject=None, limit=9))) == []
        assert await bench.read(lambda tx: tx.workflows.list_directives("WF-1")) == []
        assert await bench.write(lambda tx: tx.answers.claim("ada", "POST /x", "k", body_hash="h", now=1.0)) is None
        [again] = await bench.write(lambda tx: tx.events.publish(queue, [an_event(key="a")]))
        assert again.is_new

    async def test_an_error_leaves_those_that_write_at_the_same_time_alone(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        refused = 0

        async def publish(number: int) -> None:
            nonlocal refused

            def work(tx: Transaction) -> None:
                tx.events.publish(queue, [an_event()])
                if number % 2:
                    raise OnPurposeError

            try:
                await bench.write(work)
            except OnPurposeError:
                refused += 1

        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(publish, number)

        assert refused == CALLERS / 2
        assert await bench.counts(queue) == Counts(published=CALLERS // 2, waiting=CALLERS // 2)

    async def test_a_work_that_breaks_the_schema_fails_alone_and_as_a_fault(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        with pytest.raises(DBAPIError):
            await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        assert await bench.read(lambda tx: tx.workflows.get("WF-1")) == A_WORKFLOW

    async def test_a_look_sees_what_is_committed_and_passes_errors_on(self, bench: Bench) -> None:
        assert await bench.store.look(lambda tx: tx.workflows.find_free(["WF-1"])) == {}
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))

        assert await bench.store.look(lambda tx: tx.workflows.get("WF-1")) == A_WORKFLOW
        assert await bench.store.look(lambda tx: tx.now()) > 0
        with pytest.raises(OnPurposeError):
            await bench.store.look(_raise)
        await bench.write(lambda tx: tx.workflows.update(replace(A_WORKFLOW, ended_by="eve")))
        assert (await bench.store.look(lambda tx: tx.workflows.get("WF-1"))).ended_by == "eve"

    async def test_a_read_cannot_write(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        with pytest.raises(DBAPIError):
            await bench.read(lambda tx: tx.events.publish(queue, [an_event()]))
        assert await bench.counts(queue) == Counts()

    async def test_locked_changes_of_a_workflow_do_not_overwrite_each_other(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(replace(A_WORKFLOW, ended_at=0.0), []))

        def count_up(tx: Transaction) -> None:
            workflow = tx.workflows.get("WF-1", lock=True)
            assert workflow.ended_at is not None
            tx.workflows.update(replace(workflow, ended_at=workflow.ended_at + 1))

        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(bench.write, count_up)

        assert (await bench.read(lambda tx: tx.workflows.get("WF-1"))).ended_at == CALLERS

    async def test_time_stands_still_in_a_transaction(self, bench: Bench) -> None:
        first, second = await bench.write(lambda tx: (tx.now(), tx.now()))
        later = await bench.read(lambda tx: tx.now())
        assert first == second < later < first + 60

    async def test_keys_published_at_the_same_time_are_one_event(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        published: list[int] = []

        async def publish() -> None:
            [one] = await bench.write(lambda tx: tx.events.publish(queue, [an_event(key="a")]))
            published.append(one.event)

        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(publish)

        assert len(set(published)) == 1
        assert await bench.counts(queue) == Counts(published=1, waiting=1)

    async def test_a_secret_is_made_once(self, bench: Bench) -> None:
        made: set[bytes] = set()

        async def get() -> None:
            made.add(await bench.store.get_secret("worker"))

        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(get)

        [secret] = made
        assert len(secret) == 32
        assert await bench.store.get_secret("other") != secret


class AnswerContract:
    async def test_an_answer_is_given_again(self, bench: Bench) -> None:
        answer = StoredAnswer(201, b'{"x":1}', "hash")

        def claim(
            tx: Transaction, *, owner: str = "ada", route: str = "POST /x", key: str = "k"
        ) -> StoredAnswer | None:
            return tx.answers.claim(owner, route, key, body_hash="another", now=5.0)

        assert await bench.write(claim) is None
        await bench.write(lambda tx: tx.answers.insert("ada", "POST /x", "k", answer, now=5.0))

        assert await bench.write(claim) == answer
        assert await bench.write(lambda tx: claim(tx, owner="eve")) is None
        assert await bench.write(lambda tx: claim(tx, route="POST /y")) is None
        assert await bench.write(lambda tx: claim(tx, key="l")) is None

    async def test_of_requests_in_flight_one_does_the_work_and_the_others_wait_for_its_answer(
        self, bench: Bench
    ) -> None:
        answers: list[bytes] = []

        async def request(number: int) -> None:
            def work(tx: Transaction) -> bytes:
                earlier = tx.answers.claim("ada", "POST /x", "k", body_hash="h", now=1.0)
                if earlier is not None:
                    return earlier.body
                tx.workflows.insert(a_workflow(f"WF-{number}"), [])
                tx.answers.insert("ada", "POST /x", "k", StoredAnswer(201, b"%d" % number, "h"), now=1.0)
                return b"%d" % number

            answers.append(await bench.write(work))

        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(request, number)

        assert len(answers) == CALLERS
        assert len(set(answers)) == 1
        made = await bench.read(lambda tx: tx.workflows.list_page(owner=None, active=None, after=None, limit=99))
        assert [one.workflow_id for one in made] == [f"WF-{answers[0].decode()}"]

    async def test_old_answers_are_deleted_in_bounded_steps(self, bench: Bench) -> None:
        for number in range(5):
            answer = StoredAnswer(200, b"", "h")
            await bench.write(
                lambda tx, number=number, answer=answer: tx.answers.insert(  # type: ignore[misc]
                    "ada", "POST /x", str(number), answer, now=float(number)
                )
            )

        deleted = [await bench.write(lambda tx: tx.answers.delete_older(3.0, limit=2)) for _ in range(3)]

        assert deleted == [2, 1, 0]
        kept = [
            await bench.write(
                lambda tx, key=str(number): tx.answers.claim("ada", "POST /x", key, body_hash="h", now=9.0)  # type: ignore[misc]
            )
            for number in range(5)
        ]
        assert [one is not None for one in kept] == [False, False, False, True, True]


class OutboxContract:
    async def test_notices_come_in_order_from_behind_the_cursor(self, bench: Bench) -> None:
        notices = [
            Notice(f"WF-{number % 2}", "taskforce.phase", number + 0.5, {"n": number, "é": None}) for number in range(5)
        ]
        for notice in notices[:2]:
            await bench.write(lambda tx, notice=notice: tx.outbox.insert(notice))  # type: ignore[misc]

        def several(tx: Transaction) -> None:
            for notice in notices[2:]:
                tx.outbox.insert(notice)

        await bench.write(several)

        listed = await bench.read(lambda tx: tx.outbox.list_after(Cursor(), subject=None, limit=9))
        assert [notice for _, notice in listed] == notices
        cursors = [cursor for cursor, _ in listed]
        assert cursors == sorted(set(cursors))
        assert await bench.read(lambda tx: tx.outbox.list_after(cursors[2], subject=None, limit=1)) == listed[3:4]
        of_one = await bench.read(lambda tx: tx.outbox.list_after(cursors[0], subject="WF-0", limit=9))
        assert [notice for _, notice in of_one] == [notices[2], notices[4]]
        assert list(await bench.read(lambda tx: tx.outbox.list_after(cursors[4], subject=None, limit=9))) == []

    async def test_the_newest_of_a_subject_are_given_and_whether_there_are_others_before_them(
        self, bench: Bench
    ) -> None:
        for number in range(6):
            notice = Notice(f"WF-{number % 2}", "taskforce.phase", 0.5, {"n": number})
            await bench.write(lambda tx, notice=notice: tx.outbox.insert(notice))  # type: ignore[misc]
        listed = await bench.read(lambda tx: tx.outbox.list_after(Cursor(), subject="WF-1", limit=9))

        newest = [
            await bench.read(lambda tx, limit=limit: tx.outbox.list_newest("WF-1", limit=limit))  # type: ignore[misc]
            for limit in (2, 3)
        ]

        assert newest == [Newest(listed[1:], is_whole=False, is_held_back=False), Newest(listed, True, False)]
        assert newest[0].cursor == listed[2][0]
        none = await bench.read(lambda tx: tx.outbox.list_newest("WF-2", limit=2))
        assert (none, none.cursor) == (Newest([], is_whole=True, is_held_back=False), Cursor())

    async def test_a_notice_is_found_by_the_cursor_that_it_was_given_with(self, bench: Bench) -> None:
        notice = Notice("WF-1", "queue.closed", 0.5, {"queue": "in"})
        await bench.write(lambda tx: tx.outbox.insert(notice))
        [(cursor, _)] = await bench.read(lambda tx: tx.outbox.list_after(Cursor(), subject=None, limit=9))

        wanted = (cursor, replace(cursor, transaction=cursor.transaction + 1), replace(cursor, number=2**63 - 1))
        found = [await bench.read(lambda tx, one=one: tx.outbox.find(one)) for one in wanted]  # type: ignore[misc]

        assert found == [notice, None, None]

    async def test_nothing_holds_notices_back_when_nobody_writes(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.outbox.insert(Notice("WF-1", "queue.closed", 0.5, {})))

        async def is_free() -> bool:
            return await bench.read(lambda tx: tx.outbox.find_horizon()) is None

        await until(is_free)  # the server itself may write at any moment


class WakingContract:
    async def test_a_commit_wakes_and_a_rollback_does_not(self, bench: Bench) -> None:
        def work(tx: Transaction) -> Never:
            tx.wake("launch")
            raise OnPurposeError

        with bench.database.waking.listen("launch", "start:x") as bell:
            with pytest.raises(OnPurposeError):
                await bench.write(work)
            assert not await bell.wait(0.05)

            await bench.write(lambda tx: tx.wake("stop:x"))
            assert not await bell.wait(0.05)

            await bench.write(lambda tx: tx.wake("start:x"))
            assert await bell.wait(5)
            assert not await bell.wait(0)

    async def test_publishing_ending_a_session_and_replaying_wake_the_queue(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        holder = await bench.enrol()
        with bench.database.waking.listen(f"queue:{queue}") as bell:
            await bench.publish(queue, b"1")
            assert await bell.wait(5)
            await bench.step(holder, queue, want=1)
            assert not await bell.wait(0)
            await bench.write(lambda tx: tx.holders.end([holder], reason="left"))
            assert await bell.wait(5)
        dead = await bench.bury(await bench.add_queue("other", attempts=1))
        other = (await bench.read(lambda tx: tx.events.get(dead))).queue
        with bench.database.waking.listen(f"queue:{other}") as bell:
            await bench.write(lambda tx: tx.events.replay(other, None, limit=9))
            assert await bell.wait(5)

    async def test_a_publish_of_known_keys_wakes_nobody(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.write(lambda tx: tx.events.publish(queue, [an_event(key="a")]))
        with bench.database.waking.listen(f"queue:{queue}") as bell:
            await bench.write(lambda tx: tx.events.publish(queue, [an_event(key="a")]))
            assert not await bell.wait(0.05)

    async def test_as_many_bells_ring_as_are_asked_for_the_longest_waiting_first(self, bench: Bench) -> None:
        waking = bench.database.waking
        with waking.listen("t") as first, waking.listen("t") as second:
            with waking.listen("t"):
                pass  # gone: it takes no ring away from those that wait
            with waking.listen("t") as third:
                waking.wake("t", bells=2)
                assert [await bell.wait(0) for bell in (first, second, third)] == [True, True, False]
                waking.wake("t", bells=1)
                assert [await bell.wait(0) for bell in (first, second, third)] == [False, False, True]
                waking.wake("t")
                assert [await bell.wait(0) for bell in (first, second, third)] == [True, True, True]
                waking.wake("other")
                assert not await first.wait(0)

    async def test_a_bell_that_has_rung_is_not_rung_in_anothers_place(self, bench: Bench) -> None:
        waking = bench.database.waking
        with waking.listen("t") as first, waking.listen("t") as second:
            waking.wake("t", bells=1)
            waking.wake("t", bells=1)
            assert [await first.wait(0), await second.wait(0)] == [True, True]

    async def test_a_waiter_is_woken_while_it_waits(self, bench: Bench) -> None:
        heard = anyio.Event()

        async def wait() -> None:
            with bench.database.waking.listen("t") as bell:
                ready.set()
                if await bell.wait(30):
                    heard.set()

        ready = anyio.Event()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await ready.wait()
                bench.database.waking.wake("t")
                await heard.wait()


class StoreContract(WholenessContract, AnswerContract, OutboxContract, WakingContract):
    """Transactions, as the store runs them."""


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench

    async def test_a_read_sees_one_moment(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        looked, published = threading.Event(), threading.Event()

        def look_twice(tx: Transaction) -> tuple[Counts, int]:
            before = tx.queues.counts([queue])[queue]
            looked.set()
            assert published.wait(30)
            return before, len(tx.events.list_page(queue, EventState.WAITING, after=0, limit=9))

        async def publish() -> None:
            await anyio.to_thread.run_sync(looked.wait, 30)
            await bench.publish(queue, b"1")
            published.set()

        async with anyio.create_task_group() as group:
            group.start_soon(publish)
            seen = await bench.read(look_twice)

        assert seen == (Counts(), 0)
        assert await bench.counts(queue) == Counts(published=1, waiting=1)


@pytest.mark.server
class TestPostgresStore(StoreContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench

    async def test_a_look_begins_no_transaction(self, bench: Bench) -> None:
        """Each would be two ways to the server."""

        def ask(tx: Transaction) -> list[float]:
            session = tx.workflows._session  # type: ignore[attr-defined]
            return [session.connection.scalar(text("SELECT extract(epoch FROM now())")) for _ in range(2)]

        for do, is_one_moment in ((bench.store.look, False), (bench.store.read, True), (bench.store.look, False)):
            first, second = await do(ask)
            assert (first == second) == is_one_moment

    async def test_connections_that_the_server_closed_are_replaced(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres_pool, "IDLE_S", -1.0)  # however fast this test is
        other = await asyncpg.connect(bench.url)
        pids: set[int] = set()

        async def look() -> None:
            pids.add(await bench.read(_ask_pid))

        async def are_gone() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)"
            return not await other.fetchval(query, list(pids))

        for _ in range(2):
            async with anyio.create_task_group() as group:
                for _ in range(CALLERS):
                    group.start_soon(look)
            await other.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", list(pids))
            await until(are_gone)

            assert await bench.read(_ask_pid) not in pids
        await other.close()


def _ask_pid(tx: Transaction) -> int:
    assert isinstance(tx, SqlTransaction)
    return int(tx._session.connection.scalar(text("SELECT pg_backend_pid()")))
