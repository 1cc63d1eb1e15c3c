"""What may a use case be handed? The agent's ports and values, wired by the composition root."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from muster.site.ports.journal import Journal
from muster.site.ports.pool import Pool
from muster.site.ports.service import Service


@dataclass(frozen=True)
class Parts:
    """The agent's ports and values. `agent`: its lasting name. `now`: seconds since the epoch."""

    pool: Pool
    journal: Journal
    service: Service
    agent: str
    workers_max: int
    now: Callable[[], float] = time.time
