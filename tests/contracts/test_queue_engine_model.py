"""Does every queue engine answer as the model does, whatever is asked in whatever order?"""

import asyncio
import tempfile
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contracts.queue_engine_bench import LIVE_S, Bench, postgres_bench, sqlite_bench
from contracts.queue_engine_model import Model, ModelEvent, Try
from muster.domain.attempt import AttemptEnd, AttemptError, Outcome, Verdict
from muster.domain.event_state import EventState
from muster.server.ports.queue_engine import Body, BodyKind, Finished, SessionEndedError, Step

T = TypeVar("T")

BODY = Body(BodyKind.JSON, b"1")
FAULT = AttemptError("it broke", "it broke")
KIN = ("TF-a", "TF-a", "TF-b", "TF-b")
picks = st.integers(0, 10_000)


class EngineMachine(RuleBasedStateMachine):
    """Does things to an engine and to the model, and compares."""

    def make_bench(self) -> AbstractAsyncContextManager[Bench]:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.last: dict[int, Step] = {}
        self.steps: dict[tuple[int, int], Step] = {}
        self.queues: list[int] = []
        self.live: list[int] = []

    def teardown(self) -> None:
        if self.queues:
            self.compare_records()
        self.wait(self.stack.aclose())
        self.runner.close()

    def wait(self, awaitable: Awaitable[T]) -> T:
        async def run() -> T:
            return await awaitable

        return self.runner.run(run())

    @initialize()
    def begin(self) -> None:
        self.bench = self.wait(self.stack.enter_async_context(self.make_bench()))
        self.queues = [self.wait(self.bench.add_queue(attempts=attempts)) for attempts in (1, 2, 5)]
        self.model.limits = dict(zip(self.queues, (1, 2, 5), strict=True))
        for taskforce in KIN:
            self.enrol(taskforce)
        for queue in range(3):
            self.add_events(queue, 3)

    def enrol(self, taskforce: object) -> None:
        holder = self.wait(self.bench.add_session(taskforce=str(taskforce)))
        self.model.kin[holder], self.model.calls[holder] = taskforce, 0
        self.live.append(holder)

    @rule(queue=st.integers(0, 2), n=st.integers(1, 3))
    def publish(self, queue: int, n: int) -> None:
        self.add_events(queue, n)

    def add_events(self, queue: int, n: int) -> None:
        for event in self.wait(self.bench.publish(self.queues[queue], n)):
            self.model.events[event] = ModelEvent(event, self.queues[queue])

    @rule(
        who=picks,
        order=st.permutations(range(3)),
        outputs=st.sampled_from([(), (1,), (2, 0)]),
        want=st.integers(0, 4),
        handed=st.lists(st.tuples(picks, st.sampled_from(Outcome), st.integers(0, 2)), max_size=4),
    )
    def work(
        self,
        who: int,
        order: Sequence[int],
        outputs: Sequence[int],
        want: int,
        handed: Sequence[tuple[int, Outcome, int]],
    ) -> None:
        """Hand in some of what the session holds, and lease."""
        holder = self.live[who % len(self.live)]
        held = [key for key, one in self.tries() if (one.holder, one.end) == (holder, None)]
        self.call(holder, order, outputs, want, choose(held, handed))

    @rule(
        who=picks,
        outputs=st.sampled_from([(), (1,), (2, 0)]),
        handed=st.lists(st.tuples(picks, st.sampled_from(Outcome), st.integers(0, 2)), min_size=1, max_size=4),
    )
    def hand_in_anything(self, who: int, outputs: Sequence[int], handed: Sequence[tuple[int, Outcome, int]]) -> None:
        """Hand in attempts of anybody, ended or not, and some that never were."""
        odd = [(404, 1), *((event, 99) for event in list(self.model.events)[:1])]
        tries = [key for key, _ in self.tries()] * 2 + odd
        self.call(self.live[who % len(self.live)], (), outputs, 0, choose(tries, handed))

    @rule(
        pick=picks,
        who=picks,
        outputs=st.sampled_from([(), (1,)]),
        n=st.integers(0, 2),
        state=st.sampled_from(EventState),
    )
    def come_late(self, pick: int, who: int, outputs: Sequence[int], n: int, state: EventState) -> None:
        """Hand in a result of a lease that is over, of an event that is anywhere, by a session of its taskforce."""
        over = (AttemptEnd.EXPIRED, AttemptEnd.RELEASED)
        late = [(k, one) for k, one in self.tries() if one.end in over and self.model.events[k[0]].state is state]
        if late:
            key, one = late[pick % len(late)]
            kin = [holder for holder in self.live if self.model.kin[holder] == self.model.kin[one.holder]]
            self.call(kin[who % len(kin)], (), outputs, 0, [Finished(*key, Outcome.DONE, [BODY] * n)])

    def tries(self) -> list[tuple[tuple[int, int], Try]]:
        """Every lease ever given, by (event, fence)."""
        return [
            ((event.number, fence), one) for event in self.model.events.values() for fence, one in event.tries.items()
        ]

    def call(
        self, holder: int, order: Sequence[int], outputs: Sequence[int], want: int, finished: Sequence[Finished]
    ) -> None:
        """A new call of a session, compared with the model's."""
        self.model.calls[holder] += 1
        queues, to = [self.queues[index] for index in order], [self.queues[index] for index in outputs]
        step = self.last[holder] = Step(holder, self.model.calls[holder], queues, to, finished, want, LIVE_S)
        self.steps[holder, step.call] = step

        answer = self.wait(self.bench.engine.step(step))

        expected = self.model.hand_in(holder, finished, to)
        assert list(answer.verdicts) == expected.verdicts
        assert answer.published == {queue for queue, _ in expected.made}
        assert answer.requeued == expected.requeued
        assert not answer.superseded
        self.learn(expected.made)
        leased = [(one.event, one.fence, one.attempt) for one in answer.leased]
        assert leased == self.model.lease(holder, step.call, queues, want)
        assert all(one.limit == self.model.limits[self.model.events[one.event].queue] for one in answer.leased)

    def learn(self, made: Sequence[tuple[int, int]]) -> None:
        """Take the events that results made into the model, by their numbers."""
        known = set(self.model.events)
        rows = self.wait(self.bench.sql.run("SELECT id, queue, parent FROM event ORDER BY id"))
        new = [(event, queue, parent) for event, queue, parent in rows if event not in known]
        assert sorted((queue, parent) for _, queue, parent in new) == sorted(made)
        for event, queue, _ in new:
            self.model.events[event] = ModelEvent(event, queue)

    @rule(who=picks, earlier=st.integers(0, 1))
    def repeat(self, who: int, earlier: int) -> None:
        holder = self.live[who % len(self.live)]
        if holder not in self.last:
            return
        last = self.last[holder]
        step = self.steps[holder, max(1, last.call - earlier)]
        answer = self.wait(self.bench.engine.step(step))

        expected = self.model.hand_in(holder, step.finished, step.outputs)
        assert list(answer.verdicts) == expected.verdicts
        self.learn(expected.made)
        leased = [(one.event, one.fence, one.attempt) for one in answer.leased]
        assert leased == self.model.held(holder, step.call, step.queues)
        assert answer.superseded == (step.call < last.call)

    @rule(who=picks, want=st.integers(0, 3))
    def lease_more(self, who: int, want: int) -> None:
        holder = self.live[who % len(self.live)]
        if holder not in self.last:
            return
        step = replace(self.last[holder], finished=(), want=want)
        answer = self.wait(self.bench.engine.lease_more(step))

        held = self.model.held(holder, step.call, step.queues)
        leased = [(one.event, one.fence, one.attempt) for one in answer.leased]
        assert leased == (held or self.model.lease(holder, step.call, step.queues, want))
        assert not answer.superseded

    @rule(who=picks)
    def expire(self, who: int) -> None:
        holder = self.live.pop(who % len(self.live))
        self.wait(self.bench.expire(holder))
        reaped = self.wait(self.bench.engine.reap(limit=10))
        assert (reaped.requeued, reaped.dead) == self.model.expire(holder)
        assert reaped.holders == 1
        with pytest.raises(SessionEndedError):
            self.wait(self.bench.engine.renew(holder, [], lease_s=LIVE_S))
        self.enrol(self.model.kin[holder])

    @rule(who=picks, handed=st.lists(picks, max_size=4))
    def renew(self, who: int, handed: Sequence[int]) -> None:
        holder = self.live[who % len(self.live)]
        tries = [(event, fence) for event in self.model.events.values() for fence in event.tries]
        named = [tries[pick % len(tries)] for pick in handed] if tries else []
        pairs = [(event.number, fence) for event, fence in named]
        lost = self.wait(self.bench.engine.renew(holder, pairs, lease_s=LIVE_S))
        over = [e.number for e, fence in named if (e.tries[fence].holder, e.tries[fence].end) != (holder, None)]
        assert list(lost) == over

    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        dead = [event for event in self.model.events.values() if event.state is EventState.DEAD]
        if dead:
            event = dead[pick % len(dead)]
            self.wait(self.bench.replay(event.queue, event.number))
            self.model.replay(event)

    @rule()
    def fold(self) -> None:
        self.wait(self.bench.engine.fold())

    @invariant()
    def accounts_add_up(self) -> None:
        for queue in self.queues:
            assert self.wait(self.bench.counts(queue)) == self.model.counts(queue)

    def compare_records(self) -> None:
        """What is kept of every attempt."""
        kept = self.wait(self.bench.sql.run('SELECT event, fence, holder, "end" FROM attempt'))
        expected = [(*key, one.holder, one.end) for key, one in self.tries() if one.is_recorded]
        assert sorted(kept) == sorted(expected)
        finished = self.wait(self.bench.sql.run("SELECT event, fence, holder, late, attempts FROM finished"))
        assert sorted(finished) == sorted(
            (*key, one.holder, one.end is AttemptEnd.LATE, max(1, self.model.events[key[0]].attempts))
            for key, one in self.tries()
            if one.end in (Verdict.DONE, AttemptEnd.LATE)
        )


def choose(keys: Sequence[tuple[int, int]], handed: Sequence[tuple[int, Outcome, int]]) -> list[Finished]:
    """Attempts among some, by (which, outcome, number of results)."""
    return [
        Finished(
            *keys[pick % len(keys)],
            outcome,
            [BODY] * n if outcome is Outcome.DONE else [],
            FAULT if outcome is Outcome.FAILED else None,
        )
        for pick, outcome, n in handed
        if keys
    ]


def test_sqlite_answers_as_the_model_does() -> None:
    class Machine(EngineMachine):
        def make_bench(self) -> AbstractAsyncContextManager[Bench]:
            folder = self.stack.enter_context(tempfile.TemporaryDirectory())
            return sqlite_bench(Path(folder) / "muster.db")

    run(Machine, examples=25)


@pytest.mark.server
def test_postgres_answers_as_the_model_does(postgres_url: str) -> None:
    class Machine(EngineMachine):
        def make_bench(self) -> AbstractAsyncContextManager[Bench]:
            return postgres_bench(postgres_url)

    run(Machine, examples=12)


def run(machine: type[EngineMachine], *, examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes longer than a test may
        ),
    )
