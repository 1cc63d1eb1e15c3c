"""How does a workflow end? Finished or aborted; every taskforce that is not ending yet is to be stopped (wms.md 11)."""

from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.outbox import Notice
from muster.domain.standing import is_given_up
from muster.domain.taskforce_phase import ENDING, Phase, PhaseEvent
from muster.domain.taskforce_reason import HELD_NO_MORE
from muster.domain.workflow import PhaseLogEntry, Workflow, WorkflowEvent, WorkflowState
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import DEACTIVATOR, Happened, advance_all, end_sessions
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.worker.crash_points import reach

ALREADY = "but taskforce is already ending/finished (pending-stopper, condor-rm, condor-complete)"


@dataclass(frozen=True)
class Ended:
    """What became of it: `state` is how the workflow ended, now or earlier; `n_taskforces` moved to `pending-stopper` now."""

    workflow_id: str
    n_taskforces: int
    state: WorkflowState


async def deactivate_workflow(parts: Parts, caller: Caller, workflow_id: str, event: WorkflowEvent) -> Ended:
    """End a workflow. One that has ended keeps its end, and nothing moves.

    Args:
        event: `FINISHED` or `ABORTED`, as its owner says.

    Raises NotFoundError, ForbiddenError.
    """

    def end(tx: Transaction) -> Ended:
        shared = parts.settings.shared_workflows
        workflow = get_owned_workflow(tx, caller, workflow_id, lock=True, shared=shared)
        context = f"User deactivated ({event.name}) workflow"  # the log's words are upstream's (wms.md section 8)
        ended = deactivate(tx, workflow, event, by=caller.name, source=DEACTIVATOR, context=context)
        return ended or Ended(workflow_id, 0, workflow.state)

    ended = await parts.store.write(end)
    reach("server.deactivate.committed")
    return ended


def deactivate(
    tx: Transaction, workflow: Workflow, event: WorkflowEvent, *, by: str, source: str, context: str
) -> Ended | None:
    """End a workflow that is locked; None, and nothing moves, when it is over.

    Args:
        event: how it ends.
        by: name of who ended it.
        source, context: for the taskforces' logs.
    """
    now = tx.now()
    ended = workflow.after(event, at=now, by=by)
    if ended is None or ended.is_active:
        return None
    tx.workflows.update(ended)
    happened = Happened(PhaseEvent.DEACTIVATED, source, context)
    taskforces = tx.taskforces.list_of_workflow(workflow.workflow_id)
    already = happened.entry(now, was_successful=False, context=f"{context} {ALREADY}")
    ending = [(one.taskforce_uuid, already) for one in taskforces if one.phase in ENDING]
    if ending:
        tx.taskforces.append_logs(ending)
    no_more = PhaseLogEntry(Phase.PENDING_STARTER, now, False, None, source, HELD_NO_MORE)
    held = [(one.taskforce_uuid, no_more) for one in taskforces if is_given_up(one) and one.phase not in ENDING]
    if held:
        tx.taskforces.append_logs(held)
    # The claims are put down: whoever held one is given the order to stop even while it says that it holds the taskforce.
    others = [(one, happened) for one in taskforces if one.phase not in ENDING]
    # One that could not be started need not be any more; one that could not be removed is tried again.
    moved = advance_all(tx, others, claim_until=None, held_reason=None)
    for taskforce in moved:
        tx.wake(f"stop:{taskforce.schedd}")
        tx.wake(f"start:{taskforce.schedd}")
    if ended.state is WorkflowState.ABORTED:
        # Finished: workers hand in what they have in hand, for as long as their grace lasts.
        end_sessions(tx, [one.taskforce_uuid for one in taskforces], reason="aborted")
    data = {"state": ended.state.value, "by": by, "n_taskforces": len(moved)}
    tx.outbox.insert(Notice(workflow.workflow_id, "workflow.ended", now, data))
    tx.wake(f"workflow:{workflow.workflow_id}")
    tx.wake("activate")  # there may be room for another one now
    for queue in tx.queues.list_of_workflow(workflow.workflow_id):
        tx.wake(f"queue:{queue.number}")
    return Ended(workflow.workflow_id, len(moved), ended.state)
