"""Whose turn is it? Which workflows are let in first, where there is room for them (`domain.room`).

A workflow's urgency is its priority, which grows while it waits and shrinks with each other of its owner's that goes before it. So
priority is honoured, nobody is passed over for ever, and one owner's thousand workflows do not stand before another's one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

AGE_S = 36.0
"""Seconds of waiting that count as one step of priority: an hour as much as the whole scale of 100."""
TURN = 5.0
"""Steps of priority that each workflow which goes before it costs the next one of the same owner."""


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
