"""Who notices that a worker has vanished? Sessions past their time end, and what they held goes back."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.ports.queue_engine import QueueEngine
from muster.server.ports.waking import Waking
from muster.worker.crash_points import reach

log = structlog.get_logger()

SESSIONS_MAX = 200
"""Sessions that one transaction ends."""
ROUNDS_MAX = 50


class LeaseReaper:
    """Ends sessions whose time is over.

    A session lives on for one full lease length after a start (`Store.begin_service`), so a restart of the service costs no
    attempt.
    """

    def __init__(self, engine: QueueEngine, waking: Waking, *, interval_s: float) -> None:
        self._engine = engine
        self._waking = waking
        self._interval_s = interval_s

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:  # the next pass finds the same sessions
                log.warning("lease pass skipped", reason=str(error))
            await anyio.sleep(self._interval_s)

    async def run_once(self) -> int:
        """Returns how many sessions ended."""
        ended = 0
        for _ in range(ROUNDS_MAX):
            reaped = await self._engine.reap(limit=SESSIONS_MAX)
            reach("server.reap.committed")
            ended += reaped.holders
            for number in sorted(reaped.queues):
                self._waking.wake(f"queue:{number}")
            if reaped.dead:
                self._waking.wake("drain")  # a dead letter may have been the last thing in work
            if reaped.holders:
                log.info("sessions expired", sessions=reaped.holders, requeued=reaped.requeued, dead=reaped.dead)
            if reaped.holders < SESSIONS_MAX:
                break
        return ended
