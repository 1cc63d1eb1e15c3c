"""Is there room for what wants to be let in? Measured and judged in the transaction that lets it in, against the limits of the settings.

What workflows of ours use ends with them. Of another service's workflow nothing tells the end (mqs.md section 8): its queues are in use for
as long as a token of theirs is good, which is renewed while somebody reads their profiles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muster.domain.admission import Waiting, order
from muster.domain.errors import Finding, InvalidError
from muster.domain.mq_profile import GroupedProfile, MqGroup
from muster.domain.room import InUse, Limit, Obstacle, Resource, Room, Use, find_excess, name_setting
from muster.domain.taskforce_phase import Phase
from muster.server.ports.store import Transaction
from muster.server.services.line import list_line
from muster.server.services.parts import Parts

LOOKS_MAX = 10
"""So often a pass looks further behind, where nobody of those before finds room."""
_ADMISSION = "admission"


def has_limits(parts: Parts) -> bool:
    """Is anything held back at all?"""
    return not (parts.settings.limit.is_none and parts.settings.owner_limit.is_none)


def take_turn(tx: Transaction) -> None:
    """Before anything is locked or measured that is to be let in: two services that count at once would let in one too many."""
    tx.take_turn(_ADMISSION)


@dataclass(frozen=True)
class Judged:
    """A line of those who wait for their queues' activation, and what came of each when one after another was judged.

    Args:
        obstacles: why each is not let in; None: there is room, which it takes.
        is_cut: there may be more.
        room: what is in use when all of them were judged.
    """

    line: Sequence[Waiting]
    obstacles: Mapping[str, Obstacle | None]
    is_cut: bool
    room: Room


def judge_line(tx: Transaction, parts: Parts) -> Judged:
    """The most urgent ones; behind them those of other owners, where none of the first finds room."""
    usher = Usher(tx, parts)
    seen: list[Waiting] = []
    obstacles: dict[str, Obstacle | None] = {}
    owners: set[str] = set()
    for _ in range(LOOKS_MAX):
        line = list_line(tx, Phase.PRE_MQ_ACTIVATION, without=owners)
        judged = usher.judge(line.those)
        seen += line.those
        obstacles |= judged
        if not line.is_cut or None in judged.values():
            break
        owners |= {one.owner for one in line.those}
    return Judged(seen, obstacles, line.is_cut, usher.room)


def measure_in_use(tx: Transaction, *, with_events: bool, with_others_queues: bool) -> Sequence[InUse]:
    """What is in use, by owner. `with_others_queues`: those of other workflow services, too."""
    in_use = tx.workflows.measure_use(with_events=with_events)
    if not with_others_queues:
        return in_use
    # Nothing tells for how long another service's are there: nobody has room kept while they alone are in the way.
    counts = tx.mq_groups.count_in_use(now=tx.now())
    return [*in_use, *(InUse(owner, 0.0, Use(queues=queues)) for owner, queues in counts.items())]


class Usher:
    """Judges workflows one after another in the order of the line, each with what those before it were given."""

    def __init__(self, tx: Transaction, parts: Parts) -> None:
        limits = (parts.settings.limit, parts.settings.owner_limit)
        self._tx = tx
        self._with_events = any(one.events is not None for one in limits)
        with_queues = any(one.queues is not None for one in limits)
        in_use = measure_in_use(tx, with_events=self._with_events, with_others_queues=with_queues)
        self.room = Room(limits[0], limits[1], in_use)

    def judge(self, those: Sequence[Waiting]) -> Mapping[str, Obstacle | None]:
        """Why each is not let in; None: there is room, which it takes."""
        wants = self._tx.workflows.measure_wants([one.workflow_id for one in those], with_events=self._with_events)
        return {
            one.workflow_id: self.room.let_in(
                one,
                wants.wanted.get(one.workflow_id, Use()),
                brings_events=one.workflow_id in wants.new,
                is_stranded=one.workflow_id in wants.stranded,
            )
            for one in those
        }


def require_possible(parts: Parts, wanted: Use, *, field: str) -> None:
    """Raises InvalidError: it would never have room beside any other, so that it or all others would wait without end."""
    parts_of_it: Sequence[tuple[Resource, Use]] = (
        ("queues", Use(queues=wanted.queues)),
        ("workers", Use(workers=wanted.workers)),
    )
    for is_own in (True, False):  # one limit at a time, so that its setting is known
        own_limit = parts.settings.owner_limit if is_own else Limit()
        limit = Limit() if is_own else parts.settings.limit
        for what, use in parts_of_it:
            if (reason := find_excess(use, limit, own_limit)) is not None:
                setting = name_setting(what, is_own=is_own)
                remedy = "ask for fewer, or an operator for a higher limit"
                raise InvalidError([Finding(field, f"{reason} ({setting}): {remedy}")])


def find_obstacle_to_group(
    tx: Transaction, parts: Parts, group: MqGroup, profiles: Sequence[GroupedProfile], *, priority: int
) -> Obstacle | None:
    """Why there is no room for a group of another service's, of which only the queues are known. One that is in use has its room."""
    now = tx.now()
    is_in_use = any(one.profile.stamp is not None and one.profile.stamp.expires_at > now for one in profiles)
    is_limited = any(one.queues is not None for one in (parts.settings.limit, parts.settings.owner_limit))
    if is_in_use or not is_limited:
        return None
    asking = Waiting(group.workflow_id, group.owner, priority, group.created_at)
    line = list_line(tx, Phase.PRE_MQ_ACTIVATION).those
    usher = Usher(tx, parts)
    every = order([*line, asking], now=now)
    usher.judge(every[: every.index(asking)])
    return usher.room.let_in(asking, Use(queues=len(profiles)), brings_events=False)
