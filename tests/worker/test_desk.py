"""Is every event that comes onto the desk accounted for, and is the right thing said to the service at the right time?"""

import time
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from muster.worker.child import Cancel
from muster.worker.desk import LINGER_S, LOST, STUCK_S, Desk
from muster.worker.messages import Lease
from muster.worker.pace import AHEAD_MAX, AHEAD_S, Pace
from muster.worker.runtime import CANCELLED, DONE, Ended


def lease(number: int, fence: int = 1) -> Lease:
    return Lease(f"EV-{number}", fence, 1, "json", b"%d" % number)


class Book(RuleBasedStateMachine):
    """Every event leased is waiting, at work, to be handed in, handed in, or lost: exactly one of these."""

    SLOTS = 3

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(Pace(slots=self.SLOTS, batch=4), slots=self.SLOTS, wake=lambda: None)
        self.cancels = [Cancel() for _ in range(self.SLOTS)]
        self.at_work: dict[int, str] = {}
        self.leased = 0
        self.flying: list[list[object]] = []
        self.handed: Counter[str] = Counter()
        self.now = time.monotonic()

    @rule(count=st.integers(1, 5), is_stopping=st.booleans())
    def leases_come(self, count: int, is_stopping: bool) -> None:  # noqa: FBT001
        self.desk.put([lease(self.leased + index) for index in range(count)], epoch=1, is_stopping=is_stopping)
        self.leased += count

    @precondition(lambda self: self.desk.held(1) and len(self.at_work) < self.SLOTS)
    @rule()
    def a_slot_takes(self) -> None:
        if len(self.desk.held(1)) > self.desk.n_working():
            slot = next(index for index in range(self.SLOTS) if index not in self.at_work)
            taken = self.desk.take(self.cancels[slot])
            assert taken is not None
            self.at_work[slot] = taken.event

    @precondition(lambda self: self.at_work)
    @rule(outcome=st.sampled_from([DONE, "failed"]), wall_s=st.floats(0, 1), data=st.data())
    def a_slot_brings(self, outcome: str, wall_s: float, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.at_work)))
        is_cancelled = self.cancels[slot].reason is not None
        self.desk.bring(self.at_work.pop(slot), Ended(CANCELLED if is_cancelled else outcome, wall_s=wall_s))

    @rule(after_s=st.sampled_from([0.0, LINGER_S, STUCK_S]), is_asking=st.booleans(), is_stopping=st.booleans())
    def the_pilot_looks(self, after_s: float, is_asking: bool, is_stopping: bool) -> None:  # noqa: FBT001
        self.now = max(self.now, time.monotonic()) + after_s
        errand = self.desk.plan(self.now, is_asking=is_asking, may_ask=True, is_stopping=is_stopping)
        if errand.is_due:
            assert errand.want <= self.SLOTS + AHEAD_MAX
            assert errand.finished or errand.want
            if errand.finished:
                self.flying.append(list(errand.finished))
        else:
            assert (errand.finished, errand.want) == ((), 0)

    @precondition(lambda self: self.flying)
    @rule(how=st.sampled_from(["answered", "again", "alone"]))
    def a_call_ends(self, how: str) -> None:
        call = self.flying.pop(0)
        if how == "answered":
            self.handed.update(one.event for one in call)  # type: ignore[attr-defined]
        else:
            self.desk.hand_in_again(call, alone=how == "alone")  # type: ignore[arg-type]

    @precondition(lambda self: self.desk.held(1))
    @rule(data=st.data())
    def a_lease_is_lost(self, data: st.DataObject) -> None:
        self.desk.lose([data.draw(st.sampled_from(self.desk.held(1)))])

    @rule()
    def what_waits_is_given_back(self) -> None:
        self.desk.give_back_ready()

    @invariant()
    def everything_is_somewhere(self) -> None:
        flying = sum(map(len, self.flying))
        held, finished = len(self.desk.held(1)), self.desk.n_finished()
        assert held + finished + flying + self.handed.total() + self.desk.counts[LOST] == self.leased
        assert max(self.handed.values(), default=1) == 1
        assert self.desk.n_working() == len(self.at_work)


TestBook = Book.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def plan(desk: Desk, after_s: float = 0.0, *, is_asking: bool = False):  # type: ignore[no-untyped-def]
    return desk.plan(time.monotonic() + after_s, is_asking=is_asking, may_ask=True, is_stopping=False)


def test_slots_that_are_free_are_asked_for_once() -> None:
    desk = Desk(Pace(slots=4, batch=16), slots=4, wake=lambda: None)
    assert (plan(desk).is_due, plan(desk).want) == (True, 4)
    assert not plan(desk, is_asking=True).is_due


def test_a_result_goes_at_once_when_a_slot_is_free_and_waits_for_others_while_all_are_busy() -> None:
    pace = Pace(slots=1, batch=16)
    pace.note_task(0.01)
    desk = Desk(pace, slots=1, wake=lambda: None)
    desk.put([lease(1), lease(2), lease(3)], epoch=1, is_stopping=False)
    first, second, third = Cancel(), Cancel(), Cancel()
    desk.take(first)
    desk.bring("EV-1", Ended(DONE, wall_s=0.01))
    desk.take(second)
    assert not plan(desk).is_due
    errand = plan(desk, LINGER_S)
    assert [one.event for one in errand.finished] == ["EV-1"]
    desk.bring("EV-2", Ended(DONE, wall_s=0.01))
    desk.take(third)
    desk.bring("EV-3", Ended(DONE, wall_s=0.01))
    errand = plan(desk)
    assert (errand.is_due, [one.event for one in errand.finished]) == (True, ["EV-2", "EV-3"])


def test_what_waits_behind_a_long_task_is_given_back() -> None:
    pace = Pace(slots=1, batch=16)
    pace.note_task(0.001)
    desk = Desk(pace, slots=1, wake=lambda: None)
    desk.put([lease(1), lease(2)], epoch=1, is_stopping=False)
    desk.take(Cancel())
    assert plan(desk, STUCK_S / 2).finished == ()
    errand = plan(desk, STUCK_S + 1)
    assert [(one.event, one.outcome) for one in errand.finished] == [("EV-2", "released")]
    assert errand.want == 0
    assert pace.ahead == 0


def test_an_event_at_work_that_is_leased_again_is_the_same_work() -> None:
    desk = Desk(Pace(slots=1, batch=1), slots=1, wake=lambda: None)
    desk.put([lease(1, fence=1)], epoch=1, is_stopping=False)
    desk.take(Cancel())
    desk.put([lease(1, fence=2)], epoch=2, is_stopping=False)
    assert (desk.held(1), desk.held(2)) == ([], [("EV-1", 2)])
    desk.bring("EV-1", Ended(DONE))
    assert [(one.event, one.fence) for one in plan(desk).finished] == [("EV-1", 2)]


def test_an_attempt_that_travels_alone() -> None:
    desk = Desk(Pace(slots=3, batch=1), slots=3, wake=lambda: None)
    desk.put([lease(n) for n in range(3)], epoch=1, is_stopping=False)
    for n in range(3):
        desk.take(Cancel())
        desk.bring(f"EV-{n}", Ended(DONE))
    taken = list(plan(desk).finished)
    assert len(taken) == 3
    desk.hand_in_again(taken, alone=True)
    assert [len(plan(desk).finished) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(("wall_s", "ahead"), [(10.0, 0), (0.19, 1), (0.05, 4), (0.01, 16), (0.0001, 64)])
def test_work_ahead_is_a_fifth_of_a_second(wall_s: float, ahead: int) -> None:
    pace = Pace(slots=1, batch=16)
    assert pace.ahead == 0
    pace.note_task(wall_s)
    assert pace.ahead == ahead
    assert pace.ahead <= AHEAD_MAX
    assert pace.ahead * wall_s <= AHEAD_S


def test_a_far_service_is_worth_one_event_ahead() -> None:
    pace = Pace(slots=2, batch=16)
    pace.note_task(1.0)
    assert pace.ahead == 0
    for _ in range(100):
        pace.note_call(0.1)
    assert pace.ahead == 2
