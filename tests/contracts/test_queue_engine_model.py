"""Does every queue engine answer as the model does, whatever is asked in whatever order?"""

import asyncio
import tempfile
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contracts.queue_engine_bench import LIVE_S, Bench, postgres_bench, sqlite_bench
from contracts.queue_engine_model import Model, ModelEvent
from muster.domain.attempt import AttemptError, Outcome
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
        self.queues: list[int] = []
        self.live: list[int] = []

    def teardown(self) -> None:
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

    def enrol(self, taskforce: object) -> None:
        holder = self.wait(self.bench.add_session(taskforce=str(taskforce)))
        self.model.kin[holder], self.model.calls[holder] = taskforce, 0
        self.live.append(holder)

    @rule(queue=st.integers(0, 2), n=st.integers(1, 3))
    def publish(self, queue: int, n: int) -> None:
        for event in self.wait(self.bench.publish(self.queues[queue], n)):
            self.model.events[event] = ModelEvent(event, self.queues[queue])

    @rule(
        who=picks,
        order=st.permutations(range(3)),
        outputs=st.sampled_from([(), (1,), (2, 0)]),
        want=st.integers(0, 4),
        handed=st.lists(st.tuples(picks, st.sampled_from(Outcome), st.integers(0, 2)), max_size=5),
        is_own=st.booleans(),
    )
    def step(
        self,
        who: int,
        order: Sequence[int],
        outputs: Sequence[int],
        want: int,
        handed: Sequence[tuple[int, Outcome, int]],
        is_own: bool,  # noqa: FBT001 - hypothesis gives it by name
    ) -> None:
        holder = self.live[who % len(self.live)]
        self.model.calls[holder] += 1
        leases = [
            (event.number, fence)
            for event in self.model.events.values()
            for fence, one in event.tries.items()
            if not is_own or (one.holder, one.end) == (holder, None)
        ]
        leases += [(404, 1), *((event, 99) for event in list(self.model.events)[:1])] if not is_own else []
        finished = []
        for pick, outcome, n in handed if leases else ():
            event, fence = leases[pick % len(leases)]
            results = [BODY] * n if outcome is Outcome.DONE else []
            finished.append(Finished(event, fence, outcome, results, FAULT if outcome is Outcome.FAILED else None))
        queues, to = [self.queues[index] for index in order], [self.queues[index] for index in outputs]
        step = self.last[holder] = Step(holder, self.model.calls[holder], queues, to, finished, want, LIVE_S)

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
        step = replace(last, call=max(1, last.call - earlier))
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


def test_sqlite_answers_as_the_model_does() -> None:
    class Machine(EngineMachine):
        def make_bench(self) -> AbstractAsyncContextManager[Bench]:
            folder = self.stack.enter_context(tempfile.TemporaryDirectory())
            return sqlite_bench(Path(folder) / "muster.db")

    run(Machine, examples=40)


@pytest.mark.server
def test_postgres_answers_as_the_model_does(postgres_url: str) -> None:
    class Machine(EngineMachine):
        def make_bench(self) -> AbstractAsyncContextManager[Bench]:
            return postgres_bench(postgres_url)

    run(Machine, examples=15)


def run(machine: type[EngineMachine], *, examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
