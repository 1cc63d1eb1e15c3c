"""What must every queue engine do? One suite for all of them; an engine's own test class inherits it and brings the bench."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from contracts.queue_engine_bench import LIVE_S, Bench
from muster.domain.attempt import AttemptEnd, AttemptError, Outcome, Verdict
from muster.domain.errors import TooLargeError
from muster.domain.event_state import TRANSITIONS, EventState, Happening, next_state
from muster.domain.queue import Counts
from muster.domain.usage import NO_USAGE, Usage, UsageSums
from muster.server.ports.queue_engine import (
    Body,
    BodyKind,
    Finished,
    Leased,
    QueueEngine,
    Reaped,
    Requeued,
    SessionEndedError,
    Step,
    StepAnswer,
)

ERROR = AttemptError("it broke\0 at /tmp/x \ud800", "it broke\0 at <path>", stdout_tail="out", exit_code=3)


def step(
    holder: int,
    call: int,
    queues: Sequence[int] = (),
    *finished: Finished,
    want: int = 0,
    outputs: Sequence[int] = (),
) -> Step:
    return Step(holder, call, queues, outputs, finished, want, LIVE_S)


def done(leased: Leased, *results: bytes) -> Finished:
    return Finished(
        leased.event, leased.fence, Outcome.DONE, [Body(BodyKind.JSON, data) for data in results], wall_s=0.5
    )


def failed(leased: Leased) -> Finished:
    return Finished(leased.event, leased.fence, Outcome.FAILED, error=ERROR, wall_s=0.25)


def released(leased: Leased) -> Finished:
    return Finished(leased.event, leased.fence, Outcome.RELEASED, wall_s=0.125, usage=Usage(0.1, 7, 3))


class Worker:
    """A session that counts its calls."""

    def __init__(self, engine: QueueEngine, holder: int, queues: Sequence[int], outputs: Sequence[int] = ()) -> None:
        self.engine, self.holder, self.queues, self.outputs, self.calls = engine, holder, queues, outputs, 0

    async def call(self, *finished: Finished, want: int = 0) -> StepAnswer:
        self.calls += 1
        asked = step(self.holder, self.calls, self.queues, *finished, want=want, outputs=self.outputs)
        return await self.engine.step(asked)

    async def lease(self, want: int = 1) -> Sequence[Leased]:
        return (await self.call(want=want)).leased

    async def judge(self, finished: Finished) -> Verdict:
        (verdict,) = (await self.call(finished)).verdicts
        return verdict


class QueueEngineContract:
    """Every behaviour of the port."""

    async def worker(self, bench: Bench, *queues: int, taskforce: str = "TF-a", outputs: Sequence[int] = ()) -> Worker:
        return Worker(bench.engine, await bench.add_session(taskforce=taskforce), queues, outputs)

    # -- leases ----------------------------------------------------------------------------------------------------------

    async def test_events_are_leased_in_order_of_arrival_with_their_bodies(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=4)
        events = await bench.publish(queue, [b'{"a":1}', b"[2]", b"3"])
        worker = await self.worker(bench, queue)

        answer = await worker.call(want=2)

        bodies = [Body(BodyKind.JSON, b'{"a":1}'), Body(BodyKind.JSON, b"[2]")]
        assert answer == StepAnswer(
            [], [Leased(event, 1, 1, body, None, 4, 0, queue) for event, body in zip(events, bodies, strict=False)]
        )
        assert await bench.counts(queue) == Counts(published=3, waiting=1, in_work=2)
        assert [one.event for one in await worker.lease(5)] == events[2:]
        assert await worker.lease(5) == []

    async def test_queues_are_emptied_in_the_order_of_the_call(self, bench: Bench) -> None:
        first, second = await bench.add_queue(), await bench.add_queue()
        later = await bench.publish(second, 3)
        earlier = await bench.publish(first, 2)
        worker = await self.worker(bench, second, first)

        assert [one.event for one in await worker.lease(4)] == [*later, earlier[0]]
        assert await bench.counts(first) == Counts(published=2, waiting=1, in_work=1)
        assert await bench.counts(second) == Counts(published=3, in_work=3)

    async def test_a_key_travels_with_its_event(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        (event,) = await bench.publish(queue)
        await bench.sql.run("UPDATE event SET key = 'k' WHERE id = ?", event)

        (leased,) = await (await self.worker(bench, queue)).lease()

        assert leased.key == "k"

    async def test_a_result_carries_the_key_of_the_event_it_comes_from(self, bench: Bench) -> None:
        first, second, third = [await bench.add_queue() for _ in range(3)]
        keyed, _, late = await bench.publish(first, 3)
        for event, key in ((keyed, "run-7/file-3"), (late, "late")):
            await bench.sql.run("UPDATE event SET key = ? WHERE id = ?", key, event)
        source = await self.worker(bench, first, outputs=[second])
        chained = await self.worker(bench, second, outputs=[third])

        a, b, c = await source.lease(3)
        await source.call(done(a, b"1", b"2"), done(b, b"3"), released(c))
        assert await source.judge(done(c, b"4")) is Verdict.LATE

        leased = await chained.lease(9)
        assert [(one.body.data, one.key) for one in leased] == [
            (b"1", "run-7/file-3"),
            (b"2", "run-7/file-3"),
            (b"3", None),
            (b"4", "late"),
        ]
        await chained.call(done(leased[0], b"5"))
        [end] = await (await self.worker(bench, third)).lease(9)
        assert (end.body.data, end.key) == (b"5", "run-7/file-3")
        # Two results of one event have the same key: it is not one by which events are known again.
        assert await bench.sql.run("SELECT count(*) FROM event_key") == [(0,)]

    async def test_what_fits_no_database_is_refused_before_it_gets_there(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        holder = await bench.add_session()
        for bad in (step(holder, 0, [queue]), step(holder, 1, [queue], want=-1), step(-1, 1), step(1 << 63, 1)):
            with pytest.raises(ValueError, match=r"call|want|holder"):
                await bench.engine.step(bad)
        many = Finished(1, 1, Outcome.DONE, [Body(BodyKind.JSON, b"1")] * 20_000)
        with pytest.raises(TooLargeError):
            await bench.engine.step(step(holder, 1, (), many, outputs=[queue, queue + 1]))
        for targets in ([queue + 1], [queue, queue]):
            aimed = Finished(1, 1, Outcome.DONE, [Body(BodyKind.JSON, b"1")], targets=targets)
            with pytest.raises(ValueError, match=r"target|none of the outputs"):
                await bench.engine.step(step(holder, 1, (), aimed, outputs=[queue]))

    # -- results ---------------------------------------------------------------------------------------------------------

    async def test_a_result_goes_to_every_output_queue_and_says_where_it_came_from(self, bench: Bench) -> None:
        source, left, right = [await bench.add_queue() for _ in range(3)]
        (event,) = await bench.publish(source)
        worker = await self.worker(bench, source, outputs=[left, right])
        (leased,) = await worker.lease()
        bench.woken.clear()

        answer = await worker.call(
            Finished(event, leased.fence, Outcome.DONE, [Body(BodyKind.BYTES, b"\0\xff"), Body(BodyKind.JSON, b"{}")])
        )

        assert answer == StepAnswer([Verdict.DONE], [], published=frozenset({left, right}))
        assert bench.woken == [f"queue:{left}", f"queue:{right}"]
        made = await bench.sql.run("SELECT id, queue, kind, body FROM event WHERE parent = ? ORDER BY id", event)
        expected = [(left, 1, b"\0\xff"), (right, 1, b"\0\xff"), (left, 0, b"{}"), (right, 0, b"{}")]
        assert [row[1:] for row in made] == expected
        rows = await bench.sql.run("SELECT results, first_result, kind, result FROM finished WHERE event = ?", event)
        assert rows == [(4, made[0][0], None, None)]
        assert await bench.counts(source) == Counts(published=1, done=1)
        assert await bench.counts(left) == await bench.counts(right) == Counts(published=2, waiting=2)
        (first, second) = await (await self.worker(bench, left)).lease(9)
        assert (first.body, second.body) == (Body(BodyKind.BYTES, b"\0\xff"), Body(BodyKind.JSON, b"{}"))

    async def test_a_result_goes_to_the_one_queue_that_it_names(self, bench: Bench) -> None:
        source, left, right = [await bench.add_queue() for _ in range(3)]
        first, second, third = await bench.publish(source, 3)
        worker = await self.worker(bench, source, outputs=[left, right])
        one, two, three = await worker.lease(3)
        results = [Body(BodyKind.JSON, b"1"), Body(BodyKind.JSON, b"2"), Body(BodyKind.JSON, b"3")]
        bench.woken.clear()

        answer = await worker.call(
            Finished(first, one.fence, Outcome.DONE, results[:1], targets=[right]),
            Finished(second, two.fence, Outcome.DONE, results, targets=[right, None, right]),
        )
        again = await worker.call(Finished(third, three.fence, Outcome.DONE, results[:1], targets=[left]))

        assert answer == StepAnswer([Verdict.DONE] * 2, [], published=frozenset({left, right}))
        assert again == StepAnswer([Verdict.DONE], [], published=frozenset({left}))
        assert bench.woken == [f"queue:{left}", f"queue:{right}", f"queue:{left}"]
        made = await bench.sql.run("SELECT parent, queue, body FROM event WHERE parent IS NOT NULL ORDER BY id")
        expected = [(first, right, b"1"), (second, right, b"1"), (second, left, b"2"), (second, right, b"2")]
        assert made == [*expected, (second, right, b"3"), (third, left, b"1")]
        assert await bench.sql.run("SELECT results FROM finished ORDER BY event") == [(1,), (4,), (1,)]
        assert await bench.counts(left) == Counts(published=2, waiting=2)
        assert await bench.counts(right) == Counts(published=4, waiting=4)

    async def test_a_late_result_goes_to_the_queue_that_it_names(self, bench: Bench) -> None:
        source, left, right = [await bench.add_queue() for _ in range(3)]
        (event,) = await bench.publish(source)
        worker, other = [await self.worker(bench, source, outputs=[left, right]) for _ in range(2)]
        (leased,) = await worker.lease()
        await worker.call(released(leased))
        await other.lease()

        answer = await worker.call(
            Finished(event, leased.fence, Outcome.DONE, [Body(BodyKind.JSON, b"1")], targets=[right])
        )

        assert answer == StepAnswer([Verdict.LATE], [], published=frozenset({right}))
        assert await bench.counts(left) == Counts()
        assert await bench.counts(right) == Counts(published=1, waiting=1)

    async def test_a_result_without_an_output_queue_is_kept_with_its_event(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        first, second = await bench.publish(queue, 2)
        worker = await self.worker(bench, queue)
        one, two = await worker.lease(2)

        answer = await worker.call(Finished(first, one.fence, Outcome.DONE, [Body(BodyKind.BYTES, b"\1")]), done(two))

        assert answer == StepAnswer([Verdict.DONE] * 2, [])
        rows = await bench.sql.run("SELECT event, results, first_result, kind, result FROM finished ORDER BY event")
        assert rows == [(first, 0, None, 1, b"\1"), (second, 0, None, None, None)]

    async def test_a_result_may_be_leased_by_the_very_call_that_brings_it(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue)
        worker = await self.worker(bench, queue, outputs=[queue])
        (leased,) = await worker.lease()

        answer = await worker.call(done(leased, b"7"), want=3)

        assert [one.body.data for one in answer.leased] == [b"7"]
        assert await bench.counts(queue) == Counts(published=2, in_work=1, done=1)

    # -- failures and releases -------------------------------------------------------------------------------------------

    async def test_a_failed_event_goes_to_the_front_and_dies_at_the_limit(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=2)
        event, _ = await bench.publish(queue, 2)
        worker = await self.worker(bench, queue)
        (first,) = await worker.lease()
        bench.woken.clear()

        answer = await worker.call(failed(first), want=1)

        assert answer.verdicts == [Verdict.REQUEUED]
        assert answer.requeued == {queue}
        assert bench.woken == [f"queue:{queue}"]
        (second,) = answer.leased
        assert (second.event, second.fence, second.attempt) == (event, 2, 2)
        assert await worker.judge(failed(second)) is Verdict.DEAD
        assert await bench.counts(queue) == Counts(published=2, waiting=1, dead=1, failed=2)
        rows = await bench.sql.run('SELECT fence, "end", wall_s, fingerprint, error FROM attempt ORDER BY fence')
        assert [row[:4] for row in rows] == [
            (fence, AttemptEnd.FAILED, 0.25, "it broke\ufffd at <path>") for fence in (1, 2)
        ]
        assert AttemptError(**json.loads(rows[0][4])) == ERROR

    async def test_an_event_dies_of_a_final_failure_at_once_and_can_be_replayed(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=5)
        (event,) = await bench.publish(queue)
        worker = await self.worker(bench, queue)
        (leased,) = await worker.lease()
        fault = Finished(event, leased.fence, Outcome.FAILED, error=ERROR, is_final=True)

        answers = [await worker.call(fault), await worker.call(fault)]

        assert [list(answer.verdicts) for answer in answers] == [[Verdict.DEAD]] * 2
        assert await bench.counts(queue) == Counts(published=1, dead=1, failed=1)
        await bench.replay(queue, event)
        assert [one.event for one in await worker.lease()] == [event]

    async def test_a_failed_event_waits_and_each_pause_is_twice_the_one_before(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=4, retry_s=100.0)
        event, other = await bench.publish(queue, 2)
        worker = await self.worker(bench, queue)
        for attempt, pause_s in ((1, 100.0), (2, 200.0), (3, 300.0)):
            (leased,) = await worker.lease()
            assert (leased.event, leased.fence, leased.attempt) == (event, attempt, attempt)
            bench.woken.clear()

            answer = await worker.call(failed(leased))

            assert (answer.verdicts, answer.requeued, answer.has_delayed) == ([Verdict.REQUEUED], frozenset(), True)
            assert bench.woken == ["retry"]
            assert await bench.counts(queue) == Counts(published=2, waiting=2, failed=attempt)
            requeued = await bench.engine.requeue_due(limit=10)
            assert (requeued.events, requeued.queues) == (0, frozenset())
            assert requeued.next_s == pytest.approx(pause_s, abs=20)
            (passing,) = await worker.lease(2)
            assert passing.event == other
            await worker.call(released(passing))
            await bench.sql.run("UPDATE delayed SET due = 0")
            assert await bench.engine.requeue_due(limit=10) == Requeued(1, frozenset({queue}), None)
            assert bench.woken[-1] == f"queue:{queue}"
        (last,) = await worker.lease()
        assert await worker.judge(failed(last)) is Verdict.DEAD
        assert await bench.counts(queue) == Counts(published=2, waiting=1, dead=1, failed=4)
        assert await bench.engine.requeue_due(limit=10) == Requeued()

    async def test_a_release_makes_no_pause(self, bench: Bench) -> None:
        queue = await bench.add_queue(retry_s=100.0)
        await bench.publish(queue)
        worker = await self.worker(bench, queue)

        answer = await worker.call(released((await worker.lease())[0]), want=1)

        assert (answer.requeued, answer.has_delayed) == (frozenset({queue}), False)
        assert len(answer.leased) == 1

    async def test_events_that_are_due_go_back_the_first_due_first(self, bench: Bench) -> None:
        left, right = await bench.add_queue(retry_s=100.0), await bench.add_queue(retry_s=200.0)
        events = [*await bench.publish(left, 2), *await bench.publish(right, 1)]
        worker = await self.worker(bench, left, right)
        await worker.call(*(failed(one) for one in await worker.lease(3)))
        for due, event in ((3.0, events[0]), (1.0, events[1]), (2.0, events[2])):
            await bench.sql.run("UPDATE delayed SET due = ? WHERE event = ?", due, event)

        passes = [await bench.engine.requeue_due(limit=2) for _ in range(3)]

        assert passes == [Requeued(2, frozenset({left, right}), 0.0), Requeued(1, frozenset({left})), Requeued()]
        assert [one.event for one in await worker.lease(9)] == events

    async def test_a_late_result_counts_while_its_event_waits_for_the_next_attempt(self, bench: Bench) -> None:
        queue = await bench.add_queue(retry_s=100.0)
        await bench.publish(queue)
        dead, alive = [await self.worker(bench, queue) for _ in range(2)]
        (leased,) = await dead.lease()
        await bench.expire(dead.holder)
        assert await bench.engine.reap(limit=10) == Reaped(holders=1, requeued=1, has_delayed=True)

        assert await alive.judge(done(leased)) is Verdict.LATE

        assert await bench.counts(queue) == Counts(published=1, done=1)
        assert await bench.engine.requeue_due(limit=10) == Requeued()

    async def test_of_a_dead_worker_only_what_it_was_working_on_makes_a_pause(self, bench: Bench) -> None:
        queue, strict = await bench.add_queue(retry_s=100.0), await bench.add_queue(attempts=1, retry_s=100.0)
        at_work, ahead = await bench.publish(queue, 2)
        dying = Worker(bench.engine, await bench.add_session(at_once=1), [queue])
        last = Worker(bench.engine, await bench.add_session(at_once=1), [strict])
        await bench.publish(strict)
        await dying.lease(2)
        await last.lease(1)
        for worker in (dying, last):
            await bench.expire(worker.holder)
        bench.woken.clear()

        reaped = await bench.engine.reap(limit=10)

        assert reaped == Reaped(holders=2, requeued=2, dead=1, queues=frozenset({queue}), has_delayed=True)
        assert bench.woken == [f"queue:{queue}", "retry"]
        assert [one.event for one in await (await self.worker(bench, queue)).lease(9)] == [ahead]
        assert await bench.sql.run("SELECT event, attempts, fence FROM delayed") == [(at_work, 1, 1)]

    async def test_a_release_is_not_counted(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        (event,) = await bench.publish(queue)
        worker = await self.worker(bench, queue)

        for fence in (1, 2, 3):
            (leased,) = await worker.lease()
            assert (leased.event, leased.fence, leased.attempt) == (event, fence, 1)
            assert await worker.judge(released(leased)) is Verdict.REQUEUED

        assert await bench.counts(queue) == Counts(published=1, waiting=1)
        ends = await bench.sql.run('SELECT fence, "end" FROM attempt ORDER BY fence')
        assert ends == [(fence, AttemptEnd.RELEASED) for fence in (1, 2, 3)]

    async def test_a_replayed_dead_letter_is_counted_from_zero_and_keeps_its_fences(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        (event,) = await bench.publish(queue)
        worker = await self.worker(bench, queue)
        (leased,) = await worker.lease()
        assert await worker.judge(failed(leased)) is Verdict.DEAD

        await bench.replay(queue, event)

        (again,) = await worker.lease()
        assert (again.fence, again.attempt) == (2, 1)
        assert await worker.judge(done(again)) is Verdict.DONE

    # -- repeats ---------------------------------------------------------------------------------------------------------

    async def test_a_call_made_again_is_answered_the_same_and_leases_nothing_new(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(attempts=2), await bench.add_queue()
        await bench.publish(queue, 8)
        worker = await self.worker(bench, queue, outputs=[output])
        a, b, c = await worker.lease(3)
        again = step(worker.holder, 2, [queue], done(a, b"1"), failed(b), released(c), want=2, outputs=[output])
        first = await bench.engine.step(again)
        rows = await bench.counts(queue)

        second = await bench.engine.step(again)

        assert first.verdicts == second.verdicts == [Verdict.DONE, Verdict.REQUEUED, Verdict.REQUEUED]
        assert first.leased == second.leased
        assert [one.event for one in first.leased] == [b.event, c.event]
        assert (second.published, second.requeued) == (frozenset(), frozenset())
        assert await bench.counts(queue) == rows
        assert await bench.counts(output) == Counts(published=1, waiting=1)

    async def test_a_dead_letter_and_a_late_result_are_confirmed_when_handed_in_again(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        await bench.publish(queue, 2)
        worker = await self.worker(bench, queue)
        a, b = await worker.lease(2)
        await worker.call(failed(a), released(b))

        assert [await worker.judge(failed(a)) for _ in range(2)] == [Verdict.DEAD] * 2
        assert [await worker.judge(done(b)) for _ in range(2)] == [Verdict.LATE] * 2

    async def test_an_earlier_call_is_superseded_but_gets_its_own_leases_again(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue, 4)
        worker = await self.worker(bench, queue)
        (first,) = await worker.lease()
        await worker.lease()

        answer = await bench.engine.step(step(worker.holder, 1, [queue], want=3))

        assert answer == StepAnswer([], [first], superseded=True)

    async def test_a_parked_call_leases_only_while_it_is_the_newest(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        worker = await self.worker(bench, queue)
        parked = step(worker.holder, 1, [queue], want=2)
        assert (await worker.call(want=2)).leased == []
        assert await bench.engine.lease_more(parked) == StepAnswer([], [])
        events = await bench.publish(queue, 3)

        given = await bench.engine.lease_more(parked)
        assert [one.event for one in given.leased] == events[:2]
        assert await bench.engine.lease_more(parked) == given  # it was not heard
        assert (await bench.engine.step(parked)).leased == given.leased

        await worker.call()
        assert await bench.engine.lease_more(step(worker.holder, 1, [queue], want=2)) == StepAnswer(
            [], given.leased, superseded=True
        )
        assert await bench.counts(queue) == Counts(published=3, waiting=1, in_work=2)

    async def test_the_same_attempt_twice_in_one_call_counts_once(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(), await bench.add_queue()
        await bench.publish(queue, 2)
        worker = await self.worker(bench, queue, outputs=[output])
        a, b = await worker.lease(2)

        answer = await worker.call(done(a, b"1"), done(a, b"1"), released(b), done(b, b"2"), failed(b))

        assert answer.verdicts == [Verdict.DONE, Verdict.DONE, Verdict.REQUEUED, Verdict.LATE, Verdict.STALE]
        assert await bench.counts(queue) == Counts(published=2, done=2)
        assert await bench.counts(output) == Counts(published=2, waiting=2)

    # -- the ladder ------------------------------------------------------------------------------------------------------

    async def test_a_late_result_counts_while_the_event_waits(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(), await bench.add_queue()
        (event,) = await bench.publish(queue)
        first, second = [await self.worker(bench, queue, outputs=[output]) for _ in range(2)]
        (leased,) = await first.lease()
        await self.reap(bench, first)

        assert await second.judge(done(leased, b"1")) is Verdict.LATE

        assert await bench.counts(queue) == Counts(published=1, done=1)
        assert await bench.counts(output) == Counts(published=1, waiting=1)
        rows = await bench.sql.run("SELECT holder, fence, late, attempts FROM finished WHERE event = ?", event)
        assert rows == [(first.holder, 1, True, 1)]
        assert await bench.sql.run('SELECT fence, holder, "end" FROM attempt') == [(1, first.holder, AttemptEnd.LATE)]
        assert await second.lease() == []

    async def test_a_late_result_takes_the_event_from_a_newer_lease(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(), await bench.add_queue()
        (event,) = await bench.publish(queue)
        first, second, third = [await self.worker(bench, queue, outputs=[output]) for _ in range(3)]
        (old,) = await first.lease()
        await self.reap(bench, first)
        (new,) = await second.lease()

        assert await third.judge(done(old, b"1")) is Verdict.LATE

        assert await bench.engine.renew(second.holder, [(event, new.fence)], lease_s=LIVE_S) == [event]
        assert [await second.judge(done(new, b"2")) for _ in range(2)] == [Verdict.DUPLICATE] * 2
        assert await second.judge(failed(new)) is Verdict.STALE
        assert await bench.counts(queue) == Counts(published=1, done=1, duplicates=1)
        assert await bench.counts(output) == Counts(published=1, waiting=1)
        ends = await bench.sql.run('SELECT fence, "end" FROM attempt ORDER BY fence')
        assert ends == [(1, AttemptEnd.LATE), (2, AttemptEnd.DUPLICATE)]

    async def test_a_late_result_raises_a_dead_letter(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=1)
        await bench.publish(queue)
        first, second = [await self.worker(bench, queue) for _ in range(2)]
        (leased,) = await first.lease()
        await self.reap(bench, first)
        assert await bench.counts(queue) == Counts(published=1, dead=1, failed=1)

        assert await second.judge(done(leased)) is Verdict.LATE

        assert await bench.counts(queue) == Counts(published=1, done=1)

    async def test_a_second_result_is_recorded_and_goes_nowhere(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(), await bench.add_queue()
        await bench.publish(queue)
        first, second = [await self.worker(bench, queue, outputs=[output]) for _ in range(2)]
        (old,) = await first.lease()
        await self.reap(bench, first)
        (new,) = await second.lease()
        assert await second.judge(done(new, b"1")) is Verdict.DONE

        answer = await second.call(done(old, b"2"))

        assert (answer.verdicts, answer.published) == ([Verdict.DUPLICATE], frozenset())
        assert await bench.counts(queue) == Counts(published=1, done=1, duplicates=1)
        assert await second.judge(done(old, b"2")) is Verdict.DUPLICATE
        assert await bench.counts(queue) == Counts(published=1, done=1, duplicates=1)
        assert await bench.sql.run('SELECT fence, "end" FROM attempt') == [(1, AttemptEnd.DUPLICATE)]
        assert await bench.counts(output) == Counts(published=1, waiting=1)

    async def test_a_result_may_come_through_another_session_of_the_taskforce(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        (event,) = await bench.publish(queue)
        first, second = [await self.worker(bench, queue) for _ in range(2)]
        (leased,) = await first.lease()

        assert await second.judge(failed(leased)) is Verdict.STALE
        assert await second.judge(done(leased)) is Verdict.LATE

        assert await bench.counts(queue) == Counts(published=1, done=1)
        assert await bench.engine.renew(first.holder, [(event, leased.fence)], lease_s=LIVE_S) == [event]
        assert await first.judge(done(leased)) is Verdict.LATE

    async def test_attempts_of_others_and_attempts_that_never_were_are_unknown(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=9)
        await bench.publish(queue, 3)
        ours, theirs = await self.worker(bench, queue), await self.worker(bench, queue, taskforce="TF-b")
        held, expired, finished = await theirs.lease(3)
        await theirs.call(done(finished), released(expired))
        odd = [
            (held.event, 2),
            (held.event, 0),
            (held.event, -1),
            (held.event, 1 << 40),
            (1 << 70, 1),
            (-5, 1),
            (12345, 1),
        ]

        for leased in (held, expired, finished):
            for finish in (done, failed, released):
                assert await ours.judge(finish(leased)) is Verdict.UNKNOWN
        for event, fence in odd:
            assert await theirs.judge(Finished(event, fence, Outcome.DONE)) is Verdict.UNKNOWN
        assert await bench.counts(queue) == Counts(published=3, waiting=1, in_work=1, done=1)
        assert await bench.sql.run('SELECT "end" FROM attempt') == [(AttemptEnd.RELEASED,)]

    async def test_a_person_may_finish_what_an_earlier_consumer_of_theirs_took(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue)
        sessions = [
            await bench.add_session(taskforce=None, queue=queue, owner=owner) for owner in ("ann", "bob", "ann")
        ]
        before, other, after = [Worker(bench.engine, session, [queue]) for session in sessions]
        (leased,) = await before.lease()
        await self.reap(bench, before)

        assert await other.judge(done(leased)) is Verdict.UNKNOWN
        assert await after.judge(done(leased)) is Verdict.LATE

    async def test_what_comes_after_the_end_of_an_attempt_is_stale(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=9)
        await bench.publish(queue, 3)
        first, second = [await self.worker(bench, queue) for _ in range(2)]
        a, b, c = await first.lease(3)
        await first.call(failed(a), released(b))
        await self.reap(bench, first)

        late = [released(a), done(a), failed(b), failed(c), released(c)]
        assert [await second.judge(one) for one in late] == [Verdict.STALE] * len(late)
        assert await bench.counts(queue) == Counts(published=3, waiting=3, failed=2)

    @pytest.mark.parametrize("happening", [one for one in Happening if one is not Happening.REPLAYED])
    @pytest.mark.parametrize("state", list(EventState))
    async def test_every_pair_of_the_table_moves_the_event_as_the_table_says(
        self, bench: Bench, state: EventState, happening: Happening
    ) -> None:
        finally_ = happening in (Happening.FAILED_FINALLY, Happening.EXPIRED_FINALLY)
        queue = await bench.add_queue(attempts=2 if finally_ or state is EventState.DEAD else 3)
        (event,) = await bench.publish(queue)
        first, second = [await self.worker(bench, queue) for _ in range(2)]
        (old,) = await first.lease()
        await self.reap(bench, first)  # one attempt is over; a late result of it may come at any time
        current = None
        if state is not EventState.WAITING:
            (current,) = await second.lease()
        if state is EventState.DONE:
            assert current is not None
            await second.call(done(current))
        elif state is EventState.DEAD:
            assert current is not None
            await second.call(failed(current))
        assert await bench.find_state(event) is state

        if happening is Happening.LEASED:
            await second.lease()
        elif happening is Happening.FINISHED_LATE:
            await second.call(done(old))
        elif happening in (Happening.EXPIRED, Happening.EXPIRED_FINALLY):
            await self.reap(bench, second)
        else:
            say = {Happening.FINISHED: done, Happening.RELEASED: released}.get(happening, failed)
            # Without a lease in force there is nothing such words could be about but the lease before.
            if current is not None or happening is not Happening.FINISHED:
                await second.call(say(current or old))

        assert await bench.find_state(event) is (next_state(state, happening) or state)
        await bench.counts(queue)

    def test_the_table_has_no_other_pairs(self) -> None:
        assert {pair for pair in TRANSITIONS if pair[1] is Happening.REPLAYED} == {
            (EventState.DEAD, Happening.REPLAYED)
        }

    # -- sessions --------------------------------------------------------------------------------------------------------

    async def test_a_session_that_is_over_leases_and_judges_nothing(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue, 2)
        worker = await self.worker(bench, queue)
        (leased,) = await worker.lease()
        await bench.end_session(worker.holder)

        for holder in (worker.holder, 987_654):
            with pytest.raises(SessionEndedError):
                await bench.engine.step(step(holder, 7, [queue], done(leased), want=3))
            with pytest.raises(SessionEndedError):
                await bench.engine.lease_more(step(holder, 1, [queue], want=3))
            with pytest.raises(SessionEndedError):
                await bench.engine.renew(holder, [], lease_s=1.0)
        assert await bench.counts(queue) == Counts(published=2, waiting=1, in_work=1)

    async def test_every_call_prolongs_the_session_and_none_shortens_it(self, bench: Bench) -> None:
        session = await bench.add_session()

        async def until() -> float:
            ((value,),) = await bench.sql.run("SELECT until FROM holder WHERE number = ?", session)
            return float(value)

        first = await until()
        await bench.engine.renew(session, [], lease_s=1.0)
        await bench.engine.step(Step(session, 1, (), (), (), 0, 1.0))
        assert await until() == first
        await bench.engine.renew(session, [], lease_s=2 * LIVE_S)
        second = await until()
        assert second > first + LIVE_S / 2
        await bench.engine.step(Step(session, 2, (), (), (), 0, 3 * LIVE_S))
        third = await until()
        assert third > second + LIVE_S / 2
        await bench.engine.lease_more(Step(session, 2, (), (), (), 0, 4 * LIVE_S))
        assert await until() > third + LIVE_S / 2

    async def test_renew_names_exactly_what_is_no_longer_held(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue, 3)
        worker = await self.worker(bench, queue)
        a, b, c = await worker.lease(3)
        await worker.call(released(b))
        named = [(c.event, c.fence), (b.event, b.fence), (a.event, a.fence + 1), (404, 1), (1 << 70, 1)]

        lost = await bench.engine.renew(worker.holder, named, lease_s=LIVE_S)

        assert lost == [b.event, a.event, 404, 1 << 70]
        assert await bench.engine.renew(worker.holder, [(a.event, a.fence)], lease_s=LIVE_S) == []
        assert await bench.engine.renew(worker.holder, [], lease_s=LIVE_S) == []

    async def test_reap_sends_back_what_expired_sessions_held_and_counts_it(self, bench: Bench) -> None:
        queue, strict = await bench.add_queue(attempts=3), await bench.add_queue(attempts=1)
        events = [*await bench.publish(queue, 2), *await bench.publish(strict, 1)]
        dead, alive = [await self.worker(bench, queue, strict) for _ in range(2)]
        assert [one.event for one in await dead.lease(3)] == events
        await bench.publish(queue, 1)
        await alive.lease()
        await bench.expire(dead.holder)
        bench.woken.clear()

        reaped = await bench.engine.reap(limit=10)

        assert reaped == Reaped(holders=1, requeued=2, dead=1, queues=frozenset({queue}))
        assert bench.woken == [f"queue:{queue}"]
        assert await bench.counts(queue) == Counts(published=3, waiting=2, in_work=1, failed=2)
        assert await bench.counts(strict) == Counts(published=1, dead=1, failed=1)
        rows = await bench.sql.run('SELECT event, fence, holder, "end" FROM attempt ORDER BY event')
        assert rows == [(event, 1, dead.holder, AttemptEnd.EXPIRED) for event in events]
        assert await bench.sql.run("SELECT ended FROM holder WHERE number = ?", dead.holder) == [("expired",)]
        assert await bench.sql.run("SELECT number FROM holder_live") == [(alive.holder,)]
        assert [one.attempt for one in await alive.lease(5)] == [2, 2]
        assert (await bench.engine.reap(limit=10)).holders == 0

    async def test_a_dead_worker_is_counted_for_what_it_was_working_on_and_not_for_what_it_held_ahead(
        self, bench: Bench
    ) -> None:
        queue, strict = await bench.add_queue(attempts=3), await bench.add_queue(attempts=1)
        older = await bench.publish(queue, 3)
        worker = Worker(bench.engine, await bench.add_session(at_once=2), [queue, strict])
        await worker.lease(2)
        await worker.call(done((await worker.lease(1))[0]))
        newer = await bench.publish(strict, 2)
        await worker.lease(2)
        await bench.expire(worker.holder)

        reaped = await bench.engine.reap(limit=10)

        assert reaped == Reaped(holders=1, requeued=4, dead=0, queues=frozenset({queue, strict}))
        assert await bench.counts(queue) == Counts(published=3, waiting=2, done=1, failed=2)
        assert await bench.counts(strict) == Counts(published=2, waiting=2)
        rows = await bench.sql.run('SELECT event, "end" FROM attempt ORDER BY event')
        expired, abandoned = AttemptEnd.EXPIRED, AttemptEnd.ABANDONED
        assert rows == [(one, expired) for one in older[:2]] + [(one, abandoned) for one in newer]
        again = await self.worker(bench, queue, strict)
        leased = await again.lease(9)
        assert [(one.attempt, one.deaths) for one in leased] == [(2, 1), (2, 1), (1, 1), (1, 1)]

    async def test_a_lease_says_how_many_workers_died_with_the_event_and_so_does_its_repeat(self, bench: Bench) -> None:
        queue = await bench.add_queue(attempts=5)
        await bench.publish(queue, 2)
        for _ in range(2):
            dying = Worker(bench.engine, await bench.add_session(at_once=1), [queue])
            await dying.lease(1)
            await bench.expire(dying.holder)
            await bench.engine.reap(limit=10)
        worker = await self.worker(bench, queue)
        await worker.call(*(failed(one) for one in await worker.lease(2)))

        leased = await worker.lease(2)

        assert [(one.attempt, one.deaths) for one in leased] == [(4, 2), (2, 0)]
        worker.calls -= 1
        assert await worker.lease(2) == leased

    async def test_an_event_that_went_back_is_counted_after_what_was_leased_before_it_again(self, bench: Bench) -> None:
        """A worker works in the order of its calls, not of the events' numbers."""
        queue = await bench.add_queue()
        first, second = await bench.publish(queue, 2)
        worker = Worker(bench.engine, await bench.add_session(at_once=1), [queue])
        (back,) = await worker.lease(1)
        await worker.lease(1)
        await worker.call(released(back))
        await worker.lease(1)
        await bench.expire(worker.holder)
        await bench.engine.reap(limit=10)

        rows = await bench.sql.run('SELECT event, fence, "end" FROM attempt WHERE fence > 1 OR event = ?', second)
        assert sorted(rows) == [(first, 2, AttemptEnd.ABANDONED), (second, 1, AttemptEnd.EXPIRED)]

    async def test_reap_ends_no_more_sessions_than_it_may(self, bench: Bench) -> None:
        sessions = [await bench.add_session() for _ in range(5)]
        for session in sessions:
            await bench.expire(session)

        assert [(await bench.engine.reap(limit=2)).holders for _ in range(4)] == [2, 2, 1, 0]

    # -- the account -----------------------------------------------------------------------------------------------------

    async def test_one_step_counts_in_one_row_a_queue_and_fold_adds_it_up(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(), await bench.add_queue()
        await bench.publish(queue, 6)
        worker = await self.worker(bench, queue, outputs=[output])
        leased = await worker.lease(4)
        assert await bench.engine.fold() == 2

        await worker.call(*(done(one, b"1") for one in leased), want=2)

        assert await bench.sql.run("SELECT count(*) FROM delta") == [(2,)]
        before = await bench.counts(queue)
        assert before == Counts(published=6, in_work=2, done=4)
        assert await bench.engine.fold() == 2
        assert await bench.engine.fold() == 0
        assert await bench.counts(queue) == before
        assert await bench.counts(output) == Counts(published=4, waiting=4)
        await worker.call()  # moves nothing, so counts nothing
        await bench.engine.tend()
        assert await bench.sql.run("SELECT count(*) FROM delta") == [(0,)]

    async def test_what_attempts_took_is_summed_and_what_was_lost_of_it(self, bench: Bench) -> None:
        queue, output = await bench.add_queue(), await bench.add_queue()
        await bench.publish(queue, 5)
        worker = await self.worker(bench, queue, outputs=[output])
        first, second, third, fourth, fifth = await worker.lease(5)

        await worker.call(
            replace(done(first, b"12", b"3"), wall_s=1.0, usage=Usage(0.5, 100, 10)),
            replace(failed(second), wall_s=2.0, usage=Usage(1.5, 300, 20)),
            replace(released(third), wall_s=0.25, usage=Usage(None, None, 30)),
            replace(done(fourth), wall_s=4.0, usage=NO_USAGE),
            replace(done(fifth), wall_s=0.000001, usage=Usage(0.0000014, 200, 1)),
        )

        expected = UsageSums(7_250_001, 2_250_000, 3_000_001, 2_000_001, 61, 3, 300)
        assert await bench.usage(queue) == expected
        await bench.engine.fold()
        assert await bench.usage(queue) == expected
        assert await bench.usage(output) == UsageSums()

    async def test_an_attempt_whose_result_comes_late_was_not_lost_and_counts_once(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue)
        worker = await self.worker(bench, queue)
        [first] = await worker.lease()
        await worker.call(replace(released(first), wall_s=1.0, usage=Usage(0.5, 100, 10)))
        assert await bench.usage(queue) == UsageSums(1_000_000, 1_000_000, 1_000_000, 500_000, 10, 0, 100)

        assert await worker.judge(replace(done(first), wall_s=3.0, usage=Usage(2.0, 200, 10))) is Verdict.LATE

        assert await bench.usage(queue) == UsageSums(3_000_000, 0, 3_000_000, 2_000_000, 10, 0, 200)

    async def test_a_second_result_was_lost_and_counts_once_however_often_it_comes(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        await bench.publish(queue)
        worker = await self.worker(bench, queue)
        [first] = await worker.lease()
        await worker.call(replace(released(first), wall_s=1.0, usage=Usage(0.5, 100, 10)))
        [second] = await worker.lease()
        await worker.call(replace(done(second), wall_s=1.0, usage=NO_USAGE))

        for wall_s in (2.0, 2.0, 5.0):
            late = replace(done(first), wall_s=wall_s, usage=Usage(wall_s / 2, 50, 10))
            assert await worker.judge(late) is Verdict.DUPLICATE

        assert await bench.usage(queue) == UsageSums(3_000_000, 2_000_000, 2_000_000, 1_000_000, 10, 0, 100)

    async def test_nobodys_nonsense_keeps_the_counters_from_being_folded(self, bench: Bench) -> None:
        queue = await bench.add_queue()
        worker = await self.worker(bench, queue)
        for _ in range(2):
            await bench.publish(queue, 2500)
            leased = await worker.lease(2500)
            absurd = Usage(1e300, 1 << 90, 1 << 90)
            await worker.call(*(replace(done(one), wall_s=1e300, usage=absurd) for one in leased))
        await bench.engine.fold()
        await worker.call()

        rows = await bench.sql.run("SELECT done, wall_us, cpu_us, bytes_in, memory_bytes FROM counter")
        assert rows == [(5000, 4 * 10**18, 4 * 10**18, 5000 << 48, 1 << 48)]
        sane = await bench.add_queue()
        await bench.publish(sane)
        other = await self.worker(bench, sane)
        await other.call(*(replace(done(one), usage=Usage(0.25, 1, 1)) for one in await other.lease()))
        await bench.engine.fold()
        assert await bench.usage(sane) == UsageSums(500_000, 0, 500_000, 250_000, 1, 0, 1)

    async def test_nothing_is_lost_or_counted_twice_when_many_work_expire_and_repeat_at_once(
        self, bench: Bench
    ) -> None:
        source, target = await bench.add_queue(attempts=60), await bench.add_queue()
        events = await bench.publish(source, 120)
        chance = random.Random(11)
        said: dict[int, int] = {}  # how often a result was said to count

        async def work(engine: QueueEngine, rounds: int) -> None:
            kept: list[Finished] = []  # results that may be handed in once more, perhaps by another session
            worker = Worker(engine, await bench.add_session(), [source], [target])
            for _ in range(rounds):
                leased = list(await self.survive(worker, want=chance.randint(0, 9)))
                chance.shuffle(leased)
                finished = [
                    chance.choice((done, done, failed, released))(one) if chance.random() < 0.9 else None
                    for one in leased
                ]
                handed = [one for one in finished if one is not None]
                handed = [
                    Finished(one.event, one.fence, Outcome.DONE, [Body(BodyKind.JSON, b"1")])
                    if one.outcome is Outcome.DONE
                    else one
                    for one in handed
                ]
                kept += [
                    Finished(
                        one.event,
                        one.fence,
                        Outcome.DONE,
                        [Body(BodyKind.JSON, b"1")],
                        wall_s=chance.random(),
                        usage=Usage(
                            chance.choice((None, chance.random())), chance.randint(0, 1000), chance.randint(0, 9)
                        ),
                    )
                    for one in leased
                ]
                if chance.random() < 0.25:
                    await bench.expire(worker.holder)
                    await engine.reap(limit=5)
                    worker = Worker(engine, await bench.add_session(), [source], [target])
                handed += chance.sample(kept, min(len(kept), 2))
                try:
                    answer = await worker.call(*handed)
                except SessionEndedError:
                    worker = Worker(engine, await bench.add_session(), [source], [target])
                    continue
                for one, verdict in zip(handed, answer.verdicts, strict=True):
                    if verdict in (Verdict.DONE, Verdict.LATE):
                        said[one.event] = said.get(one.event, 0) + 1
                    assert verdict is not Verdict.UNKNOWN

        async def fold(engine: QueueEngine) -> None:
            for _ in range(20):
                await engine.fold()

        async with bench.replica() as other, anyio.create_task_group() as group:
            for engine in (bench.engine, other):
                for _ in range(6):
                    group.start_soon(work, engine, 12)
                group.start_soon(fold, engine)

        await self.drain(bench, source)
        counts = await bench.counts(source)
        assert replace(counts, failed=0, duplicates=0) == Counts(published=120, done=120)
        assert counts.failed > 0
        assert counts.duplicates > 0
        made = await bench.sql.run("SELECT parent, count(*) FROM event WHERE queue = ? GROUP BY parent", target)
        assert sorted(made) == [(event, 1) for event in events]
        assert set(said) <= set(events)
        await bench.counts(target)

    # -- steps of tests --------------------------------------------------------------------------------------------------

    async def survive(self, worker: Worker, *, want: int) -> Sequence[Leased]:
        try:
            return await worker.lease(want)
        except SessionEndedError:
            return []

    async def reap(self, bench: Bench, worker: Worker) -> None:
        """Let a session expire."""
        await bench.expire(worker.holder)
        assert (await bench.engine.reap(limit=10)).holders == 1

    async def drain(self, bench: Bench, queue: int) -> None:
        """Finish everything that is left."""
        await bench.sql.run("UPDATE holder SET until = 0")
        await bench.engine.reap(limit=1000)
        worker = await self.worker(bench, queue, outputs=[queue + 1])
        for _ in range(100):
            answer = await worker.call(want=50)
            if not answer.leased:
                return
            await worker.call(*(done(one, b"1") for one in answer.leased))
        raise AssertionError("the queue does not run dry")
