"""Which taskforces may be started now? Launch control lets them through, highest priority first."""

from functools import partial

from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import LAUNCHER, Happened, advance
from muster.server.services.parts import Parts

BATCH_MAX = 200
"""Taskforces looked at in one pass."""


async def launch_taskforces(parts: Parts) -> int:
    """One pass, a transaction for each workflow. Returns how many taskforces moved."""
    waiting = await parts.store.read(lambda tx: tx.taskforces.list_in_phase(Phase.PRE_LAUNCH, limit=BATCH_MAX))
    moved = 0
    for workflow_id in dict.fromkeys(one.workflow_id for one in waiting):
        moved += await parts.store.write(partial(_launch, workflow_id=workflow_id))
    return moved


def _launch(tx: Transaction, *, workflow_id: str) -> int:
    tx.workflows.get(workflow_id, lock=True)
    waiting = [one for one in tx.taskforces.list_of_workflow(workflow_id) if one.phase is Phase.PRE_LAUNCH]
    for taskforce in waiting:
        advance(tx, taskforce, Happened(PhaseEvent.LAUNCHED, LAUNCHER))
        tx.wake(f"start:{taskforce.schedd}")
    return len(waiting)
