"""Why is there no room for a workflow, who has what it waits for, and does that come back by itself?"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from muster.domain.occupancy import NAMED_MAX, NoRoom, render_occupancy
from muster.domain.queue import Counts, Queue
from muster.domain.room import Obstacle, Resource, Use, find_excess
from muster.domain.standing import KeptFrom, Standings, is_stuck, list_ways_to_free, measure_kept, render_standing
from muster.domain.taskforce_phase import AT_WORK, Phase
from muster.domain.taskforce_reason import is_over
from muster.domain.workflow import Taskforce, Workflow
from muster.server.ports.store import Transaction
from muster.server.services.find_room import Judged, has_limits, judge_line
from muster.server.services.parts import Parts, Refused

OF_EACH_MAX = NAMED_MAX + 1
"""Workflows of each owner that stand still and are named: one of them may be the one that waits itself."""


def explain_no_room(
    tx: Transaction,
    parts: Parts,
    workflow: Workflow,
    taskforces: Sequence[Taskforce],
    *,
    find_displacement: Callable[[Taskforce], str | None],
    names_owners: bool,
) -> NoRoom | None:
    """Why a workflow of ours that waits is not let in, and who has what it waits for; None: there is room.

    Args:
        taskforces: all of its.
        find_displacement: why can no agent take one (`domain.displacement`)?
        names_owners: the other owners are named, too.
    """
    if not has_limits(parts):
        return None
    judged = judge_line(tx, parts)
    first = Obstacle(f"{len(judged.line)} that are more urgent wait, too")
    obstacle = judged.obstacles.get(workflow.workflow_id, first)
    if obstacle is None:
        return None
    if (beside := _find_own_excess(tx, parts, taskforces, find_displacement)) is not None:
        return beside
    if obstacle.what is None:
        return NoRoom(f"there is no room for its workflow: {obstacle.text}")
    # One whose queues are in use wants no others, so of those none of its own are in its way.
    mine = _count_at_work(taskforces) if obstacle.what == "workers" else 0
    return _explain_obstacle(tx, parts, workflow, obstacle, obstacle.what, judged, mine, names_owners=names_owners)


def _explain_obstacle(
    tx: Transaction,
    parts: Parts,
    workflow: Workflow,
    obstacle: Obstacle,
    what: Resource,
    judged: Judged,
    mine: int,
    *,
    names_owners: bool,
) -> NoRoom:
    """`mine`: how much of it the workflow has itself."""
    owner, here = workflow.owner, workflow.workflow_id
    none = f"there is no room for {'more of its workers' if mine else 'its workflow'}: {obstacle.text}"
    own = tx.workflows.list_occupants(what, owner=owner, limit=NAMED_MAX + 1)
    others = [one for one in own if one.workflow_id != here]
    by_owner = judged.room.by_owner(what)
    told = render_occupancy(owner, others, by_owner, is_own=obstacle.is_own, names_owners=names_owners, mine=mine)
    standing = find_standing(tx, parts, what, owner=owner if obstacle.is_own else None)
    kept = render_standing(owner, standing, here=here, names_owners=names_owners)
    return NoRoom(
        "; ".join(filter(None, (none, told, kept))),
        is_lasting=obstacle.is_lasting(standing.total),
        until="some of these have ended" if mine else "others have ended",
        remedies=list_ways_to_free(owner, standing, here=here, names_owners=names_owners),
    )


def _find_own_excess(
    tx: Transaction,
    parts: Parts,
    taskforces: Sequence[Taskforce],
    find_displacement: Callable[[Taskforce], str | None],
) -> NoRoom | None:
    """Why those of a workflow's taskforces that wait have no room while its others are at work, whoever else ends; None: they may have."""
    at_work = _count_at_work(taskforces)
    wanted = sum(one.n_workers for one in taskforces if one.phase is Phase.PRE_MQ_ACTIVATION)
    limits = (parts.settings.limit, parts.settings.owner_limit)
    if not at_work or not wanted or (reason := find_excess(Use(workers=at_work + wanted), *limits)) is None:
        return None
    none = "there is no room for it beside the workers that its workflow has"
    stuck = sum(one.n_workers for one in taskforces if is_stuck(one, find_displacement=find_displacement, now=tx.now()))
    if stuck and find_excess(Use(workers=stuck + wanted), *limits) is not None:
        kept = f"{stuck} of those stand still, and keep their room until they are mended or the workflow is ended"
        return NoRoom(f"{none}: with the {at_work} of these, {reason}; {kept}", is_lasting=True)
    return NoRoom(f"{none} at work: with the {at_work} of these, {reason}", until="those have ended")


def _count_at_work(taskforces: Sequence[Taskforce]) -> int:
    return sum(one.n_workers for one in taskforces if one.phase in AT_WORK and not is_over(one))


def explain_refusal(refused: Refused, workflow: Workflow) -> str | None:
    """Why it was not let in lately, as half a sentence, to anybody who follows it; None: nobody has looked, or there was room.

    By what the activator found: whoever follows it looks often, and there may be many.
    """
    obstacle = refused.obstacles.get(workflow.workflow_id)
    if obstacle is None:
        return None
    standing = Standings() if obstacle.what is None else refused.standing.get(obstacle.what, Standings())
    those = standing.of(workflow.owner) if obstacle.is_own else standing
    kept = render_standing(workflow.owner, those, here=workflow.workflow_id, names_owners=False)
    return "; ".join(filter(None, (obstacle.text, kept)))


def find_kept(
    tx: Transaction,
    parts: Parts,
    workflow: Workflow,
    taskforces: Sequence[Taskforce],
    queues: Sequence[Queue],
    counts: Mapping[int, Counts],
    *,
    find_displacement: Callable[[Taskforce], str | None],
) -> Sequence[KeptFrom]:
    """What a workflow keeps though it stands still, as far as others wait for it. `taskforces`, `queues`, `counts`: all of its."""
    kept = measure_kept(workflow, taskforces, queues, counts, find_displacement=find_displacement, now=tx.now())
    if kept == Use() or not has_limits(parts):
        return ()
    judged = judge_line(tx, parts)
    waiting: Counter[tuple[Resource, bool]] = Counter()
    for one in judged.line:
        obstacle = judged.obstacles[one.workflow_id]
        if obstacle is None or obstacle.what is None or one.workflow_id == workflow.workflow_id:
            continue
        if kept.of(obstacle.what) and (one.owner == workflow.owner or not obstacle.is_own):
            waiting[obstacle.what, obstacle.is_own] += 1
    return [KeptFrom(what, kept.of(what), is_own, number) for (what, is_own), number in waiting.items()]


def find_standing(tx: Transaction, parts: Parts, what: Resource, *, owner: str | None = None) -> Standings:
    """Those that stand still and keep some of it. `owner`: only theirs."""
    return tx.workflows.list_standing(what, known=parts.locations, owner=owner, of_each=OF_EACH_MAX)
