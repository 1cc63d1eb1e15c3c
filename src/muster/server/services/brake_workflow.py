"""How is a workflow stopped for a while, and set going again? By a person, or by its own failures; nothing of it is lost or counted.

Paused: no event is begun, what is at work goes on to its end, and the workers wait. Drained: the workers go as well, as soon as they have
nothing in hand, and the pool is free for others. Resumed: the workers that wait go on at once; for those that went, new ones come.
"""

from dataclasses import dataclass
from functools import partial

from muster.domain.brake import MUSTER, BrakeEvent, Trip
from muster.domain.caller import Caller
from muster.domain.errors import ConflictError
from muster.domain.outbox import Notice
from muster.domain.workflow import Origin, Workflow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.relieve_taskforces import let_go, require_ours
from muster.server.services.reopen_workflow import insert_wanted, list_wanted
from muster.worker.crash_points import reach

DRAINED = "User drained workflow"
RESUMED = "Created when the workflow was resumed, in the place of one that was drained."


@dataclass(frozen=True)
class Braked:
    """What became of it. `n_taskforces`: let go by this call, or made by it."""

    workflow: Workflow
    n_taskforces: int = 0


async def brake_workflow(
    parts: Parts, caller: Caller, workflow_id: str, event: BrakeEvent, *, reason: str = ""
) -> Braked:
    """Stop a workflow, or set it going. What it is already stays as it is.

    Args:
        event: `PAUSED`, `DRAINED` or `RESUMED`, as its owner says.
        reason: why it is stopped, in words.

    Raises NotFoundError, ForbiddenError, ConflictError: it has ended.
    """
    work = partial(_brake, parts=parts, caller=caller, workflow_id=workflow_id, event=event, reason=reason)
    braked = await parts.store.write(work)
    reach("server.brake.committed")
    return braked


def _brake(
    tx: Transaction, *, parts: Parts, caller: Caller, workflow_id: str, event: BrakeEvent, reason: str
) -> Braked:
    shared = parts.settings.shared_workflows
    workflow = get_owned_workflow(tx, caller, workflow_id, lock=True, shared=shared)
    if not workflow.is_active:
        raise ConflictError(
            f"workflow {workflow_id} is {workflow.state}, and nothing of it runs: only an active one can be "
            "paused, drained or resumed (dead letters of a finished one: `muster dead-letter replay`)"
        )
    require_ours(tx, parts, workflow)
    changed = workflow.braked(event, at=tx.now(), by=caller.name, reason=reason)
    if changed is None:
        return Braked(workflow)
    _keep(tx, changed, by=caller.name)
    if event is BrakeEvent.DRAINED:
        taskforces = tx.taskforces.list_of_workflow(workflow_id)
        return Braked(changed, let_go(tx, taskforces, context=DRAINED))
    if event is BrakeEvent.RESUMED:
        tx.wake("activate")
        tx.wake("launch")
        return Braked(changed, _bring_back(tx, parts, changed))
    return Braked(changed)


async def trip_brake(parts: Parts, workflow_id: str, task_id: str, trip: Trip) -> None:
    """Stop a workflow because a task of it nearly always fails; one that is stopped, or has ended, stays as it is."""

    def work(tx: Transaction) -> None:
        workflow = tx.workflows.get(workflow_id, lock=True)
        reason = f"task {task_id}: {trip.render()}"
        event, at = BrakeEvent.TRIPPED, tx.now()
        changed = workflow.braked(event, at=at, by=MUSTER, reason=reason, fingerprint=trip.fingerprint)
        if changed is not None:
            _keep(tx, changed, by=MUSTER)

    await parts.store.write(work)


def _keep(tx: Transaction, workflow: Workflow, *, by: str) -> None:
    tx.workflows.update(workflow)
    brake = workflow.brake
    if brake is None:
        notice = Notice(workflow.workflow_id, "workflow.resumed", tx.now(), {"by": by})
    else:
        data = {"by": by, "reason": brake.reason, "fingerprint": brake.fingerprint}
        notice = Notice(workflow.workflow_id, f"workflow.{brake.state}", tx.now(), data)
    tx.outbox.insert(notice)
    # The bell of the workers: those that are parked, and those whose next call looks.
    tx.wake(f"workflow:{workflow.workflow_id}")


def _bring_back(tx: Transaction, parts: Parts, workflow: Workflow) -> int:
    wanted = list_wanted(tx, tx.workflows.list_directives(workflow.workflow_id))
    insert_wanted(tx, parts, workflow, wanted, origin=Origin.RESUMED, context=RESUMED)
    return len(wanted)
