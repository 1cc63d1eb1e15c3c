"""Is there room for what wants to be let in? Measured and judged in the transaction that lets it in, against the limits of the settings.

What workflows of ours use ends with them. Of another service's workflow nothing tells the end (mqs.md section 8): its queues are in use for
as long as a token of theirs is good, which is renewed while somebody reads their profiles.
"""

from collections.abc import Sequence

from muster.domain.admission import Waiting, order
from muster.domain.mq_profile import GroupedProfile, MqGroup
from muster.domain.room import Kept, Room, Use
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts

LINE_MAX = 200
"""Workflows of the line that are looked at."""
_ADMISSION = "admission"


def has_limits(parts: Parts) -> bool:
    """Is anything held back at all?"""
    return not (parts.settings.limit.is_none and parts.settings.owner_limit.is_none)


def take_turn(tx: Transaction) -> None:
    """Before anything is locked or measured that is to be let in: two services that count at once would let in one too many."""
    tx.take_turn(_ADMISSION)


def list_line(tx: Transaction) -> Sequence[Waiting]:
    """The workflows that wait for their queues' activation, the most urgent first."""
    return order(tx.workflows.list_waiting(Phase.PRE_MQ_ACTIVATION, limit=LINE_MAX), now=tx.now())


class Usher:
    """Judges workflows one after another in the order of the line, each with what those before it were given.

    Args:
        line: all that will be asked about.
        kept: for those that were before them in the line.
    """

    def __init__(self, tx: Transaction, parts: Parts, line: Sequence[Waiting], *, kept: tuple[Kept, ...] = ()) -> None:
        limits = (parts.settings.limit, parts.settings.owner_limit)
        with_events = any(one.events is not None for one in limits)
        uses = tx.workflows.measure_use([one.workflow_id for one in line], with_events=with_events)
        used = dict(uses.used)
        if any(one.queues is not None for one in limits):
            for owner, queues in tx.mq_groups.count_in_use(now=tx.now()).items():
                used[owner] = used.get(owner, Use()) + Use(queues=queues)
        self.room = Room(limits[0], limits[1], used, kept)
        self._wanted = uses.wanted

    def let_in(self, one: Waiting) -> str | None:
        """Why a workflow is not let in, as half a sentence; None: there is room, which it takes."""
        wanted = self._wanted.get(one.workflow_id, Use())
        return self.room.let_in(one, wanted, brings_events=wanted.queues > 0)


def find_obstacle_to(tx: Transaction, parts: Parts, workflow: Workflow) -> str | None:
    """Why a workflow of ours that waits is not let in, as half a sentence; None: there is room."""
    if not has_limits(parts):
        return None
    line = list_line(tx)
    usher = Usher(tx, parts, line)
    for one in line:
        obstacle = usher.let_in(one)
        if one.workflow_id == workflow.workflow_id:
            return obstacle
    return f"{len(line)} that are more urgent wait, too"


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
    line = list_line(tx)
    usher = Usher(tx, parts, line)
    for one in order([*line, asking], now=now):
        if one is asking:
            break
        usher.let_in(one)
    return usher.room.let_in(asking, Use(queues=len(profiles)), brings_events=False)
