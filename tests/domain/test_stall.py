"""Is the right cause named when nothing of a workflow can move, and none when something can?"""

from dataclasses import replace

import pytest

from muster.domain.queue import Counts, Queue
from muster.domain.reason import Cause, Party, Reason
from muster.domain.stall import LET_IN_S, StallCase, explain_stall, find_stall
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Taskforce, Workflow, WorkflowState

WORKFLOW = Workflow("WF-1", created_at=1.0, priority=50, owner="ada", name="", finish_when_done=True)
IN = Queue(1, "a1", "WF-1", "in", True, True, False, None, 5, 60.0, 2.0)
MIDDLE = replace(IN, number=2, queue_id="a2", alias="mid", is_public=False)
TASKFORCE = Taskforce("TF-1", "TK-1", "WF-1", 1.0, 50, "local", "ap", 2, {}, {}, Phase.PENDING_STARTER)
SUBMITTED = replace(TASKFORCE, phase=Phase.CONDOR_SUBMIT, cluster_id=7)
OPEN, CLOSED = IN, replace(IN, closed_at=9.0)
NONE = Counts()
WAIT = Counts(published=3, waiting=3)
DONE = Counts(published=3, done=3)


def stall(
    counts: Counts,
    *taskforces: Taskforce,
    workflow: Workflow = WORKFLOW,
    queue: Queue = OPEN,
    workers: int = 0,
    has_ready: bool = True,
    due: float | None = None,
    upstreams: tuple[str, ...] = (),
    displaced: tuple[str, ...] = (),
    now: float | None = None,
    obstacle: str | None = None,
) -> Reason | None:
    case = StallCase(
        workflow=workflow,
        queues=[queue, MIDDLE],
        counts={1: counts, 2: Counts()},
        workers=workers,
        find_taskforces=lambda: taskforces,
        has_ready=lambda: has_ready,
        find_next_due=lambda: due,
        upstreams=upstreams,
        find_displacement=lambda one: f"{one.location} is gone" if one.location in displaced else None,
        now=now,
        find_obstacle=lambda: obstacle,
    )
    found = find_stall(case)
    assert explain_stall(case) == (None if found is None else found.text)
    return found


@pytest.mark.parametrize(
    ("counts", "workers", "taskforces"),
    [
        (Counts(published=3, waiting=2, in_work=1), 0, ()),
        (WAIT, 1, ()),
        (WAIT, 0, (replace(TASKFORCE, phase=Phase.PRE_MQ_ACTIVATION),)),
        (WAIT, 0, (replace(TASKFORCE, claim_agent="site-a"),)),
    ],
)
def test_what_can_move_is_no_stall(counts: Counts, workers: int, taskforces: tuple[Taskforce, ...]) -> None:
    assert stall(counts, *taskforces, workers=workers) is None


@pytest.mark.parametrize("state", [WorkflowState.FINISHED, WorkflowState.ABORTED])
def test_what_has_ended_is_no_stall(state: WorkflowState) -> None:
    assert stall(WAIT, workflow=replace(WORKFLOW, state=state)) is None


def test_events_in_a_pause_wait_for_their_time() -> None:
    text = "all that waits failed before, and is tried again after a pause, the next at 00:01:40 UTC: muster workflow errors WF-1"
    remedies = ("muster workflow errors WF-1",)
    assert stall(WAIT, workers=1, has_ready=False, due=100.0) == Reason(
        Cause.PAUSED, text, Party.TIME, remedies=remedies
    )


def test_nothing_published_waits_for_a_person() -> None:
    text = "no events were published yet: publish into in"
    remedies = ("muster queue publish WF-1 in FILE --close",)
    assert stall(NONE) == Reason(Cause.NO_EVENTS, text, Party.PERSON, 1.0, remedies=remedies)


def test_all_done_and_open_waits_for_more_or_for_the_end() -> None:
    text = "every event is done: publish more, or close in to finish the workflow"
    remedies = (
        "muster queue publish WF-1 in FILE --close",
        "muster queue close WF-1 in",
    )
    assert stall(DONE) == Reason(Cause.INPUTS_OPEN, text, Party.PERSON, remedies=remedies)
    assert stall(DONE, workflow=replace(WORKFLOW, finish_when_done=False)) is None


def test_all_done_and_closed_waits_for_its_end() -> None:
    by_hand = replace(WORKFLOW, finish_when_done=False)
    text = "every event is done and the inputs are closed: finish the workflow to release its workers"
    remedies = ("muster workflow finish WF-1",)
    assert stall(DONE, workflow=by_hand, queue=CLOSED) == Reason(
        Cause.INPUTS_CLOSED, text, Party.PERSON, 9.0, remedies=remedies
    )
    assert stall(DONE, queue=CLOSED) is None


def test_held_taskforces_are_a_cause_only_where_all_are() -> None:
    held = replace(TASKFORCE, held_reason="no such image", submit_failures=3)
    found = stall(WAIT, held, replace(held, phase=Phase.PENDING_STOPPER, held_reason=None))
    assert found == Reason(Cause.HELD, "no taskforce can be started: no such image", Party.PERSON)
    assert stall(WAIT, held, replace(TASKFORCE, claim_agent="site-a")) is None


def test_one_that_waits_to_be_let_in_is_told_so_once_that_takes_long() -> None:
    new = replace(TASKFORCE, phase=Phase.PRE_MQ_ACTIVATION, created_at=100.0)
    found = stall(WAIT, new, replace(new, created_at=103.0), now=100.0 + LET_IN_S + 0.1)
    look = "muster workflow explain WF-1"

    text = f"its workers wait to be let in, as too many are in use: {look}"
    told = stall(WAIT, new, now=100.0 + LET_IN_S + 0.1, obstacle="too many are in use")
    assert told == Reason(Cause.NO_ROOM, text, Party.ACTIVATOR, 100.0, remedies=(look,))

    assert found == Reason(
        Cause.NO_ROOM, f"its workers wait to be let in: {look}", Party.ACTIVATOR, 100.0, remedies=(look,)
    )
    assert stall(WAIT, new, now=100.0 + LET_IN_S) is None
    assert stall(WAIT, new, replace(TASKFORCE, claim_agent="site-a"), now=900.0) is None
    assert stall(WAIT, replace(SUBMITTED, phase=Phase.CONDOR_COMPLETE), new, now=900.0) == found


def test_one_without_events_that_waits_to_be_let_in_is_told_both() -> None:
    new = replace(TASKFORCE, phase=Phase.PRE_MQ_ACTIVATION, created_at=100.0)
    look, publish = "muster workflow explain WF-1", "muster queue publish WF-1 in FILE --close"

    told = stall(NONE, new, now=100.0 + LET_IN_S + 0.1, obstacle="too many are in use")

    text = (
        f"no events were published yet: publish into in; its workers wait to be let in, as too many are in use: {look}"
    )
    assert told == Reason(Cause.NO_EVENTS, text, Party.PERSON, 1.0, remedies=(publish, look))
    for now, more in ((100.0 + LET_IN_S, ()), (900.0, (TASKFORCE,)), (None, ())):
        alone = stall(NONE, new, *more, now=now)
        assert (alone is not None and alone.text) == "no events were published yet: publish into in"


def test_taskforces_that_have_all_ended_are_told() -> None:
    found = stall(WAIT, replace(SUBMITTED, phase=Phase.CONDOR_COMPLETE))
    assert found is not None
    assert (found.cause, found.waits_for) == (Cause.NO_TASKFORCE, Party.PERSON)
    assert found.text.startswith("3 events wait, and every taskforce has ended: add workers")


def test_who_has_not_taken_the_workers_is_told_by_who_serves_the_place() -> None:
    far = replace(TASKFORCE, location="far", schedd="ap.far")
    text = "no site agent has taken the workers yet: is `muster site` running for far, local?"
    assert stall(WAIT, TASKFORCE, far) == Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT)
    text = "upstream's agent has not taken the workers yet: is the task management service running at ap.far?"
    assert stall(NONE, far, upstreams=("far",)) == Reason(Cause.NOT_TAKEN, text, Party.UPSTREAM_AGENT)


def test_where_nobody_can_take_the_workers_that_is_told_and_else_who_has_not() -> None:
    far = replace(TASKFORCE, taskforce_uuid="TF-2", location="far", schedd="ap.far")

    gone = stall(WAIT, far, TASKFORCE, displaced=("far", "local"))
    left = stall(WAIT, far, TASKFORCE, displaced=("far",))

    assert gone == Reason(Cause.DISPLACED, "nobody can take the workers: far is gone; local is gone", Party.PERSON)
    text = "no site agent has taken the workers yet: is `muster site` running for local?"
    assert left == Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT)


@pytest.mark.parametrize("counts", [WAIT, NONE])
def test_what_nobody_can_take_is_told_before_the_first_event_too(counts: Counts) -> None:
    far = replace(TASKFORCE, taskforce_uuid="TF-2", location="far")
    failed = replace(far, claim_agent="site-a", submit_failures=1)
    held = replace(TASKFORCE, held_reason="no such image")
    gone = Reason(Cause.DISPLACED, "nobody can take the workers: far is gone", Party.PERSON)

    assert stall(counts, far, displaced=("far",)) == gone
    assert stall(counts, failed, displaced=("far",)) == gone
    assert stall(counts, far, held, displaced=("far",)) == gone
    taken = stall(counts, replace(failed, claim_until=99.0), displaced=("far",))
    assert (taken and taken.cause) == (None if counts == WAIT else Cause.NO_EVENTS)
    beside = stall(counts, far, TASKFORCE, displaced=("far",))
    assert beside is not None
    assert beside.cause == (Cause.NOT_TAKEN if counts == WAIT else Cause.NO_EVENTS)


@pytest.mark.parametrize(("counts", "workers"), [(WAIT, 1), (NONE, 1), (NONE, 0)])
def test_a_task_whose_workers_nobody_can_take_is_named_though_others_have_some(counts: Counts, workers: int) -> None:
    text = "nobody can work on TK-1: nobody can take its workers: local is gone"
    far = replace(OTHER, location="far")
    told = stall(counts, TASKFORCE, far, workers=workers, displaced=("local",))
    assert told == Reason(Cause.DISPLACED, text, Party.PERSON)

    held = replace(HELD, taskforce_uuid="TF-3", task_id="TK-3", location="far")
    first = stall(counts, TASKFORCE, held, far, workers=workers, displaced=("local",))
    assert (first and first.cause) == Cause.HELD


def test_those_that_nobody_can_take_do_not_hide_that_the_others_wait_to_be_let_in() -> None:
    new = replace(TASKFORCE, phase=Phase.PRE_MQ_ACTIVATION, location="far", created_at=100.0)
    found = stall(WAIT, TASKFORCE, new, displaced=("local",), now=900.0)
    assert (found and found.cause) == Cause.NO_ROOM


def test_workers_that_never_called_and_workers_that_are_gone_are_told_apart() -> None:
    text = "the workers were submitted, and none has called yet"
    assert stall(WAIT, SUBMITTED, TASKFORCE) == Reason(Cause.NOT_CALLED, text, Party.WORKERS)
    failing = replace(SUBMITTED, n_workers=9, top_task_errors={"no image": 3, "no disk": 1})
    text = "workers end before they take an event, and are started again, later and later: 4 of 9 workers ended, 3 of them: no image"
    assert stall(WAIT, failing, TASKFORCE) == Reason(Cause.WORKERS_END, text, Party.PERSON)
    text = "no worker is up at the moment: those that ended are started again by their site"
    worked = Counts(published=4, waiting=3, done=1)
    assert stall(worked, SUBMITTED) == Reason(Cause.NONE_UP, text, Party.SITE_AGENT)


def test_one_whose_events_go_by_the_broker_is_judged_by_its_taskforces_alone() -> None:
    assert stall(NONE, SUBMITTED, upstreams=("local",)) is None
    waiting = stall(NONE, TASKFORCE, upstreams=("local",))
    assert waiting is not None
    assert (waiting.cause, waiting.waits_for) == (Cause.NOT_TAKEN, Party.UPSTREAM_AGENT)
    over = stall(NONE, replace(SUBMITTED, phase=Phase.CONDOR_COMPLETE), upstreams=("local",))
    assert over is not None
    assert over.text == "every taskforce has ended: add workers (muster workflow add-workers), or end the workflow"
    here = stall(NONE, TASKFORCE, upstreams=("elsewhere",))
    assert here is not None
    assert here.cause is Cause.NO_EVENTS


@pytest.mark.parametrize("workers", [0, 2])
def test_events_that_are_here_while_its_workers_read_from_the_broker_are_told(workers: int) -> None:
    found = stall(WAIT, SUBMITTED, replace(TASKFORCE, location="far"), workers=workers, upstreams=("local", "other"))

    text = (
        "3 events were published here and wait, but the pilots at local read from the broker, and nothing is carried there in this "
        "version: publish to the broker instead"
    )
    assert found is not None
    assert (found.cause, found.text, found.needs_help) == (Cause.NOT_BRIDGED, text, True)
    assert [one.partition("    #")[0] for one in found.remedies] == [
        "muster event export WF-1 in --state waiting > in.jsonl",
        "muster token queue WF-1 in --json",
    ]


OTHER = replace(SUBMITTED, taskforce_uuid="TF-2", task_id="TK-2")
HELD = replace(TASKFORCE, held_reason="no container runtime here")


@pytest.mark.parametrize(("counts", "workers"), [(WAIT, 1), (NONE, 1), (NONE, 0)])
def test_a_task_that_nobody_can_work_on_is_named_though_others_have_workers(counts: Counts, workers: int) -> None:
    text = "nobody can work on TK-1: no taskforce of it can be started: no container runtime here"
    assert stall(counts, HELD, OTHER, workers=workers) == Reason(Cause.HELD, text, Party.PERSON)


def test_a_task_that_is_held_at_one_place_alone_is_worked_on_at_the_other() -> None:
    assert stall(WAIT, HELD, replace(OTHER, task_id="TK-1"), workers=1) is None


def test_before_the_first_event_a_hold_of_all_is_told_and_afterwards_what_is_missing() -> None:
    before, after = stall(NONE, HELD), stall(DONE, HELD)

    assert (before is not None and before.text) == "no taskforce can be started: no container runtime here"
    assert (after is not None and after.cause) == Cause.INPUTS_OPEN


def test_what_is_in_work_moves_whatever_is_held() -> None:
    assert stall(Counts(published=3, waiting=2, in_work=1), HELD, OTHER, workers=1) is None


def test_its_taskforces_are_read_once_and_only_where_they_may_be_the_cause() -> None:
    reads: list[str] = []

    def read() -> list[Taskforce]:
        reads.append("taskforces")
        return [replace(TASKFORCE, claim_agent="site-a")]

    case = StallCase(WORKFLOW, [IN], {1: WAIT}, 0, read, upstreams=("far",))

    assert find_stall(replace(case, counts={1: Counts(published=3, in_work=3)})) is None
    assert reads == []
    assert find_stall(case) is None
    assert reads == ["taskforces"]
