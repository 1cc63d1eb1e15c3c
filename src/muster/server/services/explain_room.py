"""Why is there no room for a workflow, who has what it waits for, and does that come back by itself?"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class RoomLook:
    """A look, in one transaction, at what keeps a workflow of ours from its room, and at what it keeps from others.

    Args:
        taskforces: all of its.
        find_displacement: why can no agent take one (`domain.displacement`)?
    """

    tx: Transaction
    parts: Parts
    workflow: Workflow
    taskforces: Sequence[Taskforce]
    find_displacement: Callable[[Taskforce], str | None]

    @cached_property
    def judged(self) -> Judged:
        """Those who wait. Judging them is most of the work, and both questions need it."""
        return judge_line(self.tx, self.parts)

    @property
    def workers_at_work(self) -> int:
        """How many of its workers are in use."""
        return sum(one.n_workers for one in self.taskforces if one.phase in AT_WORK and not is_over(one))

    def explain_no_room(self, *, names_owners: bool) -> NoRoom | None:
        """Why it is not let in where it waits, and who has what it waits for; None: there is room.

        Args:
            names_owners: the other owners are named, too.
        """
        if not has_limits(self.parts):
            return None
        first = Obstacle(f"{len(self.judged.line)} that are more urgent wait, too")
        obstacle = self.judged.obstacles.get(self.workflow.workflow_id, first)
        if obstacle is None:
            return None
        if (beside := self._find_own_excess()) is not None:
            return beside
        if obstacle.what is None:
            return NoRoom(f"there is no room for its workflow: {obstacle.text}")
        return self._explain_obstacle(obstacle, obstacle.what, names_owners=names_owners)

    def find_kept(self, queues: Sequence[Queue], counts: Mapping[int, Counts]) -> Sequence[KeptFrom]:
        """What it keeps though it stands still, as far as others wait for it. `queues`, `counts`: all of its."""
        find, now, workflow = self.find_displacement, self.tx.now(), self.workflow
        kept = measure_kept(workflow, self.taskforces, queues, counts, find_displacement=find, now=now)
        if kept == Use() or not has_limits(self.parts):
            return ()
        waiting: Counter[tuple[Resource, bool]] = Counter()
        for one in self.judged.line:
            obstacle = self.judged.obstacles[one.workflow_id]
            if obstacle is None or obstacle.what is None or one.workflow_id == workflow.workflow_id:
                continue
            if kept.of(obstacle.what) and (one.owner == workflow.owner or not obstacle.is_own):
                waiting[obstacle.what, obstacle.is_own] += 1
        return [KeptFrom(what, kept.of(what), is_own, number) for (what, is_own), number in waiting.items()]

    def _explain_obstacle(self, obstacle: Obstacle, what: Resource, *, names_owners: bool) -> NoRoom:
        owner, here = self.workflow.owner, self.workflow.workflow_id
        # One whose queues are in use wants no others, so of those none of its own are in its way.
        mine = self.workers_at_work if what == "workers" else 0
        none = f"there is no room for {'more of its workers' if mine else 'its workflow'}: {obstacle.text}"
        own = self.tx.workflows.list_occupants(what, owner=owner, limit=NAMED_MAX + 1)
        others = [one for one in own if one.workflow_id != here]
        by_owner = self.judged.room.by_owner(what)
        told = render_occupancy(owner, others, by_owner, is_own=obstacle.is_own, names_owners=names_owners, mine=mine)
        standing = find_standing(self.tx, self.parts, what, owner=owner if obstacle.is_own else None)
        kept = render_standing(owner, standing, here=here, names_owners=names_owners)
        return NoRoom(
            "; ".join(filter(None, (none, told, kept))),
            is_lasting=obstacle.is_lasting(standing.total),
            until="some of these have ended" if mine else "others have ended",
            remedies=list_ways_to_free(owner, standing, here=here, names_owners=names_owners),
        )

    def _find_own_excess(self) -> NoRoom | None:
        """Why those of its taskforces that wait have no room while its others are at work, whoever else ends; None: they may have."""
        at_work = self.workers_at_work
        wanted = sum(one.n_workers for one in self.taskforces if one.phase is Phase.PRE_MQ_ACTIVATION)
        limits = (self.parts.settings.limit, self.parts.settings.owner_limit)
        if not at_work or not wanted or (reason := find_excess(Use(workers=at_work + wanted), *limits)) is None:
            return None
        none = "there is no room for it beside the workers that its workflow has"
        find, now = self.find_displacement, self.tx.now()
        stuck = sum(one.n_workers for one in self.taskforces if is_stuck(one, find_displacement=find, now=now))
        if stuck and find_excess(Use(workers=stuck + wanted), *limits) is not None:
            kept = f"{stuck} of those stand still, and keep their room until they are mended or the workflow is ended"
            return NoRoom(f"{none}: with the {at_work} of these, {reason}; {kept}", is_lasting=True)
        return NoRoom(f"{none} at work: with the {at_work} of these, {reason}", until="those have ended")


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


def find_standing(tx: Transaction, parts: Parts, what: Resource, *, owner: str | None = None) -> Standings:
    """Those that stand still and keep some of it. `owner`: only theirs."""
    return tx.workflows.list_standing(what, known=parts.locations, owner=owner, of_each=OF_EACH_MAX)
