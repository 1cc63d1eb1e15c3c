"""Whose turn is it, and is there room? Which workflows are let in first, and how much may be in use at once.

A workflow's urgency is its priority, which grows while it waits and shrinks with each other of its owner's that goes before it. So
priority is honoured, nobody is passed over for ever, and one owner's thousand workflows do not stand before another's one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from heapq import heapify, heappop, heapreplace

AGE_S = 36.0
"""Seconds of waiting that count as one step of priority: an hour as much as the whole scale of 100."""
TURN = 5.0
"""Steps of priority that each workflow which goes before it costs the next one of the same owner."""


@dataclass(frozen=True)
class Use:
    """What workflows take: queues, workers asked for, and events that are waiting or in work."""

    queues: int = 0
    workers: int = 0
    events: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.queues + other.queues, self.workers + other.workers, self.events + other.events)


@dataclass(frozen=True)
class Limit:
    """How much may be in use at once; None: any number."""

    queues: int | None = None
    workers: int | None = None
    events: int | None = None

    @property
    def is_none(self) -> bool:
        """Does it hold nothing back?"""
        return self == Limit()


@dataclass(frozen=True)
class Waiting:
    """A workflow that waits to be let in.

    Args:
        priority: 1 to 100, or more for workers that were added.
        since: seconds since the epoch.
    """

    workflow_id: str
    owner: str
    priority: int
    since: float


def order(waiting: Iterable[Waiting], *, now: float) -> Sequence[Waiting]:
    """All of them, the most urgent first.

    Args:
        now: seconds since the epoch.
    """
    owners: dict[str, list[Waiting]] = {}
    for one in waiting:
        owners.setdefault(one.owner, []).append(one)
    heads = []
    for owner, own in owners.items():
        own.sort(key=lambda one: _place(one, now, turn=0), reverse=True)  # the most urgent at the end, to be popped
        heads.append((_place(own[-1], now, turn=0), owner, 0))
    heapify(heads)
    ordered: list[Waiting] = []
    while heads:
        _, owner, turn = heads[0]
        ordered.append(owners[owner].pop())
        if owners[owner]:
            heapreplace(heads, (_place(owners[owner][-1], now, turn=turn + 1), owner, turn + 1))
        else:
            heappop(heads)
    return ordered


def _place(one: Waiting, now: float, *, turn: int) -> tuple[float, float, str]:
    """Smaller is more urgent; among equals the older one, then any fixed order."""
    urgency = one.priority + max(0.0, now - one.since) / AGE_S - TURN * turn
    return -urgency, one.since, one.workflow_id


def find_obstacle(wanted: Use, *, own: Use, every: Use, own_limit: Limit, limit: Limit) -> str | None:
    """Why there is no room, as half a sentence; None: there is.

    Args:
        wanted: what would come on top.
        own: what the owner's workflows use.
        every: what all workflows use.
    """
    for used, most, whose in ((own, own_limit, "of one owner"), (every, limit, "in all")):
        for field in fields(Use):
            in_use, wants, may = getattr(used, field.name), getattr(wanted, field.name), getattr(most, field.name)
            if may is not None and in_use + wants > may and in_use:
                return f"{in_use} {field.name} {whose} are in use and {wants} more are wanted, of {may} that may be"
    return None
