"""Who sees that a workflow is done? Woken when a queue is closed or the last events end."""

import structlog

from muster.server.services.finish_drained import finish_drained
from muster.server.services.parts import Parts

log = structlog.get_logger()

FLOOR_S = 0.05
"""Seconds between two passes: the bell rings for each event that ends."""
DRAINING_S = 0.5
"""Seconds to the next pass while some workflow is closed and has work left."""


async def finish_those_drained(parts: Parts) -> float | None:
    """One look at all that asked to finish themselves; returns seconds to the next, if it should be soon."""
    seen = await finish_drained(parts)
    if seen.finished:
        log.info("workflows finished themselves", workflows=seen.finished)
    return DRAINING_S if seen.draining else None
