"""How much may be in use at once, and for whom is room kept?

Where a limit is reached, a workflow that wants little often finds room, and one that wants much does not: the little ones would go
before it for ever. So its room is kept from those that came long after it, once they alone are in its way. While those that came before
it would leave no room either, keeping any would help nobody: others go on.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate
from operator import or_

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
class Wants:
    """What workflows that wait would take.

    Args:
        wanted: the queues of one without an activated taskforce, the workers of its taskforces that are not activated yet, and the
            events that wait in queues which are not in use yet. Without those that want nothing.
        new: those that have no activated taskforce.
        stranded: those that have, and have no workers.
    """

    wanted: Mapping[str, Use]
    new: AbstractSet[str]
    stranded: AbstractSet[str]


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
class InUse:
    """What some workflows of an owner use.

    Args:
        since: when the oldest of them came, seconds since the epoch.
    """

    owner: str
    since: float
    use: Use


@dataclass(frozen=True)
class Kept:
    """Room that is kept for a workflow.

    Args:
        is_own: its owner's other workflows are in its way, so that it is kept from those alone.
    """

    waiting: Waiting
    wanted: Use
    is_own: bool


class _Pool:
    """What is in use of a limit, and by those that came up to a time."""

    def __init__(self, in_use: Iterable[InUse]) -> None:
        first = sorted(in_use, key=lambda one: one.since)
        self._times = [one.since for one in first]
        self._sums = list(accumulate((one.use for one in first), initial=Use()))
        self._more: list[InUse] = []
        self.every = self._sums[-1]

    def add(self, one: InUse) -> None:
        self._more.append(one)
        self.every += one.use

    def up_to(self, since: float) -> Use:
        """In use by those that came until then."""
        more = (one.use for one in self._more if one.since <= since)
        return sum(more, self._sums[bisect_right(self._times, since)])


class Room:
    """What is in use and what is kept, while workflows are let in one after another, the most urgent first.

    Args:
        limit: of all together.
        own_limit: of each owner.
        in_use: in any order; one owner's may come in several parts.
    """

    def __init__(self, limit: Limit, own_limit: Limit, in_use: Sequence[InUse]) -> None:
        self._limit, self._own_limit = limit, own_limit
        self._all = _Pool(in_use)
        by_owner: dict[str, list[InUse]] = {}
        for one in in_use:
            by_owner.setdefault(one.owner, []).append(one)
        self._own = {owner: _Pool(theirs) for owner, theirs in by_owner.items()}
        self._kept: list[Kept] = []

    def let_in(self, one: Waiting, wanted: Use, *, brings_events: bool = True, is_stranded: bool = False) -> str | None:
        """Let a workflow in, or keep room for it.

        Args:
            wanted: what it takes on top of what is in use. Its events count once it is in; they keep nobody out before that.
            brings_events: is it new, so that it waits where there are too many events?
            is_stranded: it is in, and has no workers. Where others wait for what it has, it must not wait for what is kept for them.

        Returns:
            Why there is no room, as half a sentence; None: it is let in, and counts.
        """
        came_first = [] if is_stranded else self._kept
        in_its_way = [kept for kept in came_first if one.since > kept.waiting.since + OVERTAKEN_S]
        kept_of_own = [kept.wanted for kept in in_its_way if kept.waiting.owner == one.owner]
        kept_of_all = [kept.wanted for kept in in_its_way if not kept.is_own]
        own_limit, limit = (
            one if brings_events else replace(one, events=None) for one in (self._own_limit, self._limit)
        )
        own = self._own.setdefault(one.owner, _Pool(()))
        obstacle = _find_obstacle(wanted, own.every, _most(kept_of_own), own_limit, "of one owner")
        is_own = obstacle is not None
        obstacle = obstacle or _find_obstacle(wanted, self._all.every, _most(kept_of_all), limit, "in all")
        if obstacle is None:
            taken = InUse(one.owner, one.since, wanted)
            own.add(taken)
            self._all.add(taken)
            return None
        of_earlier = (own if is_own else self._all).up_to(one.since + OVERTAKEN_S)
        if _find_obstacle(wanted, of_earlier, Use(), own_limit if is_own else limit, "") is None:
            self._kept.append(Kept(one, wanted, is_own))
        return obstacle


def find_excess(wanted: Use, limit: Limit, own_limit: Limit) -> str | None:
    """Why a workflow can never have room beside any other, as half a sentence; None: it can. Events come after it, and do not count."""
    for most, whose in ((own_limit, "one owner may have"), (limit, "there may be")):
        for name in ("queues", "workers"):
            wants, may = getattr(wanted, name), getattr(most, name)
            if may is not None and wants > may:
                return f"{wants} {name} are more than the {may} that {whose} at once"
    return None


def _most(several: Iterable[Use]) -> Use:
    """As much as each of them fits into: they are let in one after another."""
    return reduce(or_, several, Use())


def _find_obstacle(wanted: Use, used: Use, kept: Use, limit: Limit, whose: str) -> str | None:
    if limit.events is not None and used.events >= limit.events:
        return f"{used.events} events {whose} are in use, of {limit.events} that may be"
    for name in ("queues", "workers"):
        in_use, keeps, wants, may = (getattr(one, name) for one in (used, kept, wanted, limit))
        # What wants more than may be is let in when nothing else is in use: refusing it for ever would help nobody.
        if may is not None and wants and (in_use or keeps) and in_use + keeps + wants > may:
            kept_too = f", {keeps} are kept for one that has waited longer," if keeps else ""
            return f"{in_use} {name} {whose} are in use{kept_too} and {wants} more are wanted, of {may} that may be"
    return None
