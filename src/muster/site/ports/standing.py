"""How does an agent stand? What it writes down of itself now and then, for `muster site status` and for people's own watching."""

from typing import Protocol

import msgspec


class Trouble(msgspec.Struct, frozen=True):
    """Something that did not work and is tried again. `times`: since it first came. Times are seconds since the epoch."""

    doing: str
    error: str
    first_at: float
    last_at: float
    times: int


class TaskforceStanding(msgspec.Struct, frozen=True):
    """A taskforce in hand.

    Args:
        stage: of the journal.
        cluster: None until it is known.
        workers: how many are in which state, as last reported; empty: not known.
    """

    taskforce_uuid: str
    stage: str
    cluster: int | None
    n_workers: int
    workers: dict[str, int] = {}


class Standing(msgspec.Struct, frozen=True):
    """An agent at a moment. Times are seconds since the epoch; None: it has not come to it yet.

    Args:
        claimed_at: when the service last answered a claim, also one without orders.
        reported_at: when the service last took a report, or there was nothing new to report.
    """

    agent: str
    version: str
    pid: int
    pool: str
    url: str
    locations: list[str]
    started_at: float
    written_at: float
    claimed_at: float | None
    reported_at: float | None
    troubles: list[Trouble]
    taskforces: list[TaskforceStanding]


class StandingFile(Protocol):
    """Where it is written down."""

    async def write(self, standing: Standing) -> None:
        """In place of what was there, whole or not at all. Raises UnavailableError when the disk refuses."""
