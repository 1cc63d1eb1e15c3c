"""Who notices that a worker has vanished? Sessions past their time end, and what they held goes back.

A session lives on for one full lease length after a start (`Store.begin_service`), so a restart of the service costs no attempt.
"""

import structlog

from muster.server.daemons.rhythm import in_batches
from muster.server.ports.queue_engine import QueueEngine
from muster.server.ports.waking import Waking
from muster.worker.crash_points import reach

log = structlog.get_logger()

SESSIONS_MAX = 200
"""Sessions that one transaction ends."""


async def reap_sessions(engine: QueueEngine, waking: Waking) -> int:
    """One pass; returns how many sessions ended."""

    async def reap() -> int:
        reaped = await engine.reap(limit=SESSIONS_MAX)
        reach("server.reap.committed")
        for number in sorted(reaped.queues):
            waking.wake(f"queue:{number}")
        if reaped.dead:
            waking.wake("drain")  # a dead letter may have been the last thing in work
        if reaped.holders:
            log.info("sessions expired", sessions=reaped.holders, requeued=reaped.requeued, dead=reaped.dead)
        return reaped.holders

    return await in_batches(reap, size=SESSIONS_MAX)
