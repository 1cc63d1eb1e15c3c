"""How does what need not be kept leave the store? In small steps, each of them a transaction of its own.

A method with a `manner` can be made to say only what it would remove. It works through a batch behind a place and says where to go
on. What is removed still counts: `Queues.recount` knows of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from muster.domain.retention import Kept

After: TypeAlias = tuple[int, int]
START: After = (0, 0)


@dataclass(frozen=True)
class Due:
    """A workflow that has ended. `number`: its place among those of `Retention.find_due`."""

    number: int
    workflow_id: str
    ended_at: float


@dataclass(frozen=True)
class Standing:
    """What a workflow still has.

    Args:
        events: how many events of it are kept.
        unread: results that wait in a queue from which people consume. Those in any other, and those of tasks without an output queue, have
            nobody who would take them, so nobody is waited for: who wants them looks at the events.
        has_clusters: there are workers of it that are not known to be gone, at a site of which something was heard in `GONE_S`.
        has_orders: workers were ordered, and no site has said whether it started them.
        has_sessions: a worker, or a person who consumes, holds a session on it.
    """

    events: int
    unread: int
    has_clusters: bool
    has_orders: bool
    has_sessions: bool


@dataclass(frozen=True)
class Walk:
    """How far a rule has come with the events that are done.

    Args:
        settled: up to this event number everything is dealt with that had ended when it was looked at.
        whole_at: when a round began that has gone through all since, the latest one; seconds since the epoch, 0 where none has.
    """

    settled: int
    whole_at: float


@dataclass(frozen=True)
class Way:
    """How far a look at all has come that is not at its end.

    Args:
        number: everything up to this number has been looked at.
        began_at: by the database's clock; what came to its end later may have been missed.
    """

    number: int
    began_at: float


@dataclass(frozen=True)
class Manner:
    """How a batch of single rows is removed.

    Args:
        is_dry: nothing is removed, only counted.
        due_before: what belongs to workflows that ended before that time is left: it goes with them, or is kept back with them.
        whole_before: events that were done before that time go whole, so that nothing else is counted of them.
    """

    is_dry: bool = False
    due_before: float | None = None
    whole_before: float | None = None


@dataclass(frozen=True)
class Swept:
    """What a batch removed.

    Args:
        after: where to go on; None where there is nothing more.
        settled: as `Walk.settled`; None where that is not known to be further.
    """

    after: After | None
    removed: Mapping[Kept, int] = field(default_factory=dict)
    settled: int | None = None


class Rounds(Protocol):
    """Who goes round, and how far each rule has come."""

    def take_round(self, keeper: str, *, for_s: float) -> bool:
        """Be the one who goes round, for so many seconds or half of them at least. False: another one is."""

    def end_round(self, keeper: str) -> None:
        """Let others go round."""

    def find_walk(self, kept: Kept) -> Walk | None: ...

    def note_settled(self, kept: Kept, number: int) -> None:
        """So far everything is dealt with; what was noted before may be further."""

    def note_whole(self, kept: Kept, *, began_at: float) -> None:
        """A round that began then has gone through all; one that was noted before may have begun later."""

    def find_way(self, name: str) -> Way | None:
        """Where the look at all of that name was left."""

    def note_way(self, name: str, way: Way) -> None:
        """So far it has come, whatever was noted before."""

    def forget_way(self, name: str) -> None:
        """It is at its end; nothing happens where none was noted."""


class Removed(Protocol):
    """What removed workflows left."""

    def sweep_places(self, *, limit: int) -> Swept:
        """Remove keys, attempts and states of events of queues that were removed."""

    def drop_partition(self, after: After) -> Swept:
        """Drop, on PostgreSQL, the next partition of a past time if it has no row but of removed queues. One that somebody uses at the
        moment, or that takes long to look through, is left. The transaction must do nothing else.
        """

    def sweep_events(self, after: After, *, upto: float, limit: int) -> Swept:
        """Remove the events of queues that were removed until `upto`."""

    def sweep_sessions(self, after: After, *, upto: float, limit: int) -> Swept:
        """Remove the sessions of workflows that were removed until `upto`."""

    def end_sweep(self, *, upto: float) -> None:
        """All that belonged to queues removed until `upto` is gone: forget them too."""


class Retention(Protocol):
    """Removing what is not kept any longer."""

    def find_due(self, before: float, *, after: int, limit: int) -> Sequence[Due]:
        """Workflows that ended before that time, those behind the number `after`, by number."""

    def look_at(self, workflow_id: str) -> Standing: ...

    def remove_workflow(self, workflow_id: str) -> None:
        """Take a workflow away with all its parts. The rows of its queues go by `Removed`; nobody finds them any more."""

    def sweep_done(self, kept: Kept, after: After, cut: float, *, limit: int, manner: Manner) -> Swept:
        """Remove events that were done before that time, or only their bodies or their failed attempts. A place is an event number, and 1
        where the walk has passed one whose time is still to come.
        """

    def sweep_dead_letters(self, after: After, cut: float, *, limit: int, manner: Manner) -> Swept:
        """Remove those that died before that time."""

    def sweep_notices(self, after: After, cut: float, *, limit: int, manner: Manner) -> Swept:
        """Remove the oldest notices, those from before that time."""

    def remove_all(self) -> int:
        """Remove every workflow, event, session, notice and answer at once; returns how many workflows there were. For tests alone: it
        waits for everybody, and everybody for it.
        """
