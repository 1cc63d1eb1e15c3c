"""Is a workflow as a whole explained: in a word, in a sentence, and with every cause?"""

from dataclasses import fields, replace
from typing import Any

import pytest

from muster.domain.attempt import CauseOfDeath
from muster.domain.explanation import Explanation, Verdict, WorkflowCase, explain
from muster.domain.location import Agent
from muster.domain.occupancy import NoRoom
from muster.domain.queue import Counts, Queue
from muster.domain.reason import Cause, Party, Reason
from muster.domain.stall import StallCase
from muster.domain.standing import KeptFrom
from muster.domain.taskforce_phase import Phase
from muster.domain.taskforce_reason import TaskforceCase, is_working, list_ways_to_mend, render_final
from muster.domain.workflow import PhaseLogEntry, Taskforce, Workflow, WorkflowState

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
WORKFLOW = Workflow("WF-1", created_at=NOW - 90, priority=50, owner="ada", name="", finish_when_done=True)
IN = Queue(1, "a1", "WF-1", "in", True, True, False, None, 5, 60.0, 2.0)
OUT = replace(IN, number=2, queue_id="a2", alias="out", is_input=False, is_output=True)
STARTING = Taskforce("TF-1", "TK-1", "WF-1", NOW - 90, 50, "local", "ap", 2, {}, {}, Phase.PENDING_STARTER)
AT_WORK = replace(STARTING, taskforce_uuid="TF-2", phase=Phase.CONDOR_SUBMIT, cluster_id=7)
START = "MUSTER_SITE_LOCATIONS=local muster site    # beside the pool ap, with its own name and directory: docs/how-to/locations.md"
NO_ROOM = NoRoom("too many are in use")
WAIT = Counts(published=3, waiting=3)


def a_case(counts: Counts, *taskforces: Taskforce, queue: Queue = IN, workers: int = 0, **changes: Any) -> WorkflowCase:
    """The first `workers` of the last taskforce are up."""
    live = {taskforces[-1].taskforce_uuid: workers} if workers else {}
    of_stall = {one.name: changes.pop(one.name) for one in fields(StallCase) if one.name in changes}
    stall = StallCase(WORKFLOW, [queue, OUT], {1: counts, 2: Counts()}, workers, lambda: taskforces)
    case = WorkflowCase(
        stall=replace(stall, **of_stall),
        at=NOW,
        workers=live,
        cases=[
            TaskforceCase(one, [PhaseLogEntry(one.phase, NOW - 20, True, None, "TMS", "")])
            for one in taskforces
            if not is_working(one, live.get(one.taskforce_uuid, 0))
        ],
    )
    return replace(case, **changes)


def causes(found: Explanation) -> list[Cause]:
    return [one.cause for one in found.reasons]


def test_one_that_runs_says_how_far_it_is() -> None:
    found = explain(a_case(Counts(published=6, waiting=2, in_work=1, done=3), STARTING, AT_WORK, workers=1))

    assert (found.verdict, list(found.reasons)) == (Verdict.RUNNING, [])
    assert found.summary == "it is running: 2 events waiting, 1 in work, 3 done, 0 dead; 1 worker is up"
    assert [one.taskforce for one in found.taskforces] == [STARTING]
    assert (found.working, found.over, found.left_out) == (1, 0, 0)


def test_one_whose_workers_nobody_starts_names_who_is_missed_since_when_and_what_would_bring_them() -> None:
    found = explain(a_case(WAIT, STARTING))

    assert found.verdict is Verdict.STALLED
    assert found.summary == "it stands still: 3 events waiting, 0 in work, 0 done, 0 dead; 0 workers are up"
    text = "no site agent has taken the workers yet: is `muster site` running for local?"
    assert found.reasons == [
        Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT, NOW - 20, remedies=(START,), is_absent=True)
    ]
    assert [one.reason.cause for one in found.taskforces] == [Cause.NOT_TAKEN]


def test_one_whose_agent_is_lost_with_its_claim_stands_still() -> None:
    lapsed = replace(STARTING, claim_agent="site-a", claim_until=NOW - 300)
    found = explain(a_case(WAIT, lapsed))

    assert (found.verdict, causes(found)) == (Verdict.STALLED, [])
    assert [one.reason.cause for one in found.taskforces] == [Cause.CLAIM_LAPSED]


@pytest.mark.parametrize(
    "taskforce",
    [
        replace(STARTING, phase=Phase.PRE_MQ_ACTIVATION),
        replace(STARTING, claim_agent="site-a", claim_until=NOW + 9),
        AT_WORK,
    ],
)
def test_one_whose_workers_are_on_their_way_is_being_started(taskforce: Taskforce) -> None:
    found = explain(a_case(WAIT, taskforce))
    assert (found.verdict, len(found.taskforces)) == (Verdict.STARTING, 1)
    assert found.summary.startswith("it is being started: 3 events waiting")


def test_held_taskforces_are_told_with_their_reason_and_what_can_be_done() -> None:
    held = replace(STARTING, held_reason="no such image", submit_failures=3)
    found = explain(a_case(WAIT, held))

    [reason] = found.reasons
    assert found.verdict is Verdict.STALLED
    assert (reason.cause, reason.text) == (Cause.HELD, "no taskforce can be started: no such image")
    assert (reason.since, reason.last_error) == (NOW - 20, "no such image")
    assert reason.remedies == (
        f"muster taskforce release {held.taskforce_uuid}",
        "muster workflow add-workers WF-1 --workers 2 --task TK-1 --location …",
        "muster workflow finish WF-1",
    )


@pytest.mark.parametrize("counts", [WAIT, Counts()])
def test_one_whose_workers_nobody_can_take_stands_still_before_its_first_event_too(counts: Counts) -> None:
    case = a_case(counts, STARTING, find_displacement=lambda _: "local is gone")
    found = explain(replace(case, cases=[replace(case.cases[0], displacement="local is gone")]))

    assert (found.verdict, causes(found)) == (Verdict.STALLED, [Cause.DISPLACED])
    assert found.reasons[0].remedies == found.taskforces[0].reason.remedies != ()


def test_what_no_release_can_mend_is_told_with_how_to_mend_the_workflow() -> None:
    held = replace(STARTING, held_reason=render_final("no containers here"), submit_failures=1)

    [reason] = explain(a_case(WAIT, held)).reasons

    assert reason.text == "no taskforce can be started: no containers here; its site cannot start it as it is"
    assert (reason.last_error, reason.remedies) == ("no containers here", list_ways_to_mend(held))


def test_workers_that_have_all_ended_are_missed() -> None:
    ended = replace(AT_WORK, phase=Phase.CONDOR_COMPLETE)
    case = a_case(WAIT, ended)
    found = explain(replace(case, cases=[replace(case.cases[0], is_needed=True)]))

    [reason] = found.reasons
    assert (found.verdict, reason.cause, reason.since) == (Verdict.STALLED, Cause.NO_TASKFORCE, NOW - 20)
    assert reason.remedies[0].startswith("muster workflow add-workers WF-1 --workers 2")
    assert [one.reason.cause for one in found.taskforces] == [Cause.WORKERS_ENDED]
    assert found.over == 0


def test_a_pause_is_told_with_why_attempts_fail() -> None:
    pause: dict[str, Any] = {
        "has_ready": lambda: False,
        "find_next_due": lambda: NOW + 5,
        "find_failure": lambda: "no luck",
    }
    found = explain(a_case(WAIT, AT_WORK, workers=1, **pause))

    assert (found.verdict, found.summary[:17]) == (Verdict.WAITING, "it has to wait: 3")
    [reason] = found.reasons
    assert (reason.cause, reason.waits_for, reason.last_error) == (Cause.PAUSED, Party.TIME, "no luck")
    assert "the next at 08:00:05 UTC" in reason.text


@pytest.mark.parametrize(
    ("counts", "text", "error"),
    [
        (
            Counts(published=3, waiting=1, in_work=2, failed=7),
            "7 attempts failed so far, and no event is done",
            "no luck",
        ),
        (Counts(published=3, in_work=2, done=1, failed=1), "1 attempt failed so far, and 1 event is done", None),
    ],
)
def test_one_whose_events_fail_and_are_tried_again_says_how_often(counts: Counts, text: str, error: str | None) -> None:
    found = explain(a_case(counts, AT_WORK, workers=1, find_failure=lambda: "no\nluck"))

    look = ("muster workflow errors WF-1",)
    assert list(found.reasons) == [Reason(Cause.FAILED_ATTEMPTS, text, Party.NOBODY, last_error=error, remedies=look)]
    failed = "7 failed attempts" if error else "1 failed attempt"
    assert (found.verdict, found.summary.endswith(f", 0 dead, {failed}; 1 worker is up")) == (Verdict.RUNNING, True)


@pytest.mark.parametrize(
    ("counts", "verdict", "before"),
    [(WAIT, Verdict.WAITING, []), (Counts(), Verdict.IDLE, [Cause.NO_EVENTS])],
    ids=["with events", "without events"],
)
def test_one_for_which_there_is_no_room_says_so_itself(counts: Counts, verdict: Verdict, before: list[Cause]) -> None:
    waiting = replace(STARTING, phase=Phase.PRE_MQ_ACTIVATION)
    case = a_case(counts, waiting, replace(waiting, taskforce_uuid="TF-3", created_at=NOW - 9))
    found = explain(replace(case, cases=[replace(one, no_room=NO_ROOM) for one in case.cases]))

    assert (found.verdict, causes(found)) == (verdict, [*before, Cause.NO_ROOM])
    assert [one.reason.cause for one in found.taskforces] == [Cause.NO_ROOM] * 2
    assert found.reasons[-1] == found.taskforces[0].reason


def test_one_whose_room_is_kept_by_what_stands_still_stands_still_too() -> None:
    waiting = replace(STARTING, phase=Phase.PRE_MQ_ACTIVATION)
    case, no_room = (
        a_case(WAIT, waiting),
        NoRoom("all is kept", is_lasting=True, remedies=("muster workflow abort WF-2",)),
    )
    found = explain(replace(case, cases=[replace(one, no_room=no_room) for one in case.cases]))

    text = "all is kept; only then there is room for it"
    told = Reason(Cause.NO_ROOM, text, Party.PERSON, NOW - 20, remedies=("muster workflow abort WF-2",))
    assert (found.verdict, list(found.reasons)) == (Verdict.STALLED, [told])


def test_one_that_stands_still_says_that_others_wait_for_its_room() -> None:
    held = replace(STARTING, held_reason="no such image", submit_failures=3)
    found = explain(a_case(WAIT, held, kept=[KeptFrom("queues", 2, is_own=False, waiting=1)]))

    assert causes(found) == [Cause.HELD, Cause.KEEPS_ROOM]
    assert found.reasons[1].text == (
        "1 other workflow waits for room that it keeps while it stands still, until it is mended, finished or aborted: "
        "2 queues (MUSTER_QUEUES_MAX)"
    )
    assert found.reasons[1].needs_help


def test_one_that_works_does_not_wait_for_the_room_of_more_workers() -> None:
    case = a_case(Counts(), replace(STARTING, phase=Phase.PRE_MQ_ACTIVATION), AT_WORK, workers=1)
    found = explain(replace(case, cases=[replace(one, no_room=NO_ROOM) for one in case.cases]))

    assert causes(found) == [Cause.NO_EVENTS]
    assert [one.reason.cause for one in found.taskforces] == [Cause.NO_ROOM]


def test_one_without_events_says_where_to_publish() -> None:
    found = explain(a_case(Counts(), STARTING))
    assert (found.verdict, causes(found)) == (Verdict.IDLE, [Cause.NO_EVENTS])
    assert found.summary == "it has nothing to do: 0 events waiting, 0 in work, 0 done, 0 dead; 0 workers are up"


def test_one_that_is_done_says_whether_more_may_come() -> None:
    done, by_hand = Counts(published=3, done=3), replace(WORKFLOW, finish_when_done=False)
    closed = replace(IN, closed_at=NOW - 5)

    assert causes(explain(a_case(done, AT_WORK, workers=1))) == [Cause.INPUTS_OPEN]
    assert causes(explain(a_case(done, AT_WORK, workers=1, queue=closed))) == [Cause.FINISHING]
    by_itself = explain(a_case(done, AT_WORK, workers=1, workflow=by_hand, queue=closed))
    assert causes(by_itself) == [Cause.INPUTS_CLOSED]
    [waits] = explain(a_case(done, AT_WORK, workers=1, workflow=by_hand)).reasons
    assert (waits.cause, waits.text) == (
        Cause.INPUTS_OPEN,
        "every event so far is done, and it waits for more: in is open",
    )
    assert waits.remedies == ("muster queue publish WF-1 in FILE --close", "muster workflow finish WF-1")


DEATHS = [CauseOfDeath(f"cause {n}", 9 - n, NOW - 50 + n, NOW - 10 - n) for n in range(5)]


def test_dead_letters_are_told_by_cause() -> None:
    found = explain(a_case(Counts(published=40, in_work=1, done=4, dead=35), AT_WORK, workers=1, deaths=DEATHS))

    text = "35 events failed for the last time: 9 × cause 0, 8 × cause 1, 7 × cause 2, 2 other causes"
    remedies = (
        "muster dead-letter list WF-1",
        "muster dead-letter replay WF-1 --all    # once the cause is mended",
    )
    assert found.verdict is Verdict.RUNNING
    assert found.reasons == [Reason(Cause.DEAD, text, Party.PERSON, NOW - 50, "cause 0", remedies)]


NOT_RUN = [
    CauseOfDeath("start: command not found: 'pyhton'", 3, NOW - 9, NOW - 8),
    CauseOfDeath("exit 127: sh: #: cta: not found", 2, NOW - 9, NOW - 8),
]
MEND = "The command cannot be run where the workers are, so a replay alone fails again: mend the task, or have the program put there"


def test_of_a_command_that_cannot_be_run_no_replay_alone_is_recommended() -> None:
    [reason] = explain(a_case(Counts(published=5, in_work=1, dead=4), AT_WORK, workers=1, deaths=NOT_RUN)).reasons
    assert reason.text.endswith(f"2 × exit 127: sh: #: cta: not found. {MEND}")
    assert reason.remedies == (
        "muster task revise WF-1 --args '…'    # or --image",
        "muster dead-letter replay WF-1 --all",
    )

    [mixed] = explain(
        a_case(Counts(published=5, in_work=1, dead=4), AT_WORK, workers=1, deaths=[*NOT_RUN, DEATHS[0]])
    ).reasons
    assert MEND not in mixed.text
    assert mixed.remedies[1] == (
        "muster dead-letter replay WF-1 --all    # once the causes are mended; what cannot be run: muster task revise"
    )


@pytest.mark.parametrize(
    ("fingerprint", "expected"),
    [
        ("exit 127", True),
        ("exit 126: sh: <path>: Permission denied", True),
        ("start: not an executable program: '<path>'", True),
        ("exit 1: sh: #: cta: not found", False),
        ("exit 1270: no", False),
        ("timeout", False),
        ("starting: no luck", False),
    ],
)
def test_how_an_attempt_ended_tells_whether_the_command_could_be_run(fingerprint: str, expected: object) -> None:
    assert CauseOfDeath(fingerprint, 1, NOW, NOW).is_of_command is expected


def ended(state: WorkflowState, by: str = "ada") -> Workflow:
    return replace(WORKFLOW, state=state, ended_at=NOW - 60, ended_by=by)


def test_one_that_was_ended_says_by_whom_when_and_what_is_not_stopped_yet() -> None:
    stopping = replace(AT_WORK, phase=Phase.PENDING_STOPPER)
    over = replace(AT_WORK, taskforce_uuid="TF-3", phase=Phase.CONDOR_COMPLETE)
    counts = replace(WAIT, published=4, dead=1)
    found = explain(a_case(counts, over, stopping, workflow=ended(WorkflowState.ABORTED), deaths=DEATHS[:1]))

    told = "it was aborted by ada at 2027-01-15 07:59:00 UTC"
    assert (found.verdict, found.summary) == (Verdict.ENDED, f"{told}; 1 of 2 taskforces not yet stopped")
    assert found.reasons[0] == Reason(Cause.ENDED, told, Party.NOBODY, NOW - 60)
    assert causes(found) == [Cause.ENDED, Cause.DEAD, Cause.LEFT]
    moves = "muster dead-letter list WF-1    # has the lines that take the events to a new workflow"
    assert found.reasons[1].remedies == (moves,)  # of an aborted one nothing is replayed
    assert found.reasons[2].text == "3 events were left waiting when it ended, and nobody works on them"
    assert [one.reason.cause for one in found.taskforces] == [Cause.NOT_STOPPED]
    assert (found.working, found.over) == (0, 1)


def test_one_that_finished_itself_says_so() -> None:
    stopping = replace(AT_WORK, phase=Phase.PENDING_STOPPER)
    case = a_case(Counts(published=3, done=3), stopping, workers=2, workflow=ended(WorkflowState.FINISHED, "muster"))
    found = explain(replace(case, ended_itself=True))

    told = "it finished itself at 2027-01-15 07:59:00 UTC: its inputs were closed and nothing was left to do"
    assert found.summary == f"{told}; 1 of 1 taskforce not yet stopped; 2 workers may still hand in what they have"
    assert causes(found) == [Cause.ENDED]


def test_those_for_which_there_was_no_room_are_counted() -> None:
    case = a_case(WAIT, STARTING, replace(STARTING, taskforce_uuid="TF-9"), AT_WORK, workers=1)
    found = explain(replace(case, cases=case.cases[:1]))
    assert (len(found.taskforces), found.working, found.over, found.left_out) == (1, 1, 0, 1)


def test_one_whose_events_go_by_the_broker_says_that_they_are_not_counted() -> None:
    running = explain(a_case(Counts(), AT_WORK, workers=2, upstreams=["local"]))
    assert (running.verdict, list(running.reasons)) == (Verdict.RUNNING, [])
    assert (
        running.summary == "it is running: its events go through the broker, and are not counted here; 2 workers are up"
    )
    case = a_case(Counts(), AT_WORK, upstreams=["local"])
    idle = explain(replace(case, cases=[replace(one, server=Agent.UPSTREAM) for one in case.cases]))
    assert (idle.verdict, [one.reason.cause for one in idle.taskforces]) == (Verdict.STARTING, [Cause.NOT_RUNNING])
