"""Whatever clocks say and whoever does not answer: is each held proc released when its pause is over, given up in the end, or left alone?

The real `HeldProcs` over a schedd in memory, whose time of day is set forth and back; both count the seconds that pass alike.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.held import LOOK_S_MAX, GivenUp, HeldProcs
from muster.site.adapters.htcondor.hold_policy import BY_HAND, SPOOLING, TIME_CODES, HoldPolicy
from muster.site.adapters.htcondor.schedd import Acted, Action, Ad, Schedd

POLICY = HoldPolicy(holds_max=2, first_s=2.0, delay_s_max=10.0)
CLUSTERS, PROCS = (7, 8), 3
LEFT_ALONE = (BY_HAND, SPOOLING)
CODES = (*LEFT_ALONE, *sorted(TIME_CODES), 3, 13, 34)
REASONS = {BY_HAND: "UserRequest", SPOOLING: "SpoolingInput", 46: "JobDurationExceeded", 47: "JobExecuteExceeded"}


@dataclass
class Proc:
    """One in the queue. `held_at`: by the seconds that only count on; None: it runs."""

    held_at: float | None = None
    code: int = 0
    entered: float = 0.0
    is_off: bool = True
    holds: dict[str, int] = field(default_factory=dict)

    @property
    def troubles(self) -> int:
        return self.holds.get("Trouble", 0)


class FakeSchedd(Schedd):
    """Keeps procs as the real one does, and after the `first` questions leaves as many without an answer as `down` says."""

    def __init__(self, procs: dict[tuple[int, int], Proc]) -> None:
        super().__init__()
        self.procs = procs
        self.down = self.first = 0
        self.on_act: Callable[[Action, tuple[int, int]], None] = lambda _action, _place: None

    def ask(self) -> None:
        if self.first:
            self.first -= 1
        elif self.down:
            self.down -= 1
            raise UnavailableError("it does not answer")

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        self.ask()
        named = re.search(r"member\(ClusterId, \{([^}]*)\}\)", constraint)
        assert named is not None, constraint
        asked = {int(number) for number in named[1].split(",")}
        return [
            {
                "ClusterId": cluster,
                "ProcId": number,
                "HoldReason": f"for {one.code}",
                "HoldReasonCode": one.code,
                "NumHolds": sum(one.holds.values()),
                "NumHoldsByReason": dict(one.holds),
                "EnteredCurrentStatus": int(one.entered),
            }
            for (cluster, number), one in self.procs.items()
            if cluster in asked and one.held_at is not None and one.is_off
        ]

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        self.ask()
        cluster = int(re.findall(r"ClusterId == (\d+)", constraint)[0])
        for number in map(int, re.findall(r"ProcId == (\d+)", constraint)):
            self.on_act(action, (cluster, number))
        return Acted(1, 0, 0)


class Holding(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ahead_s = 1e9
        self.procs = {(cluster, number): Proc() for cluster in CLUSTERS for number in range(PROCS)}
        self.schedd = FakeSchedd(self.procs)
        self.schedd.on_act = self.take
        self.given_up: Counter[tuple[int, str]] = Counter()
        self.told: Counter[tuple[int, str]] = Counter()
        self.runner = asyncio.Runner()
        self.the_agent_is_started_again()

    def teardown(self) -> None:
        try:
            self.in_the_end_nobody_waits_but_who_was_held_by_hand()
        finally:
            self.runner.close()

    @initialize(troubles=st.lists(st.integers(0, 3), min_size=6, max_size=6))
    def some_have_had_trouble_before(self, troubles: list[int]) -> None:
        for one, count in zip(self.procs.values(), troubles, strict=True):
            one.holds["Trouble"] = count

    @rule()
    def the_agent_is_started_again(self) -> None:
        self.held = HeldProcs(self.schedd, POLICY, now=lambda: self.now)

    def take(self, action: Action, place: tuple[int, int]) -> None:
        """What `HeldProcs` has the schedd do: is it due?"""
        one = self.procs[place]
        assert one.held_at is not None, "only held ones are named"
        assert one.code not in LEFT_ALONE, "who was held by hand is left to that hand"
        if action is Action.REMOVE:
            assert one.troubles > POLICY.holds_max
            self.given_up[place[0], f"for {one.code}"] += 1
            del self.procs[place]
            return
        assert action is Action.RELEASE
        if one.code not in TIME_CODES:
            pause_s = min(POLICY.first_s * 2 ** (one.troubles - 1), POLICY.delay_s_max)
            assert one.troubles <= POLICY.holds_max
            assert self.now - one.held_at >= pause_s, "not before its pause is over"
        one.held_at = None

    def tend(self) -> None:
        holding = {cluster for (cluster, _), one in self.procs.items() if one.held_at is not None}
        try:
            told = self.runner.run(self.held.tend(dict.fromkeys(holding, PROCS)))
        except UnavailableError:
            return
        for one in told:
            for reason, count in one.errors.items():
                self.told[one.cluster, reason] += count

    @rule(data=st.data(), code=st.sampled_from(CODES), is_off=st.booleans())
    @precondition(lambda self: any(one.held_at is None for one in self.procs.values()))
    def hold(self, data: st.DataObject, code: int, is_off: bool) -> None:  # noqa: FBT001 - drawn
        running = sorted(place for place, one in self.procs.items() if one.held_at is None)
        for place in data.draw(st.lists(st.sampled_from(running), min_size=1, unique=True)):
            one = self.procs[place]
            one.held_at, one.entered, one.code, one.is_off = self.now, self.now + self.ahead_s, code, is_off
            reason = REASONS.get(code, "Trouble")
            one.holds[reason] = one.holds.get(reason, 0) + 1

    @rule(seconds=st.floats(0.0, 20.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tend()

    @rule(seconds=st.sampled_from([-3600.0, -7.0, 7.0, 3600.0]))
    def the_schedd_s_clock_is_set(self, seconds: float) -> None:
        self.ahead_s += seconds

    @rule()
    def they_are_off_their_machines(self) -> None:
        for one in self.procs.values():
            one.is_off = True

    @rule(first=st.integers(0, 2), questions=st.integers(1, 3))
    def the_schedd_is_away(self, first: int, questions: int) -> None:
        self.schedd.first, self.schedd.down = first, questions

    @invariant()
    def who_was_given_up_is_told_once_and_why(self) -> None:
        assert self.told == self.given_up

    @rule()
    def in_the_end_nobody_waits_but_who_was_held_by_hand(self) -> None:
        self.schedd.first = self.schedd.down = 0
        self.they_are_off_their_machines()
        until = self.now + POLICY.delay_s_max + 2 * LOOK_S_MAX
        while self.now < until:
            self.now += 0.5
            self.tend()
        assert {one.code for one in self.procs.values() if one.held_at is not None} <= set(LEFT_ALONE)


TestHolding = Holding.TestCase
TestHolding.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


def test_who_was_given_up_before_the_schedd_fell_silent_is_told() -> None:
    procs = {(cluster, 0): Proc(0.0, 13, holds={"Trouble": POLICY.holds_max + 1}) for cluster in CLUSTERS}
    schedd = FakeSchedd(procs)
    held = HeldProcs(schedd, POLICY, now=lambda: 100.0)
    schedd.first, schedd.down = 2, 1  # the look, and what is done to the first cluster

    told = asyncio.run(held.tend(dict.fromkeys(CLUSTERS, PROCS)))

    assert told == [GivenUp(CLUSTERS[0], {"for 13": 1})]
