"""Does the store keep events, dead letters, sessions and accounts as the port says, on both databases?"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import delete, insert, text, update

from contracts.store_bench import AN_ENTRY, Bench, a_taskforce, an_event, open_bench
from muster.domain.attempt import AttemptEnd, AttemptError, Outcome, Verdict
from muster.domain.errors import NotFoundError
from muster.domain.event_state import EventState
from muster.domain.queue import Counts
from muster.domain.workflow import Taskforce
from muster.server.adapters.sql import holders, schema
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.ports.events import DeadLetter, EventRow, Published
from muster.server.ports.queue_engine import Body, BodyKind, Finished, SessionEndedError
from muster.server.ports.store import Transaction

pytestmark = pytest.mark.anyio

BOOM = AttemptError("boom in /tmp/x: é \x00", "boom in PATH", "out", "err", exit_code=1)
BANG = AttemptError("bang", "bang")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


async def _look(bench: Bench, event: int) -> EventRow:
    return await bench.read(lambda tx: tx.events.get(event))


def _insert_taskforce(tx: Transaction, *, taskforce: Taskforce) -> None:
    tx.taskforces.insert(taskforce, AN_ENTRY)


async def _let_die(bench: Bench, holder: int) -> None:
    """Its worker died with one event in work."""
    await bench.write(lambda tx: tx.holders.end([holder], reason="died", are_deaths=True))


async def _end_pauses(bench: Bench) -> None:
    """As if all of them were over."""

    def end(tx: Transaction) -> None:
        session = tx.workflows._session  # type: ignore[attr-defined]
        session.execute(update(schema.delayed).values(due=0.0))

    await bench.write(end)


class PublishContract:
    async def test_events_come_back_as_they_were_published(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        bodies = [
            an_event(b'{"x":[1,"\xc3\xa9"]}'),
            an_event(b"\x00\xff\x00", kind=BodyKind.BYTES),
            an_event(b"3", "k"),
        ]

        published = await bench.write(lambda tx: tx.events.publish(queue, bodies))

        numbers = [one.event for one in published]
        assert numbers == sorted(numbers)
        rows = await bench.read(lambda tx: tx.events.list_page(queue, EventState.WAITING, after=0, limit=9))
        whole = [await _look(bench, number) for number in numbers]
        assert [(row.event, row.body, row.key) for row in whole] == [
            (number, one.body, one.key) for number, one in zip(numbers, bodies, strict=True)
        ]
        # a list leaves the bodies out: a page of them may be gigabytes
        assert rows == [replace(row, body=Body(row.body.kind, b"")) for row in whole]
        assert {(row.state, row.attempts, row.parent, tuple(row.results)) for row in rows} == {
            (EventState.WAITING, 0, None, ())
        }

    async def test_a_later_call_gives_higher_numbers(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        first = await bench.publish(queue, b"1", b"2")
        assert min(await bench.publish(queue, b"3")) > max(first)

    async def test_a_key_that_is_known_is_not_published_again(self, bench: Bench) -> None:
        queue, other = await bench.add_queue("in"), await bench.add_queue("other")
        [first] = await bench.write(lambda tx: tx.events.publish(queue, [an_event(key="a")]))

        again = await bench.write(
            lambda tx: tx.events.publish(queue, [an_event(key="b"), an_event(key="a"), an_event(key="b"), an_event()])
        )
        elsewhere = await bench.write(lambda tx: tx.events.publish(other, [an_event(key="a")]))

        assert again[1] == Published(first.event, is_new=False)
        assert (again[0].is_new, again[3].is_new) == (True, True)
        assert again[2] == Published(again[0].event, is_new=False)
        assert elsewhere[0].is_new
        assert await bench.counts(queue) == Counts(published=3, waiting=3)
        assert len(await bench.read(lambda tx: tx.events.list_page(queue, EventState.WAITING, after=0, limit=9))) == 3

    async def test_a_key_is_known_over_the_chunks_of_a_long_call(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        events = [an_event(b"%d" % number, str(number % 1500)) for number in range(2500)]

        published = await bench.write(lambda tx: tx.events.publish(queue, events))

        assert sum(one.is_new for one in published) == 1500
        assert all(published[number].event == published[number - 1500].event for number in range(1500, 2500))
        assert await bench.counts(queue) == Counts(published=1500, waiting=1500)
        page = await bench.read(lambda tx: tx.events.list_page(queue, EventState.WAITING, after=0, limit=2000))
        assert [row.key for row in page] == [str(number) for number in range(1500)]

    async def test_a_known_key_with_another_body_is_told(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.write(lambda tx: tx.events.publish(queue, [an_event(b"1", "a"), an_event(b"22", "b")]))
        further = [
            an_event(b"1", "a"),
            an_event(b"2", "a"),
            an_event(b"1", "a", kind=BodyKind.BYTES),
            an_event(b"333", "b"),
            an_event(b"4", "c"),
            an_event(b"4", "c"),
            an_event(b"5", "c"),
        ]

        again = await bench.write(lambda tx: tx.events.publish(queue, further))

        assert [one.is_other for one in again] == [False, True, True, True, False, False, True]
        assert [one.is_new for one in again] == [False, False, False, False, True, False, False]

    async def test_bodies_are_read_in_order_up_to_a_size_and_one_at_least(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        bodies = [b'"aaaa"', b'"b"', b'"cccccc"', b""]
        numbers = await bench.publish(queue, *bodies)

        async def read(size_bytes_max: int, *places: int) -> list[bytes]:
            events = [numbers[place] for place in places]
            found = await bench.read(lambda tx: tx.events.list_bodies(events, size_bytes_max=size_bytes_max))
            return [found[event].data for event in events if event in found]

        assert await read(100, 0, 1, 2, 3) == bodies
        assert await read(9, 0, 1, 2, 3) == bodies[:2]
        assert await read(8, 0, 1, 2, 3) == bodies[:1]
        assert await read(1, 2, 1) == [bodies[2]]
        assert await read(1) == []

    async def test_nothing_is_published_by_an_empty_call(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        assert list(await bench.write(lambda tx: tx.events.publish(queue, []))) == []
        assert await bench.counts(queue) == Counts()

    async def test_what_is_published_can_be_leased_at_once(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        numbers = await bench.publish(queue, b"1", b"2", b"3")
        holder = await bench.enrol()

        answer = await bench.step(holder, queue, want=2)

        assert [one.event for one in answer.leased] == numbers[:2]
        assert await bench.counts(queue) == Counts(published=3, waiting=1, in_work=2)

    async def test_pages_go_on_behind_the_last_event(self, bench: Bench) -> None:
        queue, other = await bench.add_queue("in"), await bench.add_queue("other")
        numbers = await bench.publish(queue, b"1", b"2", b"3")
        await bench.publish(other, b"4")

        async def page(after: int, limit: int) -> list[int]:
            found = await bench.read(
                lambda tx: tx.events.list_page(queue, EventState.WAITING, after=after, limit=limit)
            )
            return [row.event for row in found]

        assert await page(0, 2) == numbers[:2]
        assert await page(numbers[1], 2) == numbers[2:]
        assert await page(numbers[2], 2) == []

    async def test_an_event_that_nobody_published_is_not_found(self, bench: Bench) -> None:
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.events.get(1))


class EventLifeContract:
    async def test_an_event_can_be_followed_through_its_life(self, bench: Bench) -> None:
        queue, output = await bench.add_queue("in"), await bench.add_queue("out")
        [event] = await bench.publish(queue, b"1")
        holder = await bench.enrol()
        states = [(await bench.read(lambda tx: tx.events.get(event))).state]

        [leased] = (await bench.step(holder, queue, want=1)).leased
        states.append((await bench.read(lambda tx: tx.events.get(event))).state)
        failed = Finished(event, leased.fence, Outcome.FAILED, error=BOOM, wall_s=0.5)
        [again] = (await bench.step(holder, queue, call=2, want=1, finished=[failed])).leased
        bodies = [Body(BodyKind.JSON, b"10"), Body(BodyKind.BYTES, b"\x00")]
        done = Finished(event, again.fence, Outcome.DONE, results=bodies, wall_s=1.5)
        await bench.step(holder, queue, call=3, finished=[done], outputs=[output])
        row = await bench.read(lambda tx: tx.events.get(event))
        states.append(row.state)

        assert states == [EventState.WAITING, EventState.IN_WORK, EventState.DONE]
        results = await bench.read(lambda tx: tx.events.list_page(output, EventState.WAITING, after=0, limit=9))
        made = [await _look(bench, one.event) for one in results]
        assert [(one.parent, one.body) for one in made] == [(event, body) for body in bodies]
        assert list(row.results) == [one.event for one in results]
        assert row.attempts == 2
        first, second = await bench.read(lambda tx: tx.events.list_attempts(event))
        assert (first.fence, first.end, first.error, first.wall_s) == (1, AttemptEnd.FAILED, BOOM, 0.5)
        assert (second.fence, second.end, second.error, second.wall_s) == (2, None, None, 1.5)
        assert (first.host, first.site) == ("host-1", "site-1")
        assert first.started_at <= first.ended_at <= second.ended_at

    async def test_an_event_that_waits_for_its_next_attempt_is_waiting_and_says_until_when(self, bench: Bench) -> None:
        queue = await bench.add_queue(retry_s=100.0)
        first, second, third = await bench.publish(queue, b"1", b"2", b"3")
        holder = await bench.enrol()
        leases = (await bench.step(holder, queue, want=2)).leased
        await bench.step(holder, queue, call=2, finished=[Finished(second, leases[1].fence, Outcome.FAILED)])
        released = [Finished(first, leases[0].fence, Outcome.RELEASED)]
        await bench.step(holder, queue, call=3, finished=released)

        row = await bench.read(lambda tx: tx.events.get(second))

        assert (row.state, row.attempts) == (EventState.WAITING, 1)
        assert row.retry_at == pytest.approx(await bench.read(lambda tx: tx.now()) + 100, abs=20)
        assert (await bench.read(lambda tx: tx.events.get(first))).retry_at is None

        async def page(after: int) -> Sequence[EventRow]:
            return await bench.read(lambda tx: tx.events.list_page(queue, EventState.WAITING, after=after, limit=2))

        pages = [await page(0), await page(second)]
        assert [[one.event for one in page] for page in pages] == [[first, second], [third]]
        assert pages[0][1].retry_at == row.retry_at
        recount = (await bench.read(lambda tx: tx.queues.recount([queue])))[queue]
        assert recount.kept == recount.counted == Counts(published=3, waiting=3, failed=1)

    async def test_whether_anything_can_be_leased_now_is_known(self, bench: Bench) -> None:
        queue, other = await bench.add_queue("in", retry_s=100.0), await bench.add_queue("other")

        async def has_ready(*queues: int) -> bool:
            return await bench.read(lambda tx: tx.queues.has_ready(queues))

        [event] = await bench.publish(queue, b"1")
        assert [await has_ready(queue, other), await has_ready(other)] == [True, False]
        holder = await bench.enrol()
        [leased] = (await bench.step(holder, queue, want=1)).leased
        await bench.step(holder, queue, call=2, finished=[Finished(event, leased.fence, Outcome.FAILED)])
        assert not await has_ready(queue, other)

        async def find_next_due(*queues: int) -> float | None:
            return await bench.read(lambda tx: tx.queues.find_next_due(queues))

        assert await find_next_due(other) is None
        assert await find_next_due(queue, other) == pytest.approx(await bench.read(lambda tx: tx.now()) + 100, abs=20)

    async def test_the_attempt_in_force_is_not_listed(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        [event] = await bench.publish(queue, b"1")
        await bench.step(await bench.enrol(), queue, want=1)
        assert list(await bench.read(lambda tx: tx.events.list_attempts(event))) == []

    async def test_a_late_result_is_one_attempt(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        [event] = await bench.publish(queue, b"1")
        first = await bench.enrol(proc=0)
        await bench.step(first, queue, want=1)
        await bench.write(lambda tx: tx.holders.end([first], reason="replaced"))
        second = await bench.enrol(proc=0, start=2)
        late = Finished(event, 1, Outcome.DONE, wall_s=2.0)

        answer = await bench.step(second, queue, finished=[late])

        assert list(answer.verdicts) == [Verdict.LATE]
        [attempt] = await bench.read(lambda tx: tx.events.list_attempts(event))
        assert (attempt.fence, attempt.end, attempt.wall_s) == (1, AttemptEnd.LATE, 2.0)
        assert (await bench.read(lambda tx: tx.events.get(event))).state is EventState.DONE


class DeadLetterContract:
    async def test_dead_letters_are_listed_with_the_error_of_their_last_attempt(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        dead = [await bench.bury(queue, error=error) for error in (BOOM, BANG)]

        listed = await bench.read(lambda tx: tx.events.list_dead(queue, after=0, limit=9))

        assert [(one.event, one.queue, one.attempts, one.error) for one in listed] == [
            (dead[0], queue, 1, BOOM),
            (dead[1], queue, 1, BANG),
        ]
        assert list(await bench.read(lambda tx: tx.events.list_dead(queue, after=dead[0], limit=9))) == [listed[1]]
        assert isinstance(listed[0], DeadLetter)
        assert (await bench.read(lambda tx: tx.events.get(dead[0]))).state is EventState.DEAD

    async def test_a_replayed_event_starts_from_zero_with_its_fence_going_on(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        event = await bench.bury(queue, error=BOOM)

        assert list(await bench.write(lambda tx: tx.events.replay(queue, [event], limit=9))) == [event]

        assert await bench.counts(queue) == Counts(published=1, waiting=1, failed=1)
        [leased] = (await bench.step(await bench.enrol(), queue, want=1)).leased
        assert (leased.event, leased.attempt, leased.fence) == (event, 1, 2)
        assert len(await bench.read(lambda tx: tx.events.list_attempts(event))) == 1

    async def test_only_what_is_dead_in_the_queue_is_replayed(self, bench: Bench) -> None:
        queue, other = await bench.add_queue("in", attempts=1), await bench.add_queue("other", attempts=1)
        event, elsewhere = await bench.bury(queue), await bench.bury(other)
        [waiting] = await bench.publish(queue, b"1")

        moved = await bench.write(lambda tx: tx.events.replay(queue, [waiting, elsewhere, event, 17], limit=9))
        again = await bench.write(lambda tx: tx.events.replay(queue, [event], limit=9))

        assert (list(moved), list(again)) == ([event], [])
        assert await bench.counts(queue) == Counts(published=2, waiting=2, failed=1)
        assert await bench.counts(other) == Counts(published=1, dead=1, failed=1)

    async def test_replay_without_names_takes_the_oldest(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        dead = [await bench.bury(queue) for _ in range(3)]

        assert list(await bench.write(lambda tx: tx.events.replay(queue, None, limit=2))) == dead[:2]
        assert await bench.counts(queue) == Counts(published=3, waiting=2, dead=1, failed=3)

    async def test_errors_are_grouped_by_cause_most_failures_first(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        dead = [await bench.bury(queue, error=error) for error in (BANG, BOOM, BOOM)]
        await bench.write(lambda tx: tx.events.replay(queue, [dead[1]], limit=1))
        holder = await bench.enrol(host="host-2")
        [leased] = (await bench.step(holder, queue, want=1)).leased
        await bench.step(
            holder, queue, call=2, finished=[Finished(leased.event, leased.fence, Outcome.FAILED, error=BOOM)]
        )

        groups = await bench.read(lambda tx: tx.events.list_errors([queue], limit=9))

        assert [(one.fingerprint, one.failures, one.events, one.done) for one in groups] == [
            ("boom in PATH", 3, 2, 0),
            ("bang", 1, 1, 0),
        ]
        boom = groups[0]
        assert (boom.example_event, boom.example_text, list(boom.hosts)) == (dead[1], BOOM.text, ["host-1", "host-2"])
        assert boom.first_at < boom.last_at
        assert len(await bench.read(lambda tx: tx.events.list_errors([queue], limit=1))) == 1
        assert list(await bench.read(lambda tx: tx.events.list_errors([queue + 1], limit=9))) == []

    async def test_errors_say_how_many_of_their_events_are_done_by_now(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        dead = [await bench.bury(queue, error=error) for error in (BANG, BOOM, BOOM)]
        await bench.write(lambda tx: tx.events.replay(queue, dead[:2], limit=2))
        holder = await bench.enrol()
        leased = (await bench.step(holder, queue, want=2)).leased

        await bench.step(
            holder, queue, call=2, finished=[Finished(one.event, one.fence, Outcome.DONE) for one in leased]
        )

        groups = await bench.read(lambda tx: tx.events.list_errors([queue], limit=9))
        assert [(one.fingerprint, one.failures, one.events, one.done) for one in groups] == [
            ("boom in PATH", 2, 2, 1),
            ("bang", 1, 1, 1),
        ]

    async def test_dead_letters_are_counted_by_the_cause_of_their_last_attempt(self, bench: Bench) -> None:
        queue, other = await bench.add_queue(attempts=1), await bench.add_queue("other", attempts=1)
        dead = [await bench.bury(queue, error=error) for error in (BANG, BOOM, BOOM, BANG)]
        await bench.bury(other, error=BANG)
        await bench.write(lambda tx: tx.events.replay(queue, dead[:1], limit=1))
        await bench.publish(queue, b"1")
        lost = await bench.enrol()
        await bench.step(lost, queue, want=2)  # the one that was replayed, and the new one
        await _let_die(bench, lost)

        deaths = await bench.read(lambda tx: tx.events.list_deaths([queue], limit=9))

        assert sorted((one.fingerprint, one.events) for one in deaths)[:2] == [("bang", 1), ("boom in PATH", 2)]
        assert [one.fingerprint for one in deaths if one.fingerprint.startswith("worker lost")] != []
        assert deaths[0].first_at < deaths[0].last_at
        assert [one.events for one in await bench.read(lambda tx: tx.events.list_deaths([queue, other], limit=9))][
            :2
        ] == [2, 2]
        assert len(await bench.read(lambda tx: tx.events.list_deaths([queue], limit=1))) == 1
        assert list(await bench.read(lambda tx: tx.events.list_deaths([], limit=9))) == []


class HolderContract:
    async def test_a_proc_is_found_among_all_workers_of_its_taskforce(self, bench: Bench) -> None:
        await bench.enrol(cluster="c9", proc=0)
        (first,) = await bench.read(lambda tx: tx.holders.find_of_proc("TF-1", "c9", 0))

        def work(tx: Transaction) -> str:
            assert isinstance(tx, SqlTransaction)
            for proc in range(1, 3000):
                tx.holders.insert(replace(first, proc=proc))
            session = tx._session
            session.execute(text("ANALYZE"))
            asked = holders._OF_PROC.params(taskforce_uuid="TF-1", cluster="c9", proc=77)
            told = asked.compile(dialect=session.connection.dialect, compile_kwargs={"literal_binds": True})
            plan = session.execute(text(f"{'EXPLAIN' if session.is_postgres else 'EXPLAIN QUERY PLAN'} {told}")).all()
            return "\n".join(str(row) for row in plan)

        plan = await bench.write(work)
        assert re.search(r"taskforce_uuid.*cluster.*proc", plan), plan
        assert "holder_live_by_proc" in plan, plan

    async def test_a_session_comes_back_as_it_was(self, bench: Bench) -> None:
        number = await bench.enrol(cluster="c9", proc=3, start=2)
        session = await bench.read(lambda tx: tx.holders.get(number))

        assert (session.number, session.taskforce_uuid, session.cluster, session.proc, session.start) == (
            number,
            "TF-1",
            "c9",
            3,
            2,
        )
        assert session.until > session.begun_at > 0
        assert session.ended is None
        assert await bench.read(lambda tx: tx.holders.find_of_proc("TF-1", "c9", 3)) == [session]
        assert await bench.read(lambda tx: tx.holders.find_of_proc("TF-1", "c9", 4)) == []

    async def test_a_session_that_never_was_is_not_found(self, bench: Bench) -> None:
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.holders.get(5))

    async def test_live_sessions_are_listed_oldest_first(self, bench: Bench) -> None:
        numbers = [await bench.enrol(uuid) for uuid in ("TF-2", "TF-1", "TF-1", "TF-3")]
        await bench.write(lambda tx: tx.holders.end([numbers[2]], reason="left"))

        live = await bench.read(lambda tx: tx.holders.list_live(["TF-1", "TF-2"]))

        assert [one.number for one in live] == numbers[:2]

    async def test_live_sessions_of_a_workflow_are_counted_by_taskforce(self, bench: Bench) -> None:
        for uuid, workflow in (("TF-1", "WF-1"), ("TF-2", "WF-1"), ("TF-3", "WF-1"), ("TF-4", "WF-2")):
            one = a_taskforce(uuid, workflow_id=workflow)
            await bench.write(partial(_insert_taskforce, taskforce=one))
        numbers = [await bench.enrol(uuid) for uuid in ("TF-1", "TF-2", "TF-1", "TF-4", "TF-2", "TF-3")]
        await bench.write(lambda tx: tx.holders.end([numbers[4]], reason="left"))
        await bench.write(lambda tx: tx.holders.end([numbers[5]], reason="left"))

        assert await bench.read(lambda tx: tx.holders.count_live("WF-1")) == {"TF-1": 2, "TF-2": 1}
        assert await bench.read(lambda tx: tx.holders.count_live("WF-9")) == {}
        named = ["TF-4", "TF-1", "TF-3", "TF-9"]
        assert await bench.read(lambda tx: tx.holders.count_live_of(named)) == {"TF-1": 2, "TF-4": 1}
        assert await bench.read(lambda tx: tx.holders.count_live_of([])) == {}

    async def test_sessions_that_are_up_are_listed_by_pages_with_what_they_hold(self, bench: Bench) -> None:
        for uuid, workflow in (("TF-1", "WF-1"), ("TF-2", "WF-1"), ("TF-4", "WF-2")):
            one = a_taskforce(uuid, workflow_id=workflow)
            await bench.write(partial(_insert_taskforce, taskforce=one))
        numbers = [await bench.enrol(uuid) for uuid in ("TF-1", "TF-2", "TF-4", "TF-1", "TF-1")]
        await bench.write(lambda tx: tx.holders.end([numbers[4]], reason="left"))
        queue = await bench.add_queue()
        await bench.publish(queue, b"1", b"2", b"3")
        await bench.step(numbers[0], queue=queue, want=2)
        await bench.step(numbers[2], queue=queue, want=1)

        async def list_up(uuid: str | None = None, after: int = 0, limit: int = 9) -> list[int]:
            found = await bench.read(
                lambda tx: tx.holders.list_up("WF-1", taskforce_uuid=uuid, after=after, limit=limit)
            )
            return [one.number for one in found]

        assert await list_up() == [numbers[0], numbers[1], numbers[3]]
        assert await list_up(limit=2) == numbers[:2]
        assert await list_up(after=numbers[1]) == [numbers[3]]
        assert await list_up("TF-1") == [numbers[0], numbers[3]]
        assert await list_up("TF-4") == []
        assert await bench.read(lambda tx: tx.holders.count_held(numbers[:2])) == {numbers[0]: 2}

    async def test_what_a_dead_worker_was_at_is_counted_and_what_it_held_ahead_is_not(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=2)
        events = await bench.publish(queue, b"poison", b"2", b"3")
        for life in (1, 2):
            holder = await bench.enrol()
            await bench.step(holder, queue, want=3)
            await _let_die(bench, holder)
            states = [await _look(bench, event) for event in events]
            assert [one.attempts for one in states] == [life, 0, 0]

        assert await bench.counts(queue) == Counts(published=3, waiting=2, dead=1, failed=2)
        [letter] = await bench.read(lambda tx: tx.events.list_dead(queue, after=0, limit=9))
        assert letter.event == events[0]
        ends = [row.end for row in await bench.read(lambda tx: tx.events.list_attempts(events[0]))]
        assert ends == [AttemptEnd.EXPIRED, AttemptEnd.EXPIRED]
        ends = [row.end for row in await bench.read(lambda tx: tx.events.list_attempts(events[1]))]
        assert ends == [AttemptEnd.ABANDONED, AttemptEnd.ABANDONED]

    async def test_what_a_dead_worker_was_at_waits_for_its_next_attempt(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=3, retry_s=100.0)
        at_work, ahead = await bench.publish(queue, b"1", b"2")
        for life, pause_s in ((1, 100.0), (2, 200.0)):
            holder = await bench.enrol()
            await bench.step(holder, queue, want=2)
            await _let_die(bench, holder)
            row = await _look(bench, at_work)
            assert (row.state, row.attempts) == (EventState.WAITING, life)
            assert row.retry_at == pytest.approx(await bench.read(lambda tx: tx.now()) + pause_s, abs=20)
            assert (await _look(bench, ahead)).retry_at is None
            await _end_pauses(bench)
            assert (await bench.engine.requeue_due(limit=9)).events == 1
        assert await bench.counts(queue) == Counts(published=2, waiting=2, failed=2)

    async def test_a_dead_worker_was_at_what_it_leased_first_whatever_the_numbers_say(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=2)
        first, second = await bench.publish(queue, b"1", b"2")
        holder = await bench.enrol()
        (leased,) = (await bench.step(holder, queue, want=1)).leased
        await bench.step(holder, queue, call=2, want=1)
        await bench.step(holder, queue, call=3, finished=[Finished(first, leased.fence, Outcome.RELEASED)])
        await bench.step(holder, queue, call=4, want=1)

        await _let_die(bench, holder)

        assert [(await _look(bench, event)).attempts for event in (first, second)] == [0, 1]

    async def test_what_a_persons_consumer_held_when_it_vanished_is_never_counted(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        (event,) = await bench.publish(queue, b"1")
        holder = await bench.enrol(at_once=0)
        await bench.step(holder, queue, want=1)

        await _let_die(bench, holder)

        assert (await _look(bench, event)).attempts == 0
        assert await bench.counts(queue) == Counts(published=1, waiting=1)

    async def test_what_an_ended_session_held_goes_back_uncounted(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        events = await bench.publish(queue, b"1", b"2", b"3")
        holder = await bench.enrol()
        await bench.step(holder, queue, want=2)

        await bench.write(lambda tx: tx.holders.end([holder], reason="replaced"))

        assert await bench.counts(queue) == Counts(published=3, waiting=3)
        rows = await bench.read(lambda tx: tx.events.list_page(queue, EventState.WAITING, after=0, limit=9))
        assert [(row.event, row.attempts) for row in rows] == [(event, 0) for event in events]
        [attempt] = await bench.read(lambda tx: tx.events.list_attempts(events[0]))
        assert attempt.end is AttemptEnd.RELEASED
        with pytest.raises(SessionEndedError):
            await bench.step(holder, queue, call=2, want=1)
        again = (await bench.step(await bench.enrol(), queue, want=3)).leased
        assert [(one.event, one.fence, one.attempt) for one in again] == [
            (events[0], 2, 1),
            (events[1], 2, 1),
            (events[2], 1, 1),
        ]

    async def test_sessions_that_die_together_are_judged_each_by_itself(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(holders, "TOGETHER_MAX", 2)
        queue, paused = await bench.add_queue(attempts=1), await bench.add_queue("paused", attempts=2, retry_s=100.0)
        events = await bench.publish(queue, b"1", b"2", b"3", b"4")
        [later] = await bench.publish(paused, b"5")
        sessions = [await bench.enrol(at_once=1) for _ in range(4)]
        for session, want in zip(sessions, (2, 1, 0, 1), strict=True):
            if want:
                await bench.step(session, queue, want=want)
        await bench.step(sessions[2], paused, want=1)
        await bench.write(lambda tx: tx.holders.end([sessions[3]], reason="left"))

        await bench.write(lambda tx: tx.holders.end(list(reversed(sessions)), reason="the end", are_deaths=True))

        assert await bench.counts(queue) == Counts(published=4, waiting=2, dead=2, failed=2)
        assert await bench.counts(paused) == Counts(published=1, waiting=1, failed=1)
        dead = await bench.read(lambda tx: tx.events.list_page(queue, EventState.DEAD, after=0, limit=9))
        assert [row.event for row in dead] == [events[0], events[2]]
        assert (await _look(bench, later)).retry_at is not None

        async def find_end(event: int) -> AttemptEnd | None:
            return (await bench.read(lambda tx: tx.events.list_attempts(event)))[-1].end

        async def find_reason(session: int) -> str | None:
            return (await bench.read(lambda tx: tx.holders.get(session))).ended

        ends = [await find_end(event) for event in events]
        assert ends == [AttemptEnd.EXPIRED, AttemptEnd.ABANDONED, AttemptEnd.EXPIRED, AttemptEnd.RELEASED]
        kept = [await find_reason(session) for session in sessions]
        assert kept == ["the end", "the end", "the end", "left"]

    async def test_a_session_keeps_the_reason_it_ended_for_first(self, bench: Bench) -> None:
        holder = await bench.enrol()

        await bench.write(lambda tx: tx.holders.end([holder], reason="left"))
        await bench.write(lambda tx: tx.holders.end([holder], reason="replaced"))

        assert (await bench.read(lambda tx: tx.holders.get(holder))).ended == "left"


class AccountContract:
    async def test_counters_and_changes_are_read_together(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue, b"1", b"2")
        assert await bench.engine.fold() > 0
        await bench.publish(queue, b"3")
        assert await bench.counts(queue) == Counts(published=3, waiting=3)

    async def test_a_recount_agrees_with_the_counters(self, bench: Bench) -> None:
        queue, output = await bench.add_queue("in", attempts=1), await bench.add_queue("out")
        await bench.bury(queue, error=BOOM)
        await bench.publish(queue, b"1", b"2", b"3")
        holder = await bench.enrol()
        one, _ = (await bench.step(holder, queue, want=2)).leased
        done = Finished(one.event, one.fence, Outcome.DONE, results=[Body(BodyKind.JSON, b"1")])
        await bench.step(holder, queue, call=2, finished=[done], outputs=[output])

        recounts = await bench.read(lambda tx: tx.queues.recount([queue, output]))

        assert recounts[queue].kept == Counts(published=4, waiting=1, in_work=1, done=1, dead=1, failed=1)
        assert recounts[output].kept == Counts(published=1, waiting=1)
        for recount in recounts.values():
            assert recount.kept == recount.counted
            assert recount.counted_twice == 0

    async def test_a_recount_sees_rows_that_are_gone_and_results_that_are_too_many(self, bench: Bench) -> None:
        queue, output = await bench.add_queue("in"), await bench.add_queue("out")
        gone, doubled = await bench.publish(queue, b"1", b"2")
        holder = await bench.enrol()
        leases = (await bench.step(holder, queue, want=2)).leased
        done = [Finished(one.event, one.fence, Outcome.DONE, results=[Body(BodyKind.JSON, b"1")]) for one in leases]
        await bench.step(holder, queue, call=2, finished=done, outputs=[output])

        def damage(tx: Transaction) -> None:
            session = tx.workflows._session  # type: ignore[attr-defined]
            session.execute(delete(schema.finished).where(schema.finished.c.event == gone))
            number = session.take_number()
            child = {"id": number, "queue": output, "parent": doubled, "kind": 0, "key": None, "body": b"1"}
            session.execute(insert(schema.event), child)

        await bench.write(damage)

        recount = (await bench.read(lambda tx: tx.queues.recount([queue])))[queue]
        assert recount.kept == Counts(published=2, done=2)
        assert recount.counted == Counts(published=2, done=1)
        assert recount.counted_twice == 1

    async def test_a_second_result_is_counted_as_a_duplicate(self, bench: Bench) -> None:
        queue, output = await bench.add_queue("in"), await bench.add_queue("out")
        [event] = await bench.publish(queue, b"1")
        first = await bench.enrol(proc=0)
        await bench.step(first, queue, want=1)
        await bench.write(lambda tx: tx.holders.end([first], reason="replaced"))
        second = await bench.enrol(proc=0, start=2)
        await bench.step(second, queue, want=1)
        results = [Body(BodyKind.JSON, b"1")]
        for call, fence in enumerate((2, 1), 2):
            done = Finished(event, fence, Outcome.DONE, results=results)
            answer = await bench.step(second, queue, call=call, finished=[done], outputs=[output])

        assert list(answer.verdicts) == [Verdict.DUPLICATE]
        counts = Counts(published=1, done=1, duplicates=1)
        recount = (await bench.read(lambda tx: tx.queues.recount([queue])))[queue]
        assert (recount.kept, recount.counted, recount.counted_twice) == (counts, counts, 0)
        assert await bench.counts(output) == Counts(published=1, waiting=1)


class StoreContract(PublishContract, EventLifeContract, DeadLetterContract, HolderContract, AccountContract):
    """Events, as the store keeps them beside the engine."""


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgresStore(StoreContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench
