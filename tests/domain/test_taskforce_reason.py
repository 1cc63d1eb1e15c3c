"""Is it said of each phase of a taskforce what it waits for, since when, and what would move it?"""

from dataclasses import replace
from typing import Any

import pytest

from muster.domain.asking import Ask
from muster.domain.location import Agent
from muster.domain.occupancy import NoRoom
from muster.domain.reason import Cause, Party, Reason
from muster.domain.taskforce_phase import Phase
from muster.domain.taskforce_reason import (
    HELD_NO_MORE,
    TaskforceCase,
    count_up,
    explain_taskforce,
    is_final,
    is_over,
    is_working,
    render_final,
)
from muster.domain.workflow import PhaseLogEntry, Taskforce

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
P = Phase
RELEASE = "muster taskforce release TF-1"
ADD = "muster workflow add-workers WF-1 --workers 2 --task TK-1 --location far"
START = "MUSTER_SITE_LOCATIONS=far muster site    # beside the pool ap.far, with its own name and directory: docs/how-to/locations.md"


def entry(phase: Phase, *, ago: float, ok: bool = True, context: str = "") -> PhaseLogEntry:
    return PhaseLogEntry(phase, NOW - ago, ok, None, "TMS", context)


def a_case(
    phase: Phase,
    *log: PhaseLogEntry,
    asks: tuple[Ask, ...] = (),
    server: Agent | None = Agent.MUSTER,
    workers: int = 0,
    has_worked: bool = False,
    is_needed: bool = False,
    **changes: Any,
) -> TaskforceCase:
    """A taskforce that came into its phase 20 s ago."""
    taskforce = Taskforce(
        taskforce_uuid="TF-1",
        task_id="TK-1",
        workflow_id="WF-1",
        created_at=NOW - 60,
        priority=50,
        location="far",
        schedd="ap.far",
        n_workers=2,
        worker_config={},
        pilot_config={},
        phase=phase,
    )
    return TaskforceCase(
        replace(taskforce, **changes), (entry(phase, ago=20), *log), workers, server, asks, has_worked, is_needed
    )


def ours(ago: float, agent: str = "site-a", place: str = "far") -> Ask:
    return Ask(Agent.MUSTER, place, agent, NOW - ago)


def theirs(ago: float) -> Ask:
    return Ask(Agent.UPSTREAM, "ap.far", "", NOW - ago)


def reason(case: TaskforceCase) -> Reason:
    found = explain_taskforce(case, now=NOW)
    assert found is not None
    return found


def test_one_that_is_at_work_has_nothing_to_explain() -> None:
    case = a_case(P.CONDOR_SUBMIT, workers=1, cluster_id=7)
    assert explain_taskforce(case, now=NOW) is None
    assert is_working(case.taskforce, 1)


@pytest.mark.parametrize(
    ("phase", "cause", "party", "text"),
    [
        (
            P.PRE_MQ_ACTIVATION,
            Cause.NOT_ACTIVATED,
            Party.ACTIVATOR,
            "it waits for the activator, which makes its queues ready by itself",
        ),
        (
            P.PRE_LAUNCH,
            Cause.NOT_LAUNCHED,
            Party.LAUNCH_CONTROL,
            "it waits for launch control, which lets it through by itself",
        ),
    ],
)
def test_a_step_of_the_service_comes_by_itself_and_one_that_is_slow_is_worth_a_word(
    phase: Phase, cause: Cause, party: Party, text: str
) -> None:
    assert reason(a_case(phase)) == Reason(cause, text, party, NOW - 20)

    slow = replace(a_case(phase), log=[entry(phase, ago=31)])
    assert reason(slow).text == f"{text}; that takes longer than it should: look into the service's log"


def test_one_without_room_says_what_has_to_happen() -> None:
    refused = entry(P.PRE_LAUNCH, ago=5, ok=False, context="MQS responded with 'try_again_later' signal")
    case = replace(a_case(P.PRE_MQ_ACTIVATION, refused), no_room=NoRoom("4 are in use, of 5 that may be"))

    text = "4 are in use, of 5 that may be; the activator lets it in by itself when others have ended"
    assert reason(case) == Reason(Cause.NO_ROOM, text, Party.ACTIVATOR, NOW - 20)  # to be told to wait is no error

    own = replace(case, no_room=NoRoom("together too many", until="those have ended"))
    assert reason(own).text == "together too many; the activator lets it in by itself when those have ended"


def test_one_whose_room_does_not_come_back_by_itself_says_what_to_do() -> None:
    lasting = NoRoom("all is kept until its owner ends it", is_lasting=True, remedies=("muster workflow abort WF-2",))

    found = reason(replace(a_case(P.PRE_MQ_ACTIVATION), no_room=lasting))

    text = "all is kept until its owner ends it; only then there is room for it"
    assert found == Reason(Cause.NO_ROOM, text, Party.PERSON, NOW - 20, remedies=("muster workflow abort WF-2",))


# -- to be started -----------------------------------------------------------------------------------------------------------


def test_an_agent_that_is_there_takes_it_by_itself() -> None:
    case = a_case(P.PENDING_STARTER, asks=(ours(500, "site-b"), ours(10), theirs(1)))
    text = (
        "its workers wait to be started: site agent site-a is there, and asked for work last at 2027-01-15 07:59:50 UTC"
    )
    assert reason(case) == Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT, NOW - 20)


def test_an_agent_that_asks_no_more_is_missed() -> None:
    case = a_case(P.PENDING_STARTER, asks=(ours(121), ours(5, place="elsewhere")))
    text = "nobody is there to start its workers: site agent site-a asked for work last at 2027-01-15 07:57:59 UTC: is it running?"
    assert reason(case) == Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT, NOW - 20, None, (START,), is_absent=True)


def test_an_agent_that_never_asked_is_missed() -> None:
    found = reason(a_case(P.PENDING_STARTER))
    assert found.text == (
        "nobody is there to start its workers: a site agent for far has not asked for work in the last 30 days: is it running?"
    )
    assert (found.remedies, found.needs_help) == ((START,), True)


@pytest.mark.parametrize(
    ("asks", "told", "is_absent"),
    [
        ((), "has not asked for work in the last 30 days: is it running?", True),
        ((theirs(301),), "asked for work last at 2027-01-15 07:54:59 UTC: is it running?", True),
        ((theirs(299), ours(1)), "is there, and asked for work last at 2027-01-15 07:55:01 UTC", False),
    ],
)
def test_upstreams_agent_is_known_by_its_schedd(asks: tuple[Ask, ...], told: str, *, is_absent: bool) -> None:
    found = reason(a_case(P.PENDING_STARTER, asks=asks, server=Agent.UPSTREAM))

    assert found.text.endswith(
        f"start its workers: the task management service at ap.far {told}"
    ) or found.text.endswith(f"wait to be started: the task management service at ap.far {told}")
    assert (found.waits_for, found.remedies, found.is_absent) == (Party.UPSTREAM_AGENT, (), is_absent)


def test_a_location_that_is_not_known_any_more_is_told() -> None:
    found = reason(a_case(P.PENDING_STARTER, server=None))
    assert found.waits_for is Party.UPSTREAM_AGENT
    assert (
        "the service knows no location far any more (see MUSTER_LOCATIONS), so it is for the task management"
        in found.text
    )


GONE = "the location far is not among MUSTER_LOCATIONS of this service any more"
AGAIN = "whoever runs the service can name far there again with the schedd ap.far"


@pytest.mark.parametrize("claim", [{}, {"claim_agent": "site-a", "claim_until": NOW - 130, "claim_fence": 1}])
def test_one_whose_location_is_gone_waits_for_a_person_and_for_no_agent(claim: dict[str, Any]) -> None:
    case = replace(a_case(P.PENDING_STARTER, asks=(ours(1),), server=None, **claim), displacement=GONE)
    text = f"nobody can start its workers: {GONE}; {AGAIN}; else add workers elsewhere, or abort it and submit it elsewhere"
    elsewhere = "muster workflow add-workers WF-1 --workers 2 --task TK-1 --location …"
    abort = "muster workflow abort WF-1    # and submit it with another location"
    assert reason(case) == Reason(Cause.DISPLACED, text, Party.PERSON, NOW - 20, None, (elsewhere, abort))
    assert reason(case).needs_help


def test_a_cluster_at_a_location_that_is_gone_can_be_removed_by_hand() -> None:
    case = replace(a_case(P.PENDING_STOPPER, server=None, cluster_id=7), displacement=GONE)
    text = (
        f"cluster 7 at ap.far is to be removed, and no agent can be told to: {GONE}; {AGAIN}; "
        "else remove it there by hand"
    )
    assert reason(case) == Reason(Cause.DISPLACED, text, Party.PERSON, NOW - 20)


def test_an_agent_that_has_the_order_starts_it_though_the_location_is_gone() -> None:
    claimed = a_case(P.PENDING_STARTER, server=None, claim_agent="site-a", claim_until=NOW + 10, claim_fence=1)
    assert reason(replace(claimed, displacement=GONE)).cause is Cause.TAKEN


def test_an_agent_that_has_taken_it_is_named() -> None:
    case = a_case(P.PENDING_STARTER, claim_agent="site-a", claim_until=NOW + 10, claim_fence=1)
    text = "site agent site-a has taken it and is starting it at far"
    assert reason(case) == Reason(Cause.TAKEN, text, Party.SITE_AGENT, NOW - 20)


def test_an_agent_that_had_taken_it_and_fell_silent_is_named() -> None:
    case = a_case(P.PENDING_STARTER, claim_agent="site-a", claim_until=NOW - 130, claim_fence=1, asks=(ours(150),))
    text = (
        "site agent site-a had taken it and said nothing more; its claim ran out at 2027-01-15 07:57:50 UTC, so any agent of far may "
        "take it; site agent site-a asked for work last at 2027-01-15 07:57:30 UTC: is it running?"
    )
    assert reason(case) == Reason(Cause.CLAIM_LAPSED, text, Party.SITE_AGENT, NOW - 130, None, (START,), is_absent=True)


def test_failed_starts_are_told_with_the_last_error() -> None:
    case = a_case(
        P.PENDING_STARTER,
        entry(P.CONDOR_SUBMIT, ago=10, ok=False, context="ERROR: first"),
        entry(P.CONDOR_SUBMIT, ago=5, ok=False, context="ERROR: no room\non disk"),
        asks=(ours(1),),
        submit_failures=2,
    )
    found = reason(case)
    assert found.text.startswith(
        "its workers wait to be started (2 starts failed, the last one: no room on disk): site agent"
    )
    assert found.last_error == "no room on disk"


def test_an_error_from_before_a_success_is_not_the_last_one() -> None:
    case = a_case(P.CONDOR_SUBMIT, cluster_id=7)
    failed, came = entry(P.CONDOR_SUBMIT, ago=30, ok=False, context="ERROR: once"), entry(P.CONDOR_SUBMIT, ago=20)
    assert reason(replace(case, log=[failed, came])).last_error is None


def test_one_that_is_held_needs_a_person() -> None:
    failed = entry(P.CONDOR_SUBMIT, ago=3, ok=False, context="ERROR: no such image")
    case = a_case(P.PENDING_STARTER, failed, submit_failures=3, held_reason="no such image", asks=(ours(1),))
    text = "it is held: after 3 failed starts it is not tried any more (no such image); mend that, and release it, or add workers elsewhere"
    assert reason(case) == Reason(
        Cause.HELD, text, Party.PERSON, NOW - 3, "no such image", (RELEASE, ADD.replace("far", "…"))
    )
    assert reason(case).needs_help


def test_for_what_no_release_can_mend_the_task_or_the_workflow_must_be_changed() -> None:
    failed = entry(P.CONDOR_SUBMIT, ago=3, ok=False, context="ERROR: no containers here")
    case = a_case(P.PENDING_STARTER, failed, submit_failures=1, held_reason=render_final("no containers here"))
    text = "it is held: its site cannot start it as it is, however often that is tried (no containers here)"

    found = reason(case)

    assert is_final(case.taskforce)
    mend = "the task must be changed, or the workflow: revise the one, or end the other and submit a mended one"
    assert found.text == f"{text}; {mend}"
    assert (found.last_error, found.waits_for, found.since) == ("no containers here", Party.PERSON, NOW - 3)
    commands = [one.partition("    #")[0] for one in found.remedies]
    revise = "muster task revise TK-1 --image …"
    assert commands == [revise, "muster workflow abort WF-1", "muster workflow submit mended.yaml"]
    # Where others work for its task, nothing has to be ended.
    others = Reason(Cause.HELD, f"{text}; others work for its task", Party.PERSON, NOW - 3, "no containers here")
    assert reason(replace(case, has_others=True)) == others


# -- started ------------------------------------------------------------------------------------------------------------------


def test_workers_that_have_not_called_are_told_with_what_their_site_sees() -> None:
    case = a_case(P.CONDOR_SUBMIT, cluster_id=7)
    text = "it was submitted (2 workers as cluster 7 at ap.far), and none of its workers has called yet"
    silent = Reason(Cause.NOT_CALLED, f"{text}; its site has not said yet how they fare", Party.WORKERS, NOW - 20)
    assert reason(case) == silent

    statuses = {"IDLE": {"null": 1}, "RUNNING": {"Tasking": 0}, "HELD": {"null": 1, "FatalError": 2}}
    seen = replace(case.taskforce, compound_statuses=statuses, top_task_errors={"rare": 1, "bad host": 3})
    ended = "its workers end before they take an event (4 of 2 workers ended, 3 of them: bad host); its site sees 1 IDLE, 3 HELD"
    assert reason(replace(case, taskforce=seen)) == replace(
        silent,
        cause=Cause.WORKERS_END,
        text=f"{ended}; its site starts them again, later and later",
        waits_for=Party.PERSON,
        last_error="bad host",
    )


def test_workers_that_have_called_and_are_gone_are_told_apart() -> None:
    found = reason(a_case(P.CONDOR_SUBMIT, cluster_id=7, has_worked=True))
    assert (found.cause, found.waits_for) == (Cause.NONE_UP, Party.SITE_AGENT)
    assert found.text.startswith("none of its workers is up now (2 workers as cluster 7 at ap.far)")


def test_what_its_site_says_of_why_workers_wait_goes_first() -> None:
    case = a_case(P.CONDOR_SUBMIT, cluster_id=7, compound_statuses={"IDLE": {"null": 2}})
    silent = reason(case)
    why = ("no machine has 4 TB: ask for less.", "two are held", "a third", "a fourth", "a fifth")

    one = reason(replace(case, taskforce=replace(case.taskforce, reasons=why[:1])))
    many = reason(replace(case, has_worked=True, taskforce=replace(case.taskforce, reasons=why)))

    text = "its workers wait: no machine has 4 TB: ask for less; it was submitted (2 workers as cluster 7 at ap.far), "
    assert one == replace(silent, text=f"{text}and none of its workers has called yet; its site sees 2 IDLE")
    assert many.cause is Cause.NONE_UP
    assert many.text.startswith(
        "its workers wait: no machine has 4 TB: ask for less; two are held; a third; and 2 reasons more; none of its workers is up"
    )


def test_upstreams_workers_do_not_call_so_their_agents_word_counts() -> None:
    running = {"RUNNING": {"Tasking": 2, "null": 1}, "IDLE": {"null": 4}}
    case = a_case(P.CONDOR_SUBMIT, cluster_id=7, server=Agent.UPSTREAM, compound_statuses=running)
    assert count_up(case.taskforce, 0, Agent.UPSTREAM) == 3
    assert count_up(case.taskforce, 0, Agent.MUSTER) == 0
    assert count_up(replace(case.taskforce, phase=P.CONDOR_COMPLETE), 0, Agent.UPSTREAM) == 0

    found = reason(
        a_case(P.CONDOR_SUBMIT, cluster_id=7, server=Agent.UPSTREAM, compound_statuses={"IDLE": {"null": 2}})
    )
    text = (
        "it was submitted (2 workers as cluster 7 at ap.far), and no worker of it is seen running; its site sees 2 IDLE"
    )
    assert found == Reason(Cause.NOT_RUNNING, text, Party.UPSTREAM_AGENT, NOW - 20)


def test_workers_that_have_ended_are_missed_only_where_something_is_left_to_do() -> None:
    assert explain_taskforce(a_case(P.CONDOR_COMPLETE, cluster_id=7), now=NOW) is None
    assert is_over(a_case(P.CONDOR_COMPLETE, cluster_id=7).taskforce)

    found = reason(a_case(P.CONDOR_COMPLETE, cluster_id=7, is_needed=True))

    assert (found.cause, found.waits_for, found.since) == (Cause.WORKERS_ENDED, Party.PERSON, NOW - 20)
    assert found.remedies == (ADD,)


def test_workers_that_ended_in_a_drained_workflow_come_back_when_it_is_resumed_and_not_before() -> None:
    found = reason(replace(a_case(P.CONDOR_COMPLETE, cluster_id=7, is_needed=True), is_drained=True))

    text = "its workers have ended, and events wait for its task: its workflow is drained, and new ones come when it is resumed"
    assert found == Reason(Cause.WORKERS_ENDED, text, Party.PERSON, NOW - 20, remedies=("muster workflow resume WF-1",))


# -- to be stopped ---------------------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_being_removed_waits_for_its_agent() -> None:
    case = a_case(P.PENDING_STOPPER, cluster_id=7, claim_agent="site-a", asks=(ours(1),))
    text = "cluster 7 at ap.far is being removed: site agent site-a is there, and asked for work last at 2027-01-15 07:59:59 UTC"
    assert reason(case) == Reason(Cause.NOT_STOPPED, text, Party.SITE_AGENT, NOW - 20)

    found = reason(replace(case, asks=()))
    assert found.text.startswith(
        "cluster 7 at ap.far is to be removed, and nobody is there to do it: a site agent for far"
    )
    assert (found.remedies, found.is_absent) == ((START,), True)


def test_a_cluster_that_was_removed_may_still_have_workers() -> None:
    found = reason(a_case(P.CONDOR_RM, cluster_id=7, asks=(theirs(1),), server=Agent.UPSTREAM))
    assert (found.cause, found.waits_for, found.is_absent) == (Cause.NOT_CLEARED, Party.UPSTREAM_AGENT, False)
    assert found.text.startswith(
        "cluster 7 at ap.far was removed, and its site has not said yet that no worker is left; the task"
    )


def test_failed_removals_are_told_and_one_that_is_held_needs_a_person_at_the_access_point() -> None:
    failed = entry(P.CONDOR_RM, ago=5, ok=False, context="ERROR: schedd is down")
    case = a_case(P.PENDING_STOPPER, failed, cluster_id=7, remove_failures=1, asks=(theirs(1),), server=Agent.UPSTREAM)
    assert "is being removed (1 removal failed, the last one: schedd is down): the task management" in reason(case).text

    held = replace(case.taskforce, remove_failures=3, held_reason="schedd is down")
    text = (
        "it is held: after 3 failed removals it is not tried any more to remove cluster 7 at ap.far (schedd is down); "
        "mend that, and release it, or remove it there by hand"
    )
    remedies = (RELEASE, "condor_rm 7    # at ap.far")
    assert reason(replace(case, taskforce=held)) == Reason(
        Cause.HELD, text, Party.PERSON, NOW - 5, "schedd is down", remedies
    )


def test_one_that_was_ended_before_it_had_a_cluster_is_over_unless_its_agent_was_just_starting_it() -> None:
    assert explain_taskforce(a_case(P.PENDING_STOPPER), now=NOW) is None
    assert is_over(a_case(P.PENDING_STOPPER).taskforce)
    was_held = a_case(P.PENDING_STOPPER, held_reason="no such image", submit_failures=3)
    assert explain_taskforce(was_held, now=NOW) is None

    found = reason(a_case(P.PENDING_STOPPER, claim_agent="site-a"))
    assert (found.cause, found.waits_for) == (Cause.NOT_KNOWN, Party.SITE_AGENT)
    assert found.text.startswith("it was ended while site agent site-a was starting it; if there is a cluster")
    assert explain_taskforce(a_case(P.PENDING_STOPPER, claim_agent="site-a"), now=NOW + 200) is None
    no_more = entry(P.PENDING_STARTER, ago=20, ok=False, context=HELD_NO_MORE)
    assert explain_taskforce(a_case(P.PENDING_STOPPER, no_more, claim_agent="site-a"), now=NOW) is None


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_is_explained_or_over(phase: Phase) -> None:
    case = a_case(phase)
    assert (explain_taskforce(case, now=NOW) is None) == is_over(case.taskforce)
