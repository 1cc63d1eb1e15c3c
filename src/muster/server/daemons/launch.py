"""Who lets taskforces through to the sites? Launch control, woken by the commit that activated them."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.services.launch_taskforces import BATCH_MAX, launch_taskforces
from muster.server.services.parts import Parts

log = structlog.get_logger()

ROUNDS_MAX = 100
RETRY_S = 1.0


class LaunchControl:
    """Launches taskforces whenever the bell `launch` rings, and now and then in case it was missed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        with self._parts.waking.listen("launch") as bell:
            task_status.started()
            while True:
                wait_s = self._parts.settings.net_interval_s
                try:
                    await self.run_once()
                except UnavailableError as error:  # they still wait at the next pass
                    log.warning("launch skipped", reason=str(error))
                    wait_s = min(wait_s, RETRY_S)
                await bell.wait(wait_s)

    async def run_once(self) -> int:
        """Returns how many taskforces moved."""
        moved = 0
        for _ in range(ROUNDS_MAX):
            batch = await launch_taskforces(self._parts)
            moved += batch
            if batch < BATCH_MAX:
                break
        return moved
