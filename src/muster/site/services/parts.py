"""What may a use case be handed? The agent's ports and values, wired by the composition root."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from muster.site.ports.journal import Journal
from muster.site.ports.pool import Pool
from muster.site.ports.service import Service


@dataclass(frozen=True)
class Parts:
    """The agent's ports and values.

    Args:
        agent: its lasting name.
        workers_max: of one taskforce.
        has_containers: can the pool's workers run images?
        now: seconds since the epoch.
    """

    pool: Pool
    journal: Journal
    service: Service
    agent: str
    workers_max: int
    has_containers: bool = False
    now: Callable[[], float] = time.time
