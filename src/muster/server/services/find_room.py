"""Is there room for what wants to be let in? Measured and judged in the transaction that lets it in, against the limits of the settings.

What workflows of ours use ends with them. Of another service's workflow nothing tells the end (mqs.md section 8): its queues are in use for
as long as a token of theirs is good, which is renewed while somebody reads their profiles.
"""

from collections.abc import Mapping, Sequence

from muster.domain.admission import Waiting, order
from muster.domain.errors import Finding, InvalidError
from muster.domain.mq_profile import GroupedProfile, MqGroup
from muster.domain.room import InUse, Room, Use, find_excess
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction
from muster.server.services.line import list_line
from muster.server.services.parts import Parts

_ADMISSION = "admission"


def has_limits(parts: Parts) -> bool:
    """Is anything held back at all?"""
    return not (parts.settings.limit.is_none and parts.settings.owner_limit.is_none)


def take_turn(tx: Transaction) -> None:
    """Before anything is locked or measured that is to be let in: two services that count at once would let in one too many."""
    tx.take_turn(_ADMISSION)


def find_obstacles(tx: Transaction, parts: Parts, those: Sequence[Waiting]) -> Mapping[str, str | None]:
    """Why each of a line is not let in, as half a sentence, when one after another is judged; None: there is room, which it takes."""
    usher = Usher(tx, parts, those)
    return {one.workflow_id: usher.let_in(one) for one in those}


class Usher:
    """Judges workflows one after another in the order of the line, each with what those before it were given.

    Args:
        those: all that will be asked about.
    """

    def __init__(self, tx: Transaction, parts: Parts, those: Sequence[Waiting]) -> None:
        limits = (parts.settings.limit, parts.settings.owner_limit)
        with_events = any(one.events is not None for one in limits)
        uses = tx.workflows.measure_use([one.workflow_id for one in those], with_events=with_events)
        in_use = list(uses.in_use)
        if any(one.queues is not None for one in limits):
            # Nothing tells for how long another service's are there: nobody has room kept while they alone are in the way.
            counts = tx.mq_groups.count_in_use(now=tx.now())
            in_use += [InUse(owner, 0.0, Use(queues=queues)) for owner, queues in counts.items()]
        self.room = Room(limits[0], limits[1], in_use)
        self._wanted = uses.wanted

    def let_in(self, one: Waiting) -> str | None:
        """Why a workflow is not let in, as half a sentence; None: there is room, which it takes."""
        wanted = self._wanted.get(one.workflow_id, Use())
        is_new = wanted.queues > 0
        return self.room.let_in(one, wanted, is_new=is_new, brings_events=is_new)


def require_possible(parts: Parts, wanted: Use, *, field: str) -> None:
    """Raises InvalidError: it would never have room beside any other, so that it or all others would wait without end."""
    reason = find_excess(wanted, parts.settings.limit, parts.settings.owner_limit)
    if reason is not None:
        raise InvalidError([Finding(field, f"{reason}: ask for fewer, or an operator for a higher limit")])


def find_obstacle_to(tx: Transaction, parts: Parts, workflow: Workflow) -> str | None:
    """Why a workflow of ours that waits is not let in, as half a sentence; None: there is room."""
    if not has_limits(parts):
        return None
    line = list_line(tx, Phase.PRE_MQ_ACTIVATION).those
    more = f"{len(line)} that are more urgent wait, too"
    return find_obstacles(tx, parts, line).get(workflow.workflow_id, more)


def find_obstacle_to_group(
    tx: Transaction, parts: Parts, group: MqGroup, profiles: Sequence[GroupedProfile], *, priority: int
) -> str | None:
    """The same of a group of another service's, of which only the queues are known. One that is in use has its room."""
    now = tx.now()
    is_in_use = any(one.profile.stamp is not None and one.profile.stamp.expires_at > now for one in profiles)
    is_limited = any(one.queues is not None for one in (parts.settings.limit, parts.settings.owner_limit))
    if is_in_use or not is_limited:
        return None
    asking = Waiting(group.workflow_id, group.owner, priority, group.created_at)
    line = list_line(tx, Phase.PRE_MQ_ACTIVATION).those
    usher = Usher(tx, parts, line)
    for one in order([*line, asking], now=now):
        if one is asking:
            break
        usher.let_in(one)
    return usher.room.let_in(asking, Use(queues=len(profiles)), brings_events=False)
