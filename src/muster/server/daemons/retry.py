"""Who sends events back to their queues when the pause after a failed attempt is over? Woken by failures, then by the next one due."""

from muster.server.ports.queue_engine import QueueEngine

EVENTS_MAX = 2000
"""Events that one transaction moves."""
FLOOR_S = 0.1
"""Seconds between two passes: the bell rings for each call that hands in a failure."""


async def requeue_due(engine: QueueEngine) -> float | None:
    """One pass; returns seconds to the next, if an event waits for it."""
    return (await engine.requeue_due(limit=EVENTS_MAX)).next_s
