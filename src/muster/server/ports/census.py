"""What is in the database, in sum? Numbers for operators, without names of anybody or anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Counted:
    """One count, in one snapshot.

    Args:
        workflows: by state.
        taskforces: by phase and location, of those that are not over.
        events: of active workflows, by who reads the queue (`tasks` or `people`) and state, as of the last fold of the counters.
        pausing: events that wait for their next attempt.
        leases: events on lease.
        sessions: that are alive, of `workers` and of `consumers`.
        held_back: notices that an open transaction keeps from being told; at most `HELD_BACK_MAX`.
    """

    workflows: Mapping[str, int]
    taskforces: Mapping[tuple[str, str], int]
    events: Mapping[tuple[str, str], int]
    pausing: int
    leases: int
    sessions: Mapping[str, int]
    held_back: int


HELD_BACK_MAX = 10_000


@dataclass(frozen=True)
class PlaceCounts:
    """How much stands at one place, and is not over.

    Args:
        waiting: taskforces for its agent to start.
        running, stopping: those with a cluster.
        held: those that are not tried any more.
        sessions: of workers, that are alive.
    """

    waiting: int = 0
    running: int = 0
    stopping: int = 0
    held: int = 0
    sessions: int = 0

    @property
    def taskforces(self) -> int:
        """All that were counted."""
        return self.waiting + self.running + self.stopping + self.held


class Census(Protocol):
    """Counts what is there. What it costs grows with what is active, not with what was; but for workflows, of which it reads an index."""

    def count(self) -> Counted: ...

    def count_places(self) -> Mapping[tuple[str, str], PlaceCounts]:
        """By location and schedd, as they were when it was ordered."""


@dataclass
class DatabaseUse:
    """What an adapter of the database keeps of its own work, for the metrics.

    Args:
        kind, revision, era: of the database.
        retries: transactions undone because of others, and tried again.
        lock_timeouts: statements given up because others held a lock for too long.
        connections: in use, by pool.
        connections_max: that there may be, by pool.
        waiting: calls that wait for a connection.
    """

    kind: str = ""
    revision: str = ""
    era: int = 0
    retries: int = 0
    lock_timeouts: int = 0
    connections: Mapping[str, int] = field(default_factory=dict)
    connections_max: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0

    def look(self) -> "DatabaseUse":
        """As it is now."""
        return self
