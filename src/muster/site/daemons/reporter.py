"""How does the service know what the workers are at? It is told what changed, at most so often."""

from collections.abc import Mapping
from typing import Never

import anyio
from anyio.abc import TaskStatus

from muster.domain.errors import MusterError, NotFoundError
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.pool import Observation
from muster.site.services.parts import Parts
from muster.site.services.report import ReportBook


class StatusReporter:
    """Reports worker states that changed."""

    def __init__(self, parts: Parts, keeper: TaskforceKeeper, trouble: TroubleLog, *, interval_s: float) -> None:
        self._parts = parts
        self._keeper = keeper
        self._trouble = trouble
        self._interval_s = interval_s
        self._book = ReportBook()
        self.reported_at: float | None = None
        """When the service last took what was new, or nothing was; seconds since the epoch."""
        self.seen: Mapping[str, Observation] = {}
        """What the pool last said of the taskforces that run, by uuid."""

    def find_seen(self) -> Mapping[str, Observation]:
        """How the clusters were at the last look, by taskforce."""
        return self.seen

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except MusterError as error:  # the next report holds the same changes
                self._trouble.tell("reporting", error)
            await anyio.sleep(self._interval_s)

    async def run_once(self) -> None:
        """Report what changed since the last report."""
        seen: dict[str, Observation] = {}
        for uuid, cluster in self._keeper.watched().items():
            try:
                seen[uuid] = await self._parts.pool.observe(cluster)
            except NotFoundError:
                continue  # its keeper sees that too
        self.seen = seen
        self._keeper.tell_lost(await self._book.report(self._parts, seen))
        self.reported_at = self._parts.now()
