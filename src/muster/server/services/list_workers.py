"""Which workers of a workflow are up now, what have they in hand, and when did they call last?"""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.errors import NotFoundError
from muster.server.ports.holders import Session
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts


@dataclass(frozen=True)
class WorkerSearch:
    """Which workers are wanted.

    Args:
        taskforce_uuid: None for those of all taskforces.
        after: the number of the last session of the page before; 0: from the first on.
        limit: 1 or more.
    """

    workflow_id: str
    taskforce_uuid: str | None
    after: int
    limit: int


@dataclass(frozen=True)
class WorkerUp:
    """A worker that is up.

    Args:
        in_hand: events that it holds.
        heard_at: when it called last, seconds since the epoch.
    """

    session: Session
    in_hand: int
    heard_at: float


async def list_workers(parts: Parts, search: WorkerSearch) -> tuple[Sequence[WorkerUp], float]:
    """Workers that have called and not left, the oldest first, and what time it is, seconds since the epoch.

    Raises NotFoundError: there is no such workflow, or it has no such taskforce.
    """

    def look(tx: Transaction) -> tuple[Sequence[WorkerUp], float]:
        workflow_id = tx.workflows.get(search.workflow_id).workflow_id
        chosen = search.taskforce_uuid
        if chosen is not None and tx.taskforces.get(chosen).workflow_id != workflow_id:
            raise NotFoundError(f"workflow {workflow_id} has no taskforce {chosen}")
        sessions = tx.holders.list_up(workflow_id, taskforce_uuid=chosen, after=search.after, limit=search.limit)
        in_hand = tx.holders.count_held([one.number for one in sessions]) if sessions else {}
        leases_s = _find_leases(tx, workflow_id) if sessions else {}
        now = tx.now()
        return [
            WorkerUp(
                one,
                in_hand.get(one.number, 0),
                # Each call puts the end of its session off by a whole lease.
                max(one.begun_at, min(now, one.until - leases_s.get(one.taskforce_uuid or "", 0.0))),
            )
            for one in sessions
        ], now

    return await parts.store.read(look)


def _find_leases(tx: Transaction, workflow_id: str) -> dict[str, float]:
    """How long sessions live without a call, seconds, by taskforce."""
    queues = {one.queue_id: one.lease_s for one in tx.queues.list_of_workflow(workflow_id)}
    of_task = {
        one.task_id: min((queues[queue] for queue in one.input_queues), default=0.0)
        for one in tx.workflows.list_directives(workflow_id)
    }
    return {one.taskforce_uuid: of_task[one.task_id] for one in tx.taskforces.list_of_workflow(workflow_id)}
