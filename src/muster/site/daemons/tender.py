"""Who sees to what a pool has to do by itself? One loop, beside the one that waits for changes: what it asks may take long to answer."""

from typing import Never

import anyio
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.pool import Pool

INTERVAL_S = 0.5
RETRY_S = 2.0


class PoolTender:
    """Has the pool do what is due."""

    def __init__(self, pool: Pool, trouble: TroubleLog) -> None:
        self._pool = pool
        self._trouble = trouble

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self._pool.tend()
            except UnavailableError as error:  # the next call finds the same to do
                self._trouble.tell("tending the pool", error)
                await anyio.sleep(RETRY_S)
            await anyio.sleep(INTERVAL_S)
