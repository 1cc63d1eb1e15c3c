"""Who forgets the answers to requests with an Idempotency-Key? Kept for their time, then deleted, a batch a transaction."""

from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.ports.store import Store

log = structlog.get_logger()

INTERVAL_S = 60.0
BATCH_MAX = 1000
ROUNDS_MAX = 100


class AnswerExpirer:
    """Deletes stored answers that are older than they need be."""

    def __init__(self, store: Store, *, kept_s: float, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        self._kept_s = kept_s
        self._interval_s = interval_s

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:  # they are still there at the next pass
                log.warning("expiry of answers skipped", reason=str(error))
            await anyio.sleep(self._interval_s)

    async def run_once(self) -> int:
        """Returns how many were deleted."""
        deleted = 0
        for _ in range(ROUNDS_MAX):
            count = await self._store.write(
                lambda tx: tx.answers.delete_older(tx.now() - self._kept_s, limit=BATCH_MAX)
            )
            deleted += count
            if count < BATCH_MAX:
                break
        return deleted
