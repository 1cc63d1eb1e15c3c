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
from typing import Literal, TypeAlias

from muster.domain.admission import Waiting

OVERTAKEN_S = 600.0
"""Those that come up to so many seconds after a workflow that finds no room may still go before it."""


Resource: TypeAlias = Literal["queues", "workers", "events"]
"""Of what there may be too little."""
_COUNTED: tuple[Resource, ...] = ("queues", "workers")
"""What a workflow wants a certain number of; events come after it."""


@dataclass(frozen=True)
class Use:
    """What workflows take: queues, workers asked for, and events that are waiting or in work."""

    queues: int = 0
    workers: int = 0
    events: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.queues + other.queues, self.workers + other.workers, self.events + other.events)

    def of(self, what: Resource) -> int:
        """How much of one of them."""
        return int(getattr(self, what))

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

    def of(self, what: Resource) -> int | None:
        """Of one of them."""
        limit: int | None = getattr(self, what)
        return limit


@dataclass(frozen=True)
class Obstacle:
    """Why there is no room for a workflow.

    Args:
        text: half a sentence.
        what: of which there is too little; None: none was looked for, since others go first.
        is_own: it is the limit of its owner, not that of all.
        wants: how much more is wanted; of events, which come after a workflow, any.
        may: how much may be in use at once.
    """

    text: str
    what: Resource | None = None
    is_own: bool = False
    wants: int = 0
    may: int = 0

    def is_lasting(self, kept: int) -> bool:
        """Is there no room for as long as so much of it is kept, whatever else ends?"""
        return kept > 0 and kept + self.wants > self.may


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

    def by_owner(self, what: Resource) -> Mapping[str, int]:
        """How much of it is in use, also by those that were let in just now; without owners that use none."""
        used = {owner: pool.every.of(what) for owner, pool in self._own.items()}
        return {owner: amount for owner, amount in used.items() if amount}

    def let_in(
        self, one: Waiting, wanted: Use, *, brings_events: bool = True, is_stranded: bool = False
    ) -> Obstacle | None:
        """Let a workflow in, or keep room for it.

        Args:
            wanted: what it takes on top of what is in use. Its events count once it is in; they keep nobody out before that.
            brings_events: is it new, so that it waits where there are too many events?
            is_stranded: it is in, and has no workers. Where others wait for what it has, it must not wait for what is kept for them.

        Returns:
            Why there is no room; None: it is let in, and counts.
        """
        came_first = [] if is_stranded else self._kept
        in_its_way = [kept for kept in came_first if one.since > kept.waiting.since + OVERTAKEN_S]
        kept_of_own = [kept.wanted for kept in in_its_way if kept.waiting.owner == one.owner]
        kept_of_all = [kept.wanted for kept in in_its_way if not kept.is_own]
        own_limit, limit = (
            one if brings_events else replace(one, events=None) for one in (self._own_limit, self._limit)
        )
        own = self._own.setdefault(one.owner, _Pool(()))
        obstacle = _find_obstacle(wanted, own.every, _most(kept_of_own), own_limit, is_own=True)
        is_own = obstacle is not None
        obstacle = obstacle or _find_obstacle(wanted, self._all.every, _most(kept_of_all), limit, is_own=False)
        if obstacle is None:
            taken = InUse(one.owner, one.since, wanted)
            own.add(taken)
            self._all.add(taken)
            return None
        of_earlier = (own if is_own else self._all).up_to(one.since + OVERTAKEN_S)
        if _find_obstacle(wanted, of_earlier, Use(), own_limit if is_own else limit, is_own=is_own) is None:
            self._kept.append(Kept(one, wanted, is_own))
        return obstacle


def find_excess(wanted: Use, limit: Limit, own_limit: Limit) -> str | None:
    """Why a workflow can never have room beside any other, as half a sentence; None: it can. Events come after it, and do not count."""
    for most, whose in ((own_limit, "one owner may have"), (limit, "there may be")):
        for what in _COUNTED:
            wants, may = wanted.of(what), most.of(what)
            if may is not None and wants > may:
                return f"{wants} {what} are more than the {may} that {whose} at once"
    return None


def _most(several: Iterable[Use]) -> Use:
    """As much as each of them fits into: they are let in one after another."""
    return reduce(or_, several, Use())


def name_setting(what: Resource, *, is_own: bool) -> str:
    """By which variable a limit is set."""
    return f"MUSTER_{what.upper()}_MAX{'_PER_OWNER' if is_own else ''}"


def _find_obstacle(wanted: Use, used: Use, kept: Use, limit: Limit, *, is_own: bool) -> Obstacle | None:
    whose = "of one owner" if is_own else "in all"
    if limit.events is not None and used.events >= limit.events:
        may_be = _render_limit("events", limit.events, is_own=is_own)
        text = f"{used.events} events {whose} are in use, {may_be}"
        return Obstacle(text, "events", is_own=is_own, wants=1, may=limit.events)
    for what in _COUNTED:
        in_use, keeps, wants, may = used.of(what), kept.of(what), wanted.of(what), limit.of(what)
        # What wants more than may be is let in when nothing else is in use: refusing it for ever would help nobody.
        if may is not None and wants and (in_use or keeps) and in_use + keeps + wants > may:
            kept_too = f", {keeps} are kept for one that has waited longer," if keeps else ""
            may_be = _render_limit(what, may, is_own=is_own)
            text = f"{in_use} {what} {whose} are in use{kept_too} and {wants} more are wanted, {may_be}"
            return Obstacle(text, what, is_own=is_own, wants=wants, may=may)
    return None


def _render_limit(what: Resource, limit: int, *, is_own: bool) -> str:
    return f"of {limit} that may be ({name_setting(what, is_own=is_own)})"
