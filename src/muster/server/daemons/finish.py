"""Who sees that a workflow is done? Woken when a queue is closed or the last events end."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.services.finish_drained import DrainPass, finish_drained
from muster.server.services.parts import Parts

log = structlog.get_logger()

FLOOR_S = 0.05
"""Seconds between two passes: the bell rings for each event that ends."""
DRAINING_S = 0.5
"""Seconds to the next pass while some workflow is closed and has work left."""
RETRY_S = 1.0


class DrainWatcher:
    """Finishes the workflows that asked for it, once their closed inputs are drained."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        with self._parts.waking.listen("drain") as bell:
            task_status.started()
            while True:
                wait_s = self._parts.settings.net_interval_s
                try:
                    seen = await self.run_once()
                    if seen.draining:
                        wait_s = min(wait_s, DRAINING_S)
                except UnavailableError as error:  # they are still drained at the next pass
                    log.warning("look for drained workflows skipped", reason=str(error))
                    wait_s = min(wait_s, RETRY_S)
                await anyio.sleep(FLOOR_S)
                await bell.wait(wait_s)

    async def run_once(self) -> DrainPass:
        """One look at all that asked for it."""
        seen = await finish_drained(self._parts)
        if seen.finished:
            log.info("workflows finished themselves", workflows=seen.finished)
        return seen
