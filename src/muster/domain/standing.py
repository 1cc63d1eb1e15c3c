"""Who keeps room and stands still? It comes back once somebody does something about them, and not by itself.

Workers stand still where their taskforce is held, or where no agent can be told of it since its location is not what it was; queues and
events where nothing else of their workflow is tried.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from muster.domain.occupancy import ITSELF, NAMED_MAX, join_amounts
from muster.domain.queue import Counts, Queue
from muster.domain.reason import count
from muster.domain.room import Resource, Use, name_setting
from muster.domain.taskforce_phase import ENDING, Phase
from muster.domain.taskforce_reason import is_over
from muster.domain.workflow import Taskforce, Workflow

STUCK = (Phase.PENDING_STARTER, Phase.PENDING_STOPPER)
"""Phases in which one that is held, or of which no agent can be told, does nothing: in others its workers may be at work."""


@dataclass(frozen=True)
class Standing:
    """A workflow that keeps some of it, though it, or those of its taskforces, stand still.

    Args:
        is_active: it has not ended; of one that has, workers are left that could not be stopped.
    """

    workflow_id: str
    owner: str
    amount: int
    is_active: bool = True


@dataclass(frozen=True)
class Standings:
    """All that stand still and keep some of one kind of room.

    Args:
        by_owner: how much those of each owner keep; without owners that keep none.
        most: those to be named, most first: of each owner as many as were asked for.
    """

    by_owner: Mapping[str, int] = field(default_factory=dict)
    most: Sequence[Standing] = ()

    @property
    def total(self) -> int:
        """How much all of them keep."""
        return sum(self.by_owner.values())

    def of(self, owner: str) -> "Standings":
        """Those of one owner."""
        theirs = {name: amount for name, amount in self.by_owner.items() if name == owner}
        return Standings(theirs, [one for one in self.most if one.owner == owner])


@dataclass(frozen=True)
class KeptFrom:
    """Room that a workflow which stands still keeps from others.

    Args:
        waiting: how many workflows wait for some of it.
    """

    what: Resource
    amount: int
    is_own: bool
    waiting: int


def is_given_up(taskforce: Taskforce) -> bool:
    """Does it keep room, and is it held, so that nobody tries it?"""
    return taskforce.held_reason is not None and taskforce.phase in STUCK and not is_over(taskforce)


def is_stuck(taskforce: Taskforce, *, find_displacement: Callable[[Taskforce], str | None], now: float) -> bool:
    """Does it keep room, and is nothing done about it until somebody does something?

    Args:
        find_displacement: why can no agent take it (`domain.displacement`)?
        now: seconds since the epoch; whoever has it under a claim that is in force may still do something.
    """
    if is_given_up(taskforce):
        return True
    is_in_hand = taskforce.claim_until is not None and taskforce.claim_until > now
    if taskforce.phase not in STUCK or is_over(taskforce) or is_in_hand:
        return False
    return find_displacement(taskforce) is not None


def measure_kept(
    workflow: Workflow,
    taskforces: Sequence[Taskforce],
    queues: Sequence[Queue],
    counts: Mapping[int, Counts],
    *,
    find_displacement: Callable[[Taskforce], str | None],
    now: float,
) -> Use:
    """What a workflow keeps though it stands still. `find_displacement`, `now`: as of `is_stuck`."""
    stuck = [one for one in taskforces if is_stuck(one, find_displacement=find_displacement, now=now)]
    workers, names = sum(one.n_workers for one in stuck), {one.taskforce_uuid for one in stuck}
    trying = {one.taskforce_uuid for one in taskforces if one.phase not in ENDING}
    if not (workflow.is_active and trying and trying <= names):
        return Use(workers=workers)
    return Use(len(queues), workers, sum(counts[one.number].waiting + counts[one.number].in_work for one in queues))


def render_standing(owner: str, those: Standings, *, here: str, names_owners: bool) -> str | None:
    """Who of those that have it stands still, as half a sentence; None: nobody.

    Args:
        owner, here: of the workflow that waits, and its id.
        names_owners: those of other owners are named, too: to an operator.
    """
    if not those.total:
        return None
    own = [one for one in those.most if one.owner == owner][:NAMED_MAX]
    shown = [one for one in those.most if one.owner != owner][:NAMED_MAX] if names_owners else []
    of_owner = those.by_owner.get(owner, 0)
    parts = [(ITSELF if one.workflow_id == here else one.workflow_id, one.amount) for one in own]
    parts.append((f"others of {owner}", of_owner - sum(one.amount for one in own)))
    parts += [(f"{one.workflow_id} of {one.owner}", one.amount) for one in shown]
    parts.append(("those of other owners", those.total - of_owner - sum(one.amount for one in shown)))
    kept = "1 of these is" if those.total == 1 else f"{those.total} of these are"
    return f"{kept} kept by what stands still, until its owner mends, finishes or aborts it: {join_amounts(parts)}"


def list_ways_to_free(owner: str, those: Standings, *, here: str, names_owners: bool) -> tuple[str, ...]:
    """What its owner, or an operator, can type to get the room back. Arguments as of `render_standing`."""
    lines: list[str] = []
    may = [one for one in those.most if one.workflow_id != here and (names_owners or one.owner == owner)]
    for one in may[:NAMED_MAX]:
        lines.append(f"muster workflow explain {one.workflow_id}    # why it stands still, and what mends it")
        if one.is_active:
            lines.append(f"muster workflow abort {one.workflow_id}    # gives its room back")
    return tuple(lines)


def render_kept(kept: Sequence[KeptFrom]) -> str:
    """What a workflow that stands still keeps from others, in a sentence."""
    rooms = [f"{count(one.amount, one.what[:-1])} ({name_setting(one.what, is_own=one.is_own)})" for one in kept]
    waiting = sum(one.waiting for one in kept)
    wait = "1 other workflow waits" if waiting == 1 else f"{waiting} other workflows wait"
    return f"{wait} for room that it keeps while it stands still, until it is mended, finished or aborted: {', '.join(rooms)}"
