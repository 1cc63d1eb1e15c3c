"""Who counts what is in the database? This one, now and then, so that whoever asks for the metrics costs it nothing."""

import time

from muster.server.ports.store import Store
from muster.server.services.measures import Measures

SHARE_MAX = 0.01
"""Of the time: a count that takes long is made more rarely."""


async def count(store: Store, measures: Measures) -> bool:
    """One pass; False where it is not due yet, since the last one took long."""
    if time.time() < measures.counted_at + measures.counted_s / SHARE_MAX:
        return False
    begun = time.perf_counter()
    measures.counted = await store.read(lambda tx: tx.census.count())
    measures.counted_at, measures.counted_s = time.time(), time.perf_counter() - begun
    return True
