"""How are an agent's workers stopped for a while, and started again? They are held, with a subcode by which they are known."""

from collections.abc import Collection

import anyio

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.describe import quote
from muster.site.adapters.htcondor.held import OFF_ITS_MACHINE
from muster.site.adapters.htcondor.hold_policy import BY_HAND, PAUSED_SUBCODE
from muster.site.adapters.htcondor.queue import JobStatus, name_agents
from muster.site.adapters.htcondor.removing import KILL_S, LOOK_S
from muster.site.adapters.htcondor.schedd import Action, Schedd

PAUSED = "Muster was stopped with its workers"
"""Why procs are held while the agent is down on purpose; for people. Agents of before knew them by it, and gave no subcode."""
_OF_BEFORE = f"HoldReasonSubCode =?= 0 && regexp({quote('^' + PAUSED)}, HoldReason)"
_PROC = f"HoldReasonCode =?= {BY_HAND} && (HoldReasonSubCode =?= {PAUSED_SUBCODE} || ({_OF_BEFORE}))"
_FACTORY = "ProcId =?= undefined && JobMaterializePaused =!= undefined && JobMaterializePaused =!= 0"


async def pause(schedd: Schedd, agent: str, *, grace_s: float) -> None:
    """Hold every worker, which asks it to end. `grace_s`: that they may use for it; 0: they are killed.

    Raises UnavailableError: some run still, or the schedd did not answer.
    """
    ours = await name_agents(schedd, agent)
    if grace_s <= 0:
        await schedd.act(Action.VACATE_FAST, ours, reason=PAUSED)
    await schedd.act(Action.HOLD, ours, reason=PAUSED, code=PAUSED_SUBCODE)
    deadline = anyio.current_time() + grace_s + KILL_S
    while left := await schedd.query(f"{ours} && JobStatus == {JobStatus.RUNNING:d}", ["ClusterId"]):
        if anyio.current_time() >= deadline:
            raise UnavailableError(f"{len(left)} workers run still in HTCondor, although they were held")
        await anyio.sleep(LOOK_S)


async def resume(schedd: Schedd, agent: str, *, kept: Collection[int]) -> bool:
    """Release them, and have factories go on. False: some are on their machines still; call again. Raises UnavailableError.

    Args:
        kept: clusters that are held for other reasons: they make no further procs.
    """
    ours = await name_agents(schedd, agent)
    others = f"!member(ClusterId, {{{', '.join(map(str, sorted(kept)))}}})" if kept else "true"
    paused = f"{ours} && (({OFF_ITS_MACHINE} && {_PROC}) || ({_FACTORY} && {others}))"
    await schedd.act(Action.RELEASE, paused, reason="Muster is back")
    return not await schedd.query(f"{ours} && {_PROC}", ["ClusterId"], limit=1)
