"""Who notices that workers have ended? One loop that waits on the pool."""

from typing import Never

import anyio
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.pool import Pool

LOOK_S = 5.0
RETRY_S = 1.0


class PoolWatcher:
    """Passes the pool's changes on to the keeper."""

    def __init__(self, pool: Pool, keeper: TaskforceKeeper, trouble: TroubleLog) -> None:
        self._pool = pool
        self._keeper = keeper
        self._trouble = trouble

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:
                self._trouble.tell("watching the pool", error)
                await anyio.sleep(RETRY_S)

    async def run_once(self) -> None:
        """Wait for a change and pass it on."""
        self._keeper.tell_changed(await self._pool.wait_for_change(timeout_s=LOOK_S))
