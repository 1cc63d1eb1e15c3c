"""Who takes new taskforces to launch control? Woken by the commit that made them."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.services.activate_workflows import BATCH_MAX, activate_workflows
from muster.server.services.parts import Parts

log = structlog.get_logger()

ROUNDS_MAX = 100
RETRY_S = 1.0


class WorkflowActivator:
    """Activates workflows whenever the bell `activate` rings, and now and then in case it was missed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        with self._parts.waking.listen("activate") as bell:
            task_status.started()
            while True:
                wait_s = self._parts.settings.net_interval_s
                try:
                    await self.run_once()
                except UnavailableError as error:  # they still wait at the next pass
                    log.warning("activation skipped", reason=str(error))
                    wait_s = min(wait_s, RETRY_S)
                await bell.wait(wait_s)

    async def run_once(self) -> int:
        """Returns how many taskforces moved."""
        moved = 0
        for _ in range(ROUNDS_MAX):
            batch = await activate_workflows(self._parts)
            moved += batch
            if batch < BATCH_MAX:
                break
        return moved
