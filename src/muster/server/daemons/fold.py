"""Who keeps the counters short? Changes of the counters are folded into them, so that reading an account stays cheap."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.ports.queue_engine import QueueEngine

log = structlog.get_logger()


class DeltaFolder:
    """Folds counter deltas. The account is the same before and after: it is read from counters and deltas together."""

    def __init__(self, engine: QueueEngine, *, interval_s: float) -> None:
        self._engine = engine
        self._interval_s = interval_s

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:  # the deltas stay where they are
                log.warning("fold skipped", reason=str(error))
            await anyio.sleep(self._interval_s)

    async def run_once(self) -> int:
        """Returns how many deltas were folded."""
        return await self._engine.fold()
