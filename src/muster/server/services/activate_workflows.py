"""Whose queues are ready? New taskforces of active workflows go on to launch control.

Queues live in the same database as the workflow, so they are ready as soon as it is stored.
"""

from functools import partial

from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import ACTIVATOR, Happened, advance
from muster.server.services.parts import Parts
from muster.worker.crash_points import reach

BATCH_MAX = 200
"""Taskforces looked at in one pass."""
AUTO_ADVANCED = "Auto-advanced because workflow has already been mq-activated."


async def activate_workflows(parts: Parts) -> int:
    """One pass, highest priority first, a transaction for each workflow. Returns how many taskforces moved."""
    waiting = await parts.store.read(lambda tx: tx.taskforces.list_in_phase(Phase.PRE_MQ_ACTIVATION, limit=BATCH_MAX))
    moved = 0
    for workflow_id in dict.fromkeys(one.workflow_id for one in waiting):
        moved += await parts.store.write(partial(_activate, workflow_id=workflow_id))
        reach("server.activate.committed")
    return moved


def _activate(tx: Transaction, *, workflow_id: str) -> int:
    tx.workflows.get(workflow_id, lock=True)
    taskforces = tx.taskforces.list_of_workflow(workflow_id)
    waiting = [one for one in taskforces if one.phase is Phase.PRE_MQ_ACTIVATION]
    context = "" if len(waiting) == len(taskforces) else AUTO_ADVANCED
    for taskforce in waiting:
        advance(tx, taskforce, Happened(PhaseEvent.ACTIVATED, ACTIVATOR, context))
    if waiting:
        tx.wake("launch")
    return len(waiting)
