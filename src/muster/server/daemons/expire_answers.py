"""Who forgets the answers to requests with an Idempotency-Key? Kept for their time, then deleted, a batch a transaction."""

from muster.server.daemons.rhythm import in_batches
from muster.server.ports.store import Store

BATCH_MAX = 1000


async def expire_answers(store: Store, *, kept_s: float) -> int:
    """One pass; returns how many were deleted."""

    async def expire() -> int:
        return await store.write(lambda tx: tx.answers.delete_older(tx.now() - kept_s, limit=BATCH_MAX))

    return await in_batches(expire, size=BATCH_MAX)
