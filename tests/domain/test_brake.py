"""When is a workflow stopped for a while, who is named for it, and when does it stop itself?"""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.brake import (
    EVENTS_SHARE,
    MUSTER,
    TRANSITIONS,
    Brake,
    BrakeEvent,
    BrakeRule,
    BrakeState,
    Watch,
    next_brake,
)
from muster.domain.workflow import Workflow, WorkflowEvent

RULE = BrakeRule(attempts=20, share=0.5)
WORKFLOW = Workflow("WF-1", 0.0, 50, "ada", "sums", finish_when_done=False)
attempts = st.lists(st.tuples(st.integers(1, 12), st.sampled_from([None, "exit 1: a", "timeout"])), max_size=120)


@given(st.lists(st.tuples(st.sampled_from(BrakeEvent), st.sampled_from(["ada", "bob", MUSTER])), max_size=12))
def test_who_stopped_it_first_is_named_until_it_goes_on_or_is_drained(happened: list[tuple[BrakeEvent, str]]) -> None:
    brake: Brake | None = None
    for at, (event, by) in enumerate(happened):
        after = next_brake(brake, event, at=float(at), by=by)
        moved = (None if brake is None else brake.state, event) in TRANSITIONS
        if moved:
            assert (
                after is None if event is BrakeEvent.RESUMED else after is not None and (after.at, after.by) == (at, by)
            )
        else:
            assert after is brake
        brake = after


def test_a_drained_workflow_is_not_paused_by_a_further_pause_or_by_its_failures() -> None:
    drained = Brake(BrakeState.DRAINED, 1.0, "ada")

    assert next_brake(drained, BrakeEvent.PAUSED, at=2.0, by="bob") is drained
    assert next_brake(drained, BrakeEvent.TRIPPED, at=2.0, by=MUSTER) is drained


def test_a_workflow_that_ends_is_not_stopped_for_a_while_any_more() -> None:
    paused = WORKFLOW.braked(BrakeEvent.PAUSED, at=1.0, by="ada", reason="lunch")
    assert paused is not None
    assert paused.brake == Brake(BrakeState.PAUSED, 1.0, "ada", "lunch")

    ended = paused.after(WorkflowEvent.FINISHED, at=2.0, by="ada")

    assert ended is not None
    assert ended.brake is None
    assert ended.braked(BrakeEvent.PAUSED, at=3.0, by="ada") is None


@given(attempts, st.integers(1, 30), st.floats(0, 0.99))
def test_a_watch_judges_as_one_would_who_looks_at_the_whole_list(
    happened: list[tuple[int, str | None]], of: int, share: float
) -> None:
    watch = Watch(BrakeRule(of, share))
    for number, (event, fingerprint) in enumerate(happened, start=1):
        watch.note(event, fingerprint)
        last = happened[max(0, number - of) : number]
        failed = [(event, fingerprint) for event, fingerprint in last if fingerprint is not None]
        events = {event for event, _ in failed}
        is_time = len(last) == of and len(failed) > share * of and len(events) * EVENTS_SHARE >= of

        trip = watch.judge()

        assert (trip is not None) == is_time
        if trip is not None:
            assert (trip.failed, trip.of, trip.events) == (len(failed), of, len(events))
            assert trip.times == max(
                len(list(same)) for _, same in itertools.groupby(sorted(fingerprint or "" for _, fingerprint in failed))
            )


def test_one_event_that_always_fails_stops_nothing() -> None:
    watch = Watch(RULE)
    for _ in range(1000):
        watch.note(7, "exit 1: poison")

    assert watch.judge() is None


def test_a_watch_that_was_told_to_forget_needs_as_many_attempts_again() -> None:
    watch = Watch(RULE)
    for event in range(20):
        watch.note(event, "exit 2: no such option: --nsteps")
    trip = watch.judge()
    assert trip is not None
    assert trip.render() == "20 of its last 20 attempts failed, each time: exit 2: no such option: --nsteps"

    watch.forget()
    for event in range(19):
        watch.note(event, "exit 2: no such option: --nsteps")
        assert watch.judge() is None


def test_a_task_that_wants_no_brake_is_never_stopped() -> None:
    watch = Watch(BrakeRule(0, 0.5))
    for event in range(1000):
        watch.note(event, "exit 1")

    assert watch.judge() is None
