"""Who removes what need not be kept any longer? A round now and then, with pauses, so that work goes before."""

import secrets

import anyio
import structlog

from muster.domain.retention import Kept
from muster.server.services.parts import Parts
from muster.server.services.purge import Place, purge

log = structlog.get_logger()

PAUSE_S = 0.02
"""Between two steps, each of them a transaction of a few milliseconds."""


async def purge_all(parts: Parts) -> None:
    """One round, unless another service is at one."""
    keeper = secrets.token_hex(8)
    removed = dict.fromkeys(Kept, 0)
    place: Place | None = None
    while True:
        done = await purge(parts, place=place, for_s=0.0, keeper=keeper)
        for kept, count in done.removed.items():
            removed[kept] += count
        for one in done.kept_back:
            log.debug("kept although its time is over", workflow_id=one.workflow_id, reason=one.reason)
        if (place := done.place) is None:
            break
        await anyio.sleep(PAUSE_S)
    if any(removed.values()):
        log.info("purged", **{kept.value: count for kept, count in removed.items() if count})
