"""Do an engine and the model agree? Each thing done to both, and their answers compared."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

import pytest

from contracts.queue_engine_bench import LIVE_S, Bench
from contracts.queue_engine_model import Model, ModelEvent, Try
from muster.domain.attempt import AttemptEnd, AttemptError, Outcome, Verdict
from muster.domain.event_state import EventState
from muster.domain.usage import NO_USAGE, Usage
from muster.server.ports.queue_engine import Body, BodyKind, Finished, Requeued, SessionEndedError, Step

T = TypeVar("T")

BODY = Body(BodyKind.JSON, b"1")
FAULT = AttemptError("it broke", "it broke")
TASKFORCES = ("TF-a", "TF-a", "TF-b", "TF-b")
LIMITS = (1, 2, 5)
RETRIES_S = (1e-9, 1e-9, 0.0)
"""The pauses of the queues: over at once, and yet an event comes back only when the engine is told to look."""

Handed = Sequence[tuple[int, Outcome, int]]
"""Attempts to hand in, as (which of those at hand, outcome, number of results)."""


class Comparison:
    """An engine and the model side by side: three queues, four sessions at a time of two taskforces.

    Numbers such as `who` and `pick` choose among what there is, so any will do. A context manager.
    """

    def __init__(self, bench: AbstractAsyncContextManager[Bench]) -> None:
        self.opening = bench
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.steps: dict[tuple[int, int], Step] = {}
        self.queues: list[int] = []
        self.live: list[int] = []
        self.enrolled = 0
        self.verdicts: set[Verdict] = set()
        self.bench: Bench

    def __enter__(self) -> Self:
        self.bench = self.wait(self.stack.enter_async_context(self.opening))
        self.queues = [
            self.wait(self.bench.add_queue(attempts=limit, retry_s=retry_s))
            for limit, retry_s in zip(LIMITS, RETRIES_S, strict=True)
        ]
        self.model.limits = dict(zip(self.queues, LIMITS, strict=True))
        self.model.pausing = {queue for queue, retry_s in zip(self.queues, RETRIES_S, strict=True) if retry_s}
        for taskforce in TASKFORCES:
            self.enrol(taskforce)
        for queue in range(len(LIMITS)):
            self.publish(queue, 3)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait(self.stack.aclose())
        self.runner.close()

    def wait(self, awaitable: Awaitable[T]) -> T:
        async def run() -> T:
            return await awaitable

        return self.runner.run(run())

    # -- things to do ----------------------------------------------------------------------------------------------------

    def publish(self, queue: int, n: int) -> None:
        for event in self.wait(self.bench.publish(self.queues[queue], n)):
            self.model.events[event] = ModelEvent(event, self.queues[queue])

    def work(self, who: int, order: Sequence[int], outputs: Sequence[int], want: int, handed: Handed) -> None:
        """Hand in some of what a session holds, and lease."""
        holder = self.live[who % len(self.live)]
        held = [key for key, one in self.tries() if (one.holder, one.end) == (holder, None)]
        self.call(holder, order, outputs, want, choose(held, handed))

    def hand_in_anything(self, who: int, outputs: Sequence[int], handed: Handed) -> None:
        """Hand in attempts of anybody, ended or not, and some that never were."""
        odd = [(404, 1), *((event, 99) for event in list(self.model.events)[:1])]
        tries = [key for key, _ in self.tries()] * 2 + odd
        self.call(self.live[who % len(self.live)], (), outputs, 0, choose(tries, handed))

    def come_late(self, pick: int, who: int, outputs: Sequence[int], n: int, state: EventState) -> None:
        """Hand in a result of a lease that is over, of an event in some state, by a session of its taskforce."""
        over = (AttemptEnd.EXPIRED, AttemptEnd.RELEASED)
        late = [(k, one) for k, one in self.tries() if one.end in over and self.model.events[k[0]].state is state]
        if late:
            key, one = late[pick % len(late)]
            kin = [holder for holder in self.live if self.model.kin[holder] == self.model.kin[one.holder]]
            usage = Usage(n / 3, who, pick)
            self.call(kin[who % len(kin)], (), outputs, 0, [Finished(*key, Outcome.DONE, [BODY] * n, None, n, usage)])

    def repeat(self, who: int, earlier: int) -> None:
        """Make the last call of a session, or the one before, again."""
        holder = self.live[who % len(self.live)]
        newest = self.model.calls[holder]
        step = self.steps.get((holder, max(1, newest - earlier)))
        if step is None:
            return
        answer = self.wait(self.bench.engine.step(step))

        expected = self.model.hand_in(holder, step.finished, step.outputs)
        assert list(answer.verdicts) == expected.verdicts
        self.learn(expected.made)
        leased = [(one.event, one.fence, one.attempt, one.deaths) for one in answer.leased]
        assert leased == self.model.held(holder, step.call, step.queues)
        assert answer.superseded == (step.call < newest)

    def lease_more(self, who: int, want: int) -> None:
        holder = self.live[who % len(self.live)]
        last = self.steps.get((holder, self.model.calls[holder]))
        if last is None:
            return
        step = Step(holder, last.call, last.queues, last.outputs, (), want, LIVE_S)
        answer = self.wait(self.bench.engine.lease_more(step))

        held = self.model.held(holder, step.call, step.queues)
        leased = [(one.event, one.fence, one.attempt, one.deaths) for one in answer.leased]
        assert leased == (held or self.model.lease(holder, step.call, step.queues, want))
        assert not answer.superseded

    def expire(self, who: int) -> None:
        """Let a session's time be over; its proc enrols again."""
        holder = self.live.pop(who % len(self.live))
        self.wait(self.bench.expire(holder))
        reaped = self.wait(self.bench.engine.reap(limit=10))
        delayed = self.model.count_delayed()
        assert (reaped.requeued, reaped.dead) == self.model.expire(holder)
        assert reaped.holders == 1
        assert reaped.has_delayed == (self.model.count_delayed() > delayed)
        with pytest.raises(SessionEndedError):
            self.wait(self.bench.engine.renew(holder, [], lease_s=LIVE_S))
        self.enrol(str(self.model.kin[holder]))

    def renew(self, who: int, picks: Sequence[int]) -> None:
        holder = self.live[who % len(self.live)]
        tries = self.tries()
        named = [tries[pick % len(tries)] for pick in picks] if tries else []
        lost = self.wait(self.bench.engine.renew(holder, [key for key, _ in named], lease_s=LIVE_S))
        assert list(lost) == [event for (event, _), one in named if (one.holder, one.end) != (holder, None)]

    def replay(self, pick: int) -> None:
        dead = [event for event in self.model.events.values() if event.state is EventState.DEAD]
        if dead:
            event = dead[pick % len(dead)]
            self.wait(self.bench.replay(event.queue, event.number))
            self.model.replay(event)

    def requeue_due(self) -> None:
        delayed = self.model.count_delayed()
        requeued = self.wait(self.bench.engine.requeue_due(limit=1000))
        assert requeued == Requeued(delayed, frozenset(self.model.requeue_due()), None)

    def fold(self) -> None:
        self.wait(self.bench.engine.fold())

    # -- comparing -------------------------------------------------------------------------------------------------------

    def compare_accounts(self) -> None:
        """The account of each queue, and its rows."""
        for queue in self.queues:
            assert self.wait(self.bench.counts(queue)) == self.model.counts(queue)

    def compare_records(self) -> None:
        """What is kept of every attempt."""
        kept = self.wait(self.bench.sql.run('SELECT event, fence, holder, "end" FROM attempt'))
        assert sorted(kept) == sorted((*key, one.holder, one.end) for key, one in self.tries() if one.is_recorded)
        finished = self.wait(self.bench.sql.run("SELECT event, fence, holder, late, attempts FROM finished"))
        assert sorted(finished) == sorted(
            (*key, one.holder, one.end is AttemptEnd.LATE, max(1, self.model.events[key[0]].attempts))
            for key, one in self.tries()
            if one.end in (Verdict.DONE, AttemptEnd.LATE)
        )

    # -- steps of these --------------------------------------------------------------------------------------------------

    def enrol(self, taskforce: str) -> None:
        at_once = (1000, 1, 2)[self.enrolled % 3]
        self.enrolled += 1
        holder = self.wait(self.bench.add_session(taskforce=taskforce, at_once=at_once))
        self.model.kin[holder], self.model.at_once[holder], self.model.calls[holder] = taskforce, at_once, 0
        self.live.append(holder)

    def tries(self) -> list[tuple[tuple[int, int], Try]]:
        """Every lease ever given, by (event, fence)."""
        events = self.model.events.values()
        return [((event.number, fence), one) for event in events for fence, one in event.tries.items()]

    def call(
        self, holder: int, order: Sequence[int], outputs: Sequence[int], want: int, finished: Sequence[Finished]
    ) -> None:
        """A new call of a session."""
        call = self.model.calls[holder] = self.model.calls[holder] + 1
        queues, to = [self.queues[index] for index in order], [self.queues[index] for index in outputs]
        finished = [aim(one, to) for one in finished]
        step = self.steps[holder, call] = Step(holder, call, queues, to, finished, want, LIVE_S)

        answer = self.wait(self.bench.engine.step(step))

        expected = self.model.hand_in(holder, finished, to)
        assert list(answer.verdicts) == expected.verdicts
        assert answer.published == {queue for queue, _ in expected.made}
        assert answer.requeued == expected.requeued
        assert answer.has_delayed == expected.has_delayed
        assert not answer.superseded
        self.verdicts |= set(answer.verdicts)
        self.learn(expected.made)
        leased = [(one.event, one.fence, one.attempt, one.deaths) for one in answer.leased]
        assert leased == self.model.lease(holder, call, queues, want)
        assert all(one.limit == self.model.limits[self.model.events[one.event].queue] for one in answer.leased)

    def learn(self, made: Sequence[tuple[int, int]]) -> None:
        """Take the events that results made into the model, by their numbers."""
        if not made:
            return
        rows = self.wait(self.bench.sql.run("SELECT id, queue, parent FROM event ORDER BY id"))
        new = [(event, queue, parent) for event, queue, parent in rows if event not in self.model.events]
        assert sorted((queue, parent) for _, queue, parent in new) == sorted(made)
        for event, queue, _ in new:
            self.model.events[event] = ModelEvent(event, queue)


def aim(finished: Finished, outputs: Sequence[int]) -> Finished:
    """An attempt that names queues for its results, now and then: the first goes to the first, others to all."""
    if not outputs or not finished.results or finished.event % 2:
        return finished
    return replace(finished, targets=[outputs[0], *[None] * (len(finished.results) - 1)])


def choose(keys: Sequence[tuple[int, int]], handed: Handed) -> list[Finished]:
    """Attempts among some."""
    return [
        Finished(
            *keys[pick % len(keys)],
            outcome,
            [BODY] * n if outcome is Outcome.DONE else [],
            FAULT if outcome is Outcome.FAILED else None,
            pick % 7 / 3,
            Usage(None if pick % 3 == 0 else pick % 5 / 7, 1000 * pick, pick % 11) if pick % 4 else NO_USAGE,
        )
        for pick, outcome, n in handed
        if keys
    ]
