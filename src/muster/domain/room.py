"""How much may be in use at once, and for whom is room kept?

Where a limit is reached, a workflow that wants little often finds room, and one that wants much does not: the little ones would go
before it for ever. So they may for a while, and from then on its room is kept: whoever comes later waits until it has been let in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from muster.domain.admission import Waiting

OVERTAKEN_S = 600.0
"""Those that come up to so many seconds after a workflow that finds no room may still go before it."""


@dataclass(frozen=True)
class Use:
    """What workflows take: queues, workers asked for, and events that are waiting or in work."""

    queues: int = 0
    workers: int = 0
    events: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.queues + other.queues, self.workers + other.workers, self.events + other.events)

    def __or__(self, other: "Use") -> "Use":
        """The more of each."""
        return Use(max(self.queues, other.queues), max(self.workers, other.workers), max(self.events, other.events))


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
class Kept:
    """Room that is kept for a workflow.

    Args:
        is_own: its owner's other workflows are in its way, so that it is kept from those alone.
    """

    waiting: Waiting
    wanted: Use
    is_own: bool


@dataclass
class Room:
    """What is in use and what is kept, while workflows are let in one after another, the most urgent first.

    Args:
        limit: of all together.
        own_limit: of each owner.
        used: what is in use, by owner.
        kept: for those that were before.
    """

    limit: Limit
    own_limit: Limit
    used: Mapping[str, Use]
    kept: tuple[Kept, ...] = ()
    _own: dict[str, Use] = field(init=False)
    _every: Use = field(init=False)

    def __post_init__(self) -> None:
        self._own = dict(self.used)
        self._every = sum(self._own.values(), Use())

    def let_in(self, one: Waiting, wanted: Use, *, brings_events: bool) -> str | None:
        """Let a workflow in, or keep room for it.

        Args:
            wanted: what it takes on top of what is in use.
            brings_events: are events to come with it, so that it waits where there are too many?

        Returns:
            Why there is no room, as half a sentence; None: it is let in, and counts.
        """
        own = self._own.get(one.owner, Use())
        in_its_way = [kept for kept in self.kept if one.since > kept.waiting.since + OVERTAKEN_S]
        kept_of_own = [kept.wanted for kept in in_its_way if kept.waiting.owner == one.owner]
        kept_of_all = [kept.wanted for kept in in_its_way if not kept.is_own]
        own_limit, limit = (one if brings_events else replace(one, events=None) for one in (self.own_limit, self.limit))
        own_obstacle = _find_obstacle(wanted, own, _most(kept_of_own), own_limit, "of one owner")
        obstacle = own_obstacle or _find_obstacle(wanted, self._every, _most(kept_of_all), limit, "in all")
        if obstacle is None:
            self._own[one.owner] = own + wanted
            self._every += wanted
        else:
            self.kept = (*self.kept, Kept(one, wanted, is_own=own_obstacle is not None))
        return obstacle


def _most(several: list[Use]) -> Use:
    """As much as each of them fits into: they are let in one after another."""
    most = Use()
    for one in several:
        most |= one
    return most


def _find_obstacle(wanted: Use, used: Use, kept: Use, limit: Limit, whose: str) -> str | None:
    for name in (one.name for one in fields(Use)):
        in_use, keeps, wants, may = (getattr(one, name) for one in (used, kept, wanted, limit))
        takes_any = wants or name == "events"  # a new workflow has none yet
        # What wants more than may be is let in when nothing else is in use: refusing it for ever would help nobody.
        if may is not None and takes_any and (in_use or keeps) and in_use + keeps + wants > may:
            kept_too = f", {keeps} are kept for one that has waited longer," if keeps else ""
            return f"{in_use} {name} {whose} are in use{kept_too} and {wants} more are wanted, of {may} that may be"
    return None
