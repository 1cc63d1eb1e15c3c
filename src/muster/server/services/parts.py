"""What may a use case be handed? The server's ports and values, wired by the composition root."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from muster.domain.location import Location
from muster.domain.queue_token import Broker
from muster.domain.room import Obstacle, Resource
from muster.domain.standing import Standings
from muster.server.ports.census import DatabaseUse
from muster.server.ports.files import FileStore
from muster.server.ports.identity import Identity
from muster.server.ports.mq import QueueKeys
from muster.server.ports.queue_engine import QueueEngine
from muster.server.ports.store import Store
from muster.server.ports.waking import Waking
from muster.server.services.horizon_age import HorizonAge
from muster.server.services.host_book import HostBook
from muster.server.services.key_book import KeyBook
from muster.server.services.live_tails import LiveTails
from muster.server.services.lookout import Lookouts
from muster.server.services.measures import Measures
from muster.server.services.note_asking import Noted
from muster.server.services.worker_desk import WorkerDesk
from muster.settings.parts import ServerSettings

QUERY_THREADS = 2
"""Threads that judge what queries find, for all queries of this process: more of them would only take time from other calls."""


def random_hex(digits: int) -> str:
    """Lower-case hex digits that nobody can guess."""
    return secrets.token_hex((digits + 1) // 2)[:digits]


@dataclass
class Stopping:
    """Is the service asked to stop? Parked calls look at it, and are woken by the topic `stopping`."""

    asked: bool = False


@dataclass
class Tally:
    """What this service has done by itself since it started; shown among its metrics.

    Args:
        activated: workflows let in.
        launched: taskforces let through to their sites.
    """

    activated: int = 0
    launched: int = 0


@dataclass
class Refused:
    """Which workflows found no room when this service looked last, and why: those who watch need not look again.

    Args:
        standing: who keeps some of that for which they were refused, and stands still.
        standing_at: when that was looked for, seconds since the epoch.
    """

    obstacles: Mapping[str, Obstacle] = field(default_factory=dict)
    standing: Mapping[Resource, Standings] = field(default_factory=dict)
    standing_at: float = 0.0


@dataclass
class SeenHosts:
    """How execution points do. `looked_at`: when this service learnt last what the others have seen, by the database's clock."""

    book: HostBook = field(default_factory=HostBook)
    looked_at: float = 0.0


@dataclass(frozen=True)
class Parts:
    """The server's ports and values."""

    settings: ServerSettings
    store: Store
    engine: QueueEngine
    waking: Waking
    identity: Identity
    locations: Mapping[str, Location]
    worker_key: bytes
    """Signs enrolment secrets and workers' tokens; the same for every replica (`Store.get_secret`)."""
    version: str
    broker: Broker | None = None
    """The broker that people's programs use."""
    queue_keys: QueueKeys | None = None
    """Sign the tokens for it."""
    files: FileStore | None = None
    """Keeps bodies that are too large for a message."""
    random: Callable[[int], str] = random_hex
    stopping: Stopping = field(default_factory=Stopping)
    tally: Tally = field(default_factory=Tally)
    refused: Refused = field(default_factory=Refused)
    measures: Measures = field(default_factory=Measures)
    use: DatabaseUse = field(default_factory=DatabaseUse)
    """What the database's adapter says of its own work."""
    key_book: KeyBook = field(default_factory=KeyBook)
    """What this process knows of the keys that verify queue tokens."""
    desk: WorkerDesk = field(default_factory=WorkerDesk)
    """What this process remembers of workers and parked calls."""
    hosts: SeenHosts = field(default_factory=SeenHosts)
    """What this process remembers of execution points."""
    query_turns: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(QUERY_THREADS))
    """Threads that judge what queries find."""
    noted: Noted = field(default_factory=Noted)
    """Which agents this process has written down lately."""
    lookouts: Lookouts[Any] = field(default_factory=Lookouts)
    """The workflows that somebody follows in this process, by id."""
    live_tails: LiveTails = field(default_factory=LiveTails)
    """What tasks print that somebody looks at through this process."""
    horizon: HorizonAge = field(default_factory=HorizonAge)
    """For how long notices have been held back."""
