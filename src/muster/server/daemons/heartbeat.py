"""Who tells the database that this service runs?"""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.ports.store import Store

log = structlog.get_logger()

INTERVAL_S = 3.0


class Heartbeat:
    """Renews the service's place among the replicas.

    A place that was lost (the process slept longer than the place lasts, and another service took its number) is an error
    that nobody catches: the process ends, since its event numbers are no longer its own.
    """

    def __init__(self, store: Store, *, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        self._interval_s = interval_s

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:  # the place lasts for several beats
                log.warning("heartbeat skipped", reason=str(error))
            await anyio.sleep(self._interval_s)

    async def run_once(self) -> None:
        await self._store.heartbeat()
