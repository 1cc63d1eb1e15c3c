"""Who notices that an open transaction in the database holds every stream back?"""

import anyio
import structlog

from muster.server.ports.store import Store
from muster.server.services.horizon_age import HorizonAge

log = structlog.get_logger()


async def watch_horizon(store: Store, age: HorizonAge) -> None:
    """One look."""
    horizon = await store.look(lambda tx: tx.outbox.find_horizon())
    if age.note(horizon, now=anyio.current_time()) and horizon is not None:
        log.warning(
            "an open transaction holds back what is told of workflows: end it, or the session that has it",
            seconds=round(age.age_s),
            transaction=horizon.transaction,
            holder=horizon.holder,
        )
