"""Which workflows are done? Those that asked for it, with closed inputs and nothing left, are finished in the transaction that sees it.

The counts are read with the workflow locked, so nothing is published in between (docs/decisions/0008).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from muster.domain.queue import Counts, Queue, is_workflow_drained
from muster.domain.workflow import WorkflowEvent
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import DRAIN
from muster.server.services.deactivate_workflow import deactivate
from muster.server.services.parts import Parts

FINISHED_MAX = 1000
"""Workflows that one pass finishes; what is left is found by the next."""
BY = "muster"
CONTEXT = "Muster deactivated (FINISHED) workflow: its inputs are closed and drained"
"""For the taskforces' logs, whose words are upstream's (wms.md section 8)."""


@dataclass(frozen=True)
class DrainPass:
    """What a pass saw: how many workflows it finished, and how many are closed but have work left."""

    finished: int
    draining: int


async def finish_drained(parts: Parts) -> DrainPass:
    """One pass over the workflows that asked for it: one statement, and a transaction for each that is drained."""
    seen = await parts.store.read(lambda tx: tx.workflows.find_drained(limit=FINISHED_MAX))
    finished = 0
    for workflow_id in seen.workflow_ids:
        finished += await parts.store.write(partial(_finish, workflow_id=workflow_id))
    return DrainPass(finished, seen.draining + len(seen.workflow_ids) - finished)


def _finish(tx: Transaction, *, workflow_id: str) -> bool:
    workflow = tx.workflows.get(workflow_id, lock=True)
    if not is_workflow_drained(_with_counts(tx, tx.queues.list_of_workflow(workflow_id))):
        return False
    return deactivate(tx, workflow, WorkflowEvent.DRAINED, by=BY, source=DRAIN, context=CONTEXT) is not None


def _with_counts(tx: Transaction, queues: Sequence[Queue]) -> list[tuple[Queue, Counts]]:
    counts = tx.queues.counts([queue.number for queue in queues]) if queues else {}
    return [(queue, counts[queue.number]) for queue in queues]
