"""How is a workflow stopped for a while, and set going again? By a person, or by its own failures; nothing of it is lost or counted.

Paused: no event is begun, what is at work goes on to its end, and the workers wait. Drained: the workers go as well, as soon as they have
nothing in hand, and the pool is free for others. Resumed: the workers that wait go on at once; for those that went, new ones come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from muster.domain.brake import MUSTER, BrakeEvent, BrakeState, Trip
from muster.domain.caller import Caller
from muster.domain.errors import ConflictError
from muster.domain.location import list_upstreams
from muster.domain.outbox import Notice
from muster.domain.taskforce_phase import ENDING, Phase, PhaseEvent
from muster.domain.workflow import Origin, Taskforce, Workflow
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import DEACTIVATOR, Happened, advance_all
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.reopen_workflow import insert_wanted, list_wanted
from muster.worker.crash_points import reach

LIVE_AT_ONCE = 1000
"""Taskforces of which one statement counts the workers."""
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


def let_go(tx: Transaction, taskforces: Sequence[Taskforce], *, context: str) -> int:
    """Workers that are up go by themselves once they have nothing in hand; a taskforce of which none is up is called off, or removed.

    Args:
        taskforces: of a workflow that is locked; those that are ending, or were let go, stay as they are.
        context: why, for the logs.

    Returns how many that changed.
    """
    staying = [one for one in taskforces if one.phase not in ENDING and one.let_go_at is None]
    placed = [one for one in staying if one.phase is Phase.CONDOR_SUBMIT]
    live = _count_live(tx, [one.taskforce_uuid for one in placed])
    # One that waits in a pool's queue would only start to hear that it is to go; held there, it would never leave.
    up = [one for one in placed if live.get(one.taskforce_uuid)]
    if up:
        tx.taskforces.update(*(replace(one, let_go_at=tx.now()) for one in up))
    happened = Happened(PhaseEvent.DEACTIVATED, DEACTIVATOR, context)
    others = [(one, happened) for one in staying if one not in up]
    for one in advance_all(tx, others, claim_until=None, held_reason=None):
        tx.wake(f"stop:{one.schedd}")
        tx.wake(f"start:{one.schedd}")
    return len(staying)


def _count_live(tx: Transaction, taskforce_uuids: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(taskforce_uuids), LIVE_AT_ONCE):
        found |= tx.holders.count_live_of(taskforce_uuids[start : start + LIVE_AT_ONCE])
    return found


def _bring_back(tx: Transaction, parts: Parts, workflow: Workflow) -> int:
    wanted = list_wanted(tx, tx.workflows.list_directives(workflow.workflow_id))
    insert_wanted(tx, parts, workflow, wanted, origin=Origin.RESUMED, context=RESUMED)
    return len(wanted)


def require_ours(tx: Transaction, parts: Parts, workflow: Workflow) -> None:
    """Raises ConflictError: upstream's agent runs its workers, which read from the broker and hear nothing of us."""
    taskforces = tx.taskforces.list_of_workflow(workflow.workflow_id)
    upstreams = list_upstreams(parts.locations)
    if places := sorted({one.location for one in taskforces if one.location in upstreams}):
        raise ConflictError(
            f"the workers of {workflow.workflow_id} at {', '.join(places)} are started by upstream's agent, and read from the "
            "broker: they can be stopped for good (`muster workflow abort`), not for a while, and not be given another task"
        )


def is_drained(workflow: Workflow) -> bool:
    """Do its workers go?"""
    return workflow.brake is not None and workflow.brake.state is BrakeState.DRAINED
