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


def lease(number: int, fence: int = 1, *, is_alone: bool = False) -> Lease:
    return Lease(f"EV-{number:04}", fence, 1, "json", b"%d" % number, is_alone)


def may_take(desk: Desk) -> bool:
    """Would a slot get an event without waiting?"""
    with desk._lock:
        return desk._may_take()


class Book(RuleBasedStateMachine):
    """Every event leased is waiting, at work, to be handed in, handed in, or lost: exactly one of these."""

    SLOTS = 3

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(Pace(slots=self.SLOTS, batch=4), slots=self.SLOTS, wake=lambda: None)
        self.cancels = [Cancel() for _ in range(self.SLOTS)]
        self.at_work: dict[int, str] = {}
        self.alone: set[str] = set()
        self.leased = 0
        self.flying: list[list[object]] = []
        self.handed: Counter[str] = Counter()
        self.now = time.monotonic()

    @rule(count=st.integers(1, 5), is_stopping=st.booleans(), alone=st.sets(st.integers(0, 4), max_size=2))
    def leases_come(self, count: int, is_stopping: bool, alone: set[int]) -> None:  # noqa: FBT001
        leases = [lease(self.leased + index, is_alone=index in alone) for index in range(count)]
        self.alone |= {one.event for one in leases if one.is_alone}
        self.desk.put(leases, epoch=1, is_stopping=is_stopping)
        self.leased += count

    @precondition(lambda self: self.desk.held(1) and len(self.at_work) < self.SLOTS)
    @rule()
    def a_slot_takes(self) -> None:
        if may_take(self.desk):
            slot = next(index for index in range(self.SLOTS) if index not in self.at_work)
            taken = self.desk.take(self.cancels[slot])
            assert taken is not None
            if taken.event in self.alone:
                assert (self.at_work, self.flying, self.desk.n_finished()) == ({}, [], 0)
                assert self.desk.held(1) == [(taken.event, 1)], "it is all that the worker holds"
            assert self.alone.isdisjoint(self.at_work.values())
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
            self.desk.note_handed_in(call)  # type: ignore[arg-type]
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
    desk.bring("EV-0001", Ended(DONE, wall_s=0.01))
    desk.take(second)
    assert not plan(desk).is_due
    errand = plan(desk, LINGER_S)
    assert [one.event for one in errand.finished] == ["EV-0001"]
    desk.bring("EV-0002", Ended(DONE, wall_s=0.01))
    desk.take(third)
    desk.bring("EV-0003", Ended(DONE, wall_s=0.01))
    errand = plan(desk)
    assert (errand.is_due, [one.event for one in errand.finished]) == (True, ["EV-0002", "EV-0003"])


def test_what_waits_behind_a_long_task_is_given_back() -> None:
    pace = Pace(slots=1, batch=16)
    pace.note_task(0.001)
    desk = Desk(pace, slots=1, wake=lambda: None)
    desk.put([lease(1), lease(2)], epoch=1, is_stopping=False)
    desk.take(Cancel())
    assert plan(desk, STUCK_S / 2).finished == ()
    errand = plan(desk, STUCK_S + 1)
    assert [(one.event, one.outcome) for one in errand.finished] == [("EV-0002", "released")]
    assert errand.want == 0
    assert pace.ahead == 0


def test_an_event_at_work_that_is_leased_again_is_the_same_work() -> None:
    desk = Desk(Pace(slots=1, batch=1), slots=1, wake=lambda: None)
    desk.put([lease(1, fence=1)], epoch=1, is_stopping=False)
    desk.take(Cancel())
    desk.put([lease(1, fence=2)], epoch=2, is_stopping=False)
    assert (desk.held(1), desk.held(2)) == ([], [("EV-0001", 2)])
    desk.bring("EV-0001", Ended(DONE))
    assert [(one.event, one.fence) for one in plan(desk).finished] == [("EV-0001", 2)]


def test_events_are_worked_at_in_the_order_in_which_the_service_counts_them() -> None:
    desk = Desk(Pace(slots=1, batch=16), slots=1, wake=lambda: None)
    desk.put([lease(3), lease(1)], epoch=1, is_stopping=False)
    desk.put([lease(2)], epoch=1, is_stopping=False)
    taken = []
    for _ in range(3):
        taken.append(desk.take(Cancel()))
        desk.bring(taken[-1].event, Ended(DONE))  # type: ignore[union-attr]
    assert taken == [lease(1), lease(3), lease(2)]


def test_an_event_that_goes_alone_begins_when_all_else_is_handed_in_and_nothing_waits_beside_it() -> None:
    pace = Pace(slots=2, batch=16)
    pace.note_task(0.001)
    desk = Desk(pace, slots=2, wake=lambda: None)
    desk.put([lease(1), lease(2, is_alone=True), lease(3), lease(4, is_alone=True)], epoch=1, is_stopping=False)
    desk.take(Cancel())
    assert not may_take(desk), "another is at work"
    errand = plan(desk)
    assert (errand.want, errand.is_due) == (0, True)
    assert [(one.event, one.outcome) for one in errand.finished] == [("EV-0004", "released"), ("EV-0003", "released")]
    desk.bring("EV-0001", Ended(DONE))
    assert not may_take(desk), "its result is not handed in"
    result = plan(desk)
    assert [one.event for one in result.finished] == ["EV-0001"]
    desk.note_handed_in(errand.finished)
    assert not may_take(desk), "the result is under way"
    desk.note_handed_in(result.finished)

    assert desk.take(Cancel()) == lease(2, is_alone=True)
    assert (plan(desk).want, plan(desk).is_due) == (0, False)
    desk.bring("EV-0002", Ended(DONE))
    assert plan(desk).want == 2, "nothing ahead: there may be more of them"
    desk.put([lease(5)], epoch=1, is_stopping=False)
    assert plan(desk, LINGER_S).want > 2


def test_an_event_that_goes_alone_is_given_back_when_what_is_at_work_goes_on_and_on() -> None:
    desk = Desk(Pace(slots=2, batch=16), slots=2, wake=lambda: None)
    desk.put([lease(1)], epoch=1, is_stopping=False)
    desk.take(Cancel())
    began = time.monotonic()

    def wait_for_its_turn(fence: int) -> float:
        """Lease it; how long it is kept."""
        desk.put([lease(2, fence, is_alone=True)], epoch=1, is_stopping=False)
        put_at = time.monotonic()
        again_at = desk.plan(put_at, is_asking=False, may_ask=True, is_stopping=False).again_at
        assert again_at is not None
        early = desk.plan(again_at - 0.01, is_asking=False, may_ask=True, is_stopping=False)
        assert (early.is_due, early.again_at) == (False, again_at), "and until then there is nothing to look at"
        late = desk.plan(again_at + LINGER_S, is_asking=False, may_ask=True, is_stopping=False)
        later = desk.plan(time.monotonic() + LINGER_S, is_asking=False, may_ask=True, is_stopping=False)
        given_back = [*late.finished, *later.finished]
        assert [(one.event, one.fence, one.outcome) for one in given_back] == [("EV-0002", fence, "released")]
        desk.note_handed_in(given_back)
        return again_at - put_at

    kept_s = [wait_for_its_turn(fence) for fence in range(1, 8)]

    assert kept_s == pytest.approx([2, 4, 8, 16, 32, 60, 60], abs=1)
    desk.bring("EV-0001", Ended(DONE))
    desk.note_handed_in(desk.plan(began + 1000, is_asking=False, may_ask=True, is_stopping=False).finished)
    desk.put([lease(2, 8, is_alone=True)], epoch=1, is_stopping=False)
    assert desk.take(Cancel()) == lease(2, 8, is_alone=True)
    desk.bring("EV-0002", Ended(DONE))
    desk.put([lease(3)], epoch=1, is_stopping=False)
    desk.note_handed_in(desk.plan(began + 1000, is_asking=False, may_ask=True, is_stopping=False).finished)
    desk.take(Cancel())
    assert wait_for_its_turn(9) == pytest.approx(2, abs=1), (
        "it had its turn, so the next one waits no longer than the first did"
    )


def test_an_attempt_that_travels_alone() -> None:
    desk = Desk(Pace(slots=3, batch=1), slots=3, wake=lambda: None)
    desk.put([lease(n) for n in range(3)], epoch=1, is_stopping=False)
    for n in range(3):
        desk.take(Cancel())
        desk.bring(f"EV-{n:04}", Ended(DONE))
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
