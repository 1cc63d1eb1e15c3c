"""Who finds workers that nobody remembers? A slow look at the pool, at the start and then now and again."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import MusterError
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.trouble import TroubleLog
from muster.site.services.parts import Parts
from muster.site.services.reconcile import adopt_orphans

log = structlog.get_logger("muster.site")

INTERVAL_S = 60.0


class Reconciler:
    """Takes up clusters without a record."""

    def __init__(self, parts: Parts, keeper: TaskforceKeeper, trouble: TroubleLog) -> None:
        self._parts = parts
        self._keeper = keeper
        self._trouble = trouble

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except MusterError as error:
                self._trouble.tell("looking for clusters that nobody remembers", error)
            await anyio.sleep(INTERVAL_S)

    async def run_once(self) -> None:
        """One look."""
        for record in await adopt_orphans(self._parts, self._keeper):
            log.warning("took up a cluster without a record", taskforce=record.taskforce_uuid, cluster=record.cluster)
            self._keeper.take_up(record)
