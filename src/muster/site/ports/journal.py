"""What must the agent remember across a crash? One record a taskforce, durable before anything is done on its strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from muster.client.shapes.sites import StartOrder


class Stage(StrEnum):
    """How far a taskforce has come on this side."""

    INTENDED = "intended"  # to be placed; it may be already: ask the pool
    SUBMITTED = "submitted"  # placed; the service may not know
    CONFIRMED = "confirmed"  # placed, and the service knows
    STOPPING = "stopping"  # to be removed; it may be gone already: ask the pool
    ENDED = "ended"  # no worker is left; the service may not know


NEXT: Mapping[Stage, frozenset[Stage]] = {
    Stage.INTENDED: frozenset({Stage.INTENDED, Stage.SUBMITTED, Stage.STOPPING}),
    Stage.SUBMITTED: frozenset({Stage.SUBMITTED, Stage.CONFIRMED, Stage.STOPPING}),
    Stage.CONFIRMED: frozenset({Stage.SUBMITTED, Stage.CONFIRMED, Stage.STOPPING, Stage.ENDED}),
    Stage.STOPPING: frozenset({Stage.STOPPING, Stage.ENDED, Stage.CONFIRMED}),
    Stage.ENDED: frozenset({Stage.ENDED}),
}
"""Which stage may follow which. Back to CONFIRMED: the pool refused a removal. Any record may be deleted."""


@dataclass(frozen=True)
class Record:
    """One taskforce.

    Args:
        fence: of the newest claim; every report to the service carries it.
        order: what to place, with the enrolment secret; kept until the cluster exists, and no longer.
        cluster: None until it is known.
        grace_s: with STOPPING: how long workers may finish what they have in hand.
        ended_at: with ENDED: when the last worker ended, seconds since the epoch.
    """

    taskforce_uuid: str
    stage: Stage
    fence: int
    n_workers: int = 0
    order: StartOrder | None = field(default=None, repr=False)
    cluster: int | None = None
    grace_s: float = 0.0
    ended_at: float | None = None


@dataclass(frozen=True)
class Remembered:
    """Everything in the journal. `damaged`: where unreadable records were moved to, for a person to look at."""

    records: Sequence[Record]
    damaged: Sequence[str] = ()


class Journal(Protocol):
    """The agent's memory. Every method raises UnavailableError when the disk refuses; then the old record stands."""

    async def put(self, record: Record) -> None:
        """Store a taskforce's record in place of its old one. Durable on return; a crash leaves the old one or the new one."""

    async def delete(self, taskforce_uuid: str) -> None:
        """Forget a taskforce; durable on return. One that is not there is no error."""

    async def read(self) -> Remembered:
        """Every record, by uuid. A damaged one is moved aside and reported, and stops nobody else's."""
