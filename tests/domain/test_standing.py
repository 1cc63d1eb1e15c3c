"""Is it told who keeps room and stands still: as much as is true, to whom it concerns?"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from muster.domain.queue import Counts, Queue
from muster.domain.room import Use
from muster.domain.standing import (
    KeptFrom,
    Standing,
    Standings,
    list_ways_to_free,
    measure_kept,
    render_kept,
    render_standing,
)
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Taskforce, Workflow, WorkflowState

NOW = 1_800_000_000.0
WORKFLOW = Workflow("WF-1", created_at=1.0, priority=50, owner="ada", name="", finish_when_done=True)
IN = Queue(1, "a1", "WF-1", "in", True, True, False, None, 5, 60.0, 2.0)
QUEUES = [IN, replace(IN, number=2, queue_id="a2", alias="out", is_input=False, is_output=True)]
COUNTS = {1: Counts(published=5, waiting=3, in_work=1, done=1), 2: Counts(published=1, waiting=1)}
HELD = Taskforce(
    "TF-1", "TK-1", "WF-1", 1.0, 50, "local", "ap", 2, {}, {}, Phase.PENDING_STARTER, held_reason="no image"
)
WORKS = replace(HELD, taskforce_uuid="TF-2", phase=Phase.CONDOR_SUBMIT, cluster_id=7, held_reason=None)
GONE = replace(HELD, taskforce_uuid="TF-5", location="gone", held_reason=None)
OVER = replace(WORKS, taskforce_uuid="TF-3", phase=Phase.CONDOR_COMPLETE)
NOT_STOPPED = replace(WORKS, taskforce_uuid="TF-4", phase=Phase.PENDING_STOPPER, held_reason="no such cluster")


@pytest.mark.parametrize(
    ("taskforces", "state", "kept"),
    [
        ([HELD], WorkflowState.ACTIVE, Use(2, 2, 5)),
        ([HELD, OVER], WorkflowState.ACTIVE, Use(2, 2, 5)),
        ([HELD, WORKS], WorkflowState.ACTIVE, Use(0, 2, 0)),  # its queues are in use
        ([HELD, replace(WORKS, phase=Phase.PRE_MQ_ACTIVATION)], WorkflowState.ACTIVE, Use(0, 2, 0)),
        ([WORKS], WorkflowState.ACTIVE, Use()),
        ([replace(WORKS, held_reason="not removed")], WorkflowState.ACTIVE, Use()),  # its workers may be at work
        ([OVER], WorkflowState.ACTIVE, Use()),  # nobody failed: it may be done
        ([NOT_STOPPED], WorkflowState.ABORTED, Use(0, 2, 0)),
        ([replace(NOT_STOPPED, cluster_id=None)], WorkflowState.ABORTED, Use()),
        ([GONE], WorkflowState.ACTIVE, Use(2, 2, 5)),
        ([GONE, HELD], WorkflowState.ACTIVE, Use(2, 4, 5)),
        ([GONE, WORKS], WorkflowState.ACTIVE, Use(0, 2, 0)),
        ([replace(GONE, location="local")], WorkflowState.ACTIVE, Use()),
        ([replace(GONE, claim_agent="site-a", claim_until=NOW + 1)], WorkflowState.ACTIVE, Use()),  # it has it in hand
        ([replace(GONE, claim_agent="site-a", claim_until=NOW)], WorkflowState.ACTIVE, Use(2, 2, 5)),
        ([replace(GONE, phase=Phase.PRE_LAUNCH)], WorkflowState.ACTIVE, Use()),
        ([replace(WORKS, location="gone")], WorkflowState.ACTIVE, Use()),  # its workers may be at work
        ([replace(GONE, phase=Phase.PENDING_STOPPER, cluster_id=7)], WorkflowState.ABORTED, Use(0, 2, 0)),
        ([replace(GONE, phase=Phase.PENDING_STOPPER)], WorkflowState.ABORTED, Use()),
    ],
)
def test_what_is_kept_is_what_nobody_tries_any_more(
    taskforces: list[Taskforce], state: WorkflowState, kept: Use
) -> None:
    def find_displacement(taskforce: Taskforce) -> str | None:
        return "it is gone" if taskforce.location == "gone" else None

    workflow = replace(WORKFLOW, state=state)
    assert measure_kept(workflow, taskforces, QUEUES, COUNTS, find_displacement=find_displacement, now=NOW) == kept


def add_up(*those: Standing, more: Mapping[str, int] = {}) -> Standings:
    """`more`: what those keep that are not named, by owner."""
    by_owner = Counter(more)
    for one in those:
        by_owner[one.owner] += one.amount
    return Standings(by_owner, those)


OWN = [Standing("WF-a", "ada", 4), Standing("WF-here", "ada", 2, is_active=False)]
THEIRS = [Standing(f"WF-{n}", "eve", n) for n in (5, 3, 2, 1)]


def test_an_owners_workflows_are_named_and_others_only_to_operators() -> None:
    every = add_up(*OWN, *THEIRS)
    until = "kept by what stands still, until its owner mends, finishes or aborts it"

    told = render_standing("ada", every, here="WF-here", names_owners=False)
    to_operator = render_standing("ada", every, here="WF-here", names_owners=True)

    assert told == f"17 of these are {until}: WF-a (4), its own workflow (2) and those of other owners (11)"
    theirs = "WF-5 of eve (5), WF-3 of eve (3), WF-2 of eve (2) and those of other owners (1)"
    assert to_operator == f"17 of these are {until}: WF-a (4), its own workflow (2), {theirs}"
    many = [Standing(f"WF-{n}", "ada", 1) for n in range(4)]
    assert str(render_standing("ada", add_up(*many), here="WF-9", names_owners=False)).endswith(
        " and others of ada (1)"
    )
    one = render_standing("ada", add_up(many[0]), here="WF-9", names_owners=False)
    assert one == f"1 of these is {until}: WF-0 (1)"
    assert render_standing("ada", Standings(), here="WF-9", names_owners=True) is None


def test_those_that_are_not_named_count_too() -> None:
    every = add_up(*OWN, *THEIRS[:1], more={"ada": 3000, "eve": 100, "bob": 7})

    told = render_standing("ada", every, here="WF-here", names_owners=True)

    assert every.total == 3118
    assert str(told).startswith("3118 of these are kept")
    named = "WF-a (4), its own workflow (2), others of ada (3000), WF-5 of eve (5) and those of other owners (107)"
    assert str(told).endswith(named)
    assert every.of("ada") == Standings({"ada": 3006}, OWN)
    assert every.of("nobody").total == 0


def test_who_may_end_them_is_told_how() -> None:
    def list_commands(*, names_owners: bool) -> list[str]:
        lines = list_ways_to_free("ada", add_up(*THEIRS[:1], *OWN), here="WF-none", names_owners=names_owners)
        return [line.partition("    #")[0] for line in lines]

    own = ["muster workflow explain WF-a", "muster workflow abort WF-a", "muster workflow explain WF-here"]
    assert list_commands(names_owners=False) == own
    assert list_commands(names_owners=True) == ["muster workflow explain WF-5", "muster workflow abort WF-5", *own]


def test_one_that_keeps_room_from_others_says_how_much_of_what() -> None:
    kept = [KeptFrom("queues", 2, is_own=False, waiting=2), KeptFrom("workers", 1, is_own=True, waiting=1)]
    assert render_kept(kept) == (
        "3 other workflows wait for room that it keeps while it stands still, until it is mended, finished or aborted: "
        "2 queues (MUSTER_QUEUES_MAX), 1 worker (MUSTER_WORKERS_MAX_PER_OWNER)"
    )
