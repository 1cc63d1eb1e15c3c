"""Does every queue engine answer as the model does, whatever is asked in whatever order?"""

import random
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contracts.queue_engine_bench import Bench, postgres_bench, sqlite_bench
from contracts.queue_engine_comparison import Comparison, Handed
from muster.domain.attempt import Outcome, Verdict
from muster.domain.event_state import TRANSITIONS, EventState
from muster.server.adapters.sql import sqlite_ladder

OUTPUTS: tuple[tuple[int, ...], ...] = ((), (1,), (2, 0))
OUTCOMES = tuple(Outcome)
picks = st.integers(0, 10_000)
handed_in = st.lists(st.tuples(picks, st.sampled_from(OUTCOMES), st.integers(0, 2)), max_size=4)


class EngineMachine(RuleBasedStateMachine):
    """Whatever hypothesis thinks of."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Bench]:
        """The engine that is compared with the model."""

    @initialize()
    def begin(self) -> None:
        self.both = self.stack.enter_context(Comparison(self.open()))

    def teardown(self) -> None:
        with self.stack:
            self.both.compare_records()

    @rule(queue=st.integers(0, 2), n=st.integers(1, 3))
    def publish(self, queue: int, n: int) -> None:
        self.both.publish(queue, n)

    @rule(
        who=picks,
        order=st.permutations(range(3)),
        outputs=st.sampled_from(OUTPUTS),
        want=st.integers(0, 4),
        handed=handed_in,
    )
    def work(self, who: int, order: Sequence[int], outputs: Sequence[int], want: int, handed: Handed) -> None:
        self.both.work(who, order, outputs, want, handed)

    @rule(who=picks, outputs=st.sampled_from(OUTPUTS), handed=handed_in)
    def hand_in_anything(self, who: int, outputs: Sequence[int], handed: Handed) -> None:
        self.both.hand_in_anything(who, outputs, handed)

    @rule(
        pick=picks, who=picks, outputs=st.sampled_from(OUTPUTS), n=st.integers(0, 2), state=st.sampled_from(EventState)
    )
    def come_late(self, pick: int, who: int, outputs: Sequence[int], n: int, state: EventState) -> None:
        self.both.come_late(pick, who, outputs, n, state)

    @rule(who=picks, earlier=st.integers(0, 1))
    def repeat(self, who: int, earlier: int) -> None:
        self.both.repeat(who, earlier)

    @rule(who=picks, want=st.integers(0, 3))
    def lease_more(self, who: int, want: int) -> None:
        self.both.lease_more(who, want)

    @rule(who=picks)
    def expire(self, who: int) -> None:
        self.both.expire(who)

    @rule(who=picks, named=st.lists(picks, max_size=4))
    def renew(self, who: int, named: Sequence[int]) -> None:
        self.both.renew(who, named)

    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        self.both.replay(pick)

    @rule()
    def requeue_due(self) -> None:
        self.both.requeue_due()

    @rule()
    def fold(self) -> None:
        self.both.fold()

    @invariant()
    def accounts_agree(self) -> None:
        self.both.compare_accounts()


def explore(bench: Callable[[ExitStack], AbstractAsyncContextManager[Bench]]) -> None:
    """Let hypothesis try."""

    class Machine(EngineMachine):
        def open(self) -> AbstractAsyncContextManager[Bench]:
            return bench(self.stack)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes longer than a test may
        ),
    )


def walk(both: Comparison, *, seed: int, steps: int) -> None:
    """Go on for long, at random, with weights by which every corner of the table is met."""
    chance = random.Random(seed)

    def some() -> int:
        return chance.randrange(10_000)

    def handed(most: int) -> Handed:
        return [(some(), chance.choice(OUTCOMES), chance.randrange(3)) for _ in range(chance.randint(0, most))]

    def outputs() -> tuple[int, ...]:
        return chance.choice(OUTPUTS) if chance.random() < 0.3 else ()

    def work() -> None:
        both.work(some(), chance.sample(range(3), 3), outputs(), chance.randrange(5), handed(3))

    things: Sequence[tuple[int, Callable[[], None]]] = (
        (8, work),
        (6, lambda: both.come_late(some(), some(), outputs(), 1, chance.choice(tuple(EventState)))),
        (2, lambda: both.hand_in_anything(some(), outputs(), handed(4))),
        (2, lambda: both.expire(some())),
        (2, lambda: both.repeat(some(), chance.randrange(2))),
        (1, lambda: both.lease_more(some(), 2)),
        (1, lambda: both.renew(some(), [some() for _ in range(4)])),
        (1, lambda: both.replay(some())),
        (1, lambda: both.publish(chance.randrange(3), 2)),
        (1, both.fold),
        (1, both.requeue_due),
    )
    weights, do = zip(*things, strict=True)
    for _ in range(steps):
        chance.choices(do, weights)[0]()
        both.compare_accounts()
    both.compare_records()
    assert set(both.model.moves) == set(TRANSITIONS), "the walk missed a pair of the table"
    assert both.verdicts == set(Verdict), "the walk missed a verdict"


def open_sqlite_bench(stack: ExitStack) -> AbstractAsyncContextManager[Bench]:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    return sqlite_bench(Path(folder) / "muster.db")


@pytest.mark.parametrize("plain_min", [1, sqlite_ladder.PLAIN_MIN])
@pytest.mark.parametrize("seed", [1, 2])
def test_sqlite_agrees_with_the_model_on_a_long_walk(
    tmp_path: Path, seed: int, plain_min: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as sets and one by one: it must not matter
    monkeypatch.setattr(sqlite_ladder, "PLAIN_MIN", plain_min)
    with Comparison(sqlite_bench(tmp_path / "muster.db")) as both:
        walk(both, seed=seed, steps=500)


def test_sqlite_agrees_with_the_model_wherever_hypothesis_looks() -> None:
    explore(open_sqlite_bench)


@pytest.mark.server
@pytest.mark.parametrize("seed", [1, 2])
def test_postgres_agrees_with_the_model_on_a_long_walk(postgres_url: str, seed: int) -> None:
    with Comparison(postgres_bench(postgres_url)) as both:
        walk(both, seed=seed, steps=500)


@pytest.mark.server
def test_postgres_agrees_with_the_model_wherever_hypothesis_looks(postgres_url: str) -> None:
    explore(lambda _: postgres_bench(postgres_url))
