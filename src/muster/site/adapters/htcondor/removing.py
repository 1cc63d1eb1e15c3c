"""How does a cluster leave the queue so that nothing of it is left? Asked, waited for, forced; and seen to be gone.

Source: what an HTCondor 25 does: the time that a proc has between SIGTERM and SIGKILL is fixed when it starts, a vacate that kills
at once works only before the removal, and a forced removal takes a proc out of the queue whatever its machine says.
"""

import anyio

from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.htcondor.queue import has_cluster, name_cluster
from muster.site.adapters.htcondor.schedd import Action, Schedd
from muster.worker import crash_points

LOOK_S = 0.2
"""Seconds between two looks at the queue."""
KILL_S = 10.0
"""Seconds that workers may take to vanish that were killed, before they are taken out of the queue by force."""
FORCED_S = 20.0
"""Seconds that the schedd may take for that."""
REASON = "requested by Muster"


async def take_away(schedd: Schedd, cluster: int, tag: str, *, grace_s: float) -> None:
    """Remove a cluster. It may be gone already. `grace_s`: that workers may use to end; 0: they are killed.

    Raises RejectedError: this user may not. Raises UnavailableError: it is there still.
    """
    constraint = await name_cluster(schedd, cluster, tag)
    if grace_s <= 0:
        await schedd.act(Action.VACATE_FAST, constraint, reason=REASON)
    acted = await schedd.act(Action.REMOVE, constraint, reason=REASON)
    crash_points.reach("condor.remove.asked")
    if acted.denied and not acted.done:
        raise RejectedError(acted.explain_denied("remove", cluster))
    if await is_gone_within(schedd, cluster, tag, max(grace_s, 0.0) + KILL_S):
        return
    await schedd.act(Action.REMOVE_FORCED, constraint, reason=REASON)
    if not await is_gone_within(schedd, cluster, tag, FORCED_S):
        raise UnavailableError(f"cluster {cluster} is in the queue still, although its removal was forced")


async def is_gone_within(schedd: Schedd, cluster: int, tag: str, timeout_s: float) -> bool:
    """Wait until nothing of it is in the queue."""
    deadline = anyio.current_time() + timeout_s
    while await has_cluster(schedd, cluster, tag):
        if anyio.current_time() >= deadline:
            return False
        await anyio.sleep(LOOK_S)
    return True
