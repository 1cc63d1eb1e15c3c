"""Who works on dead letters that went back? Every task that can get work from them has workers, made now where it has none left.

A workflow that was finished is active again from then on (docs/decisions/0011). The caller has locked it, and has sent the events back
in the same transaction; so it is over with all its dead letters, or active with somebody to work on what went back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.location import Location
from muster.domain.outbox import Notice
from muster.domain.queue import Queue
from muster.domain.taskforce_phase import ENDING
from muster.domain.workflow import Origin, TaskDirective, Taskforce, Workflow, WorkflowEvent, list_reached
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import USER
from muster.server.services.parts import Parts
from muster.server.services.publish_events import mark_closed
from muster.server.services.submit_workflow import insert_taskforces, make_taskforce

REOPENED = "Created when dead letters were replayed, which reopened the workflow."
NO_WORKERS_LEFT = "Created when dead letters were replayed, because every taskforce of this task had ended."


@dataclass(frozen=True)
class Wanted:
    """A taskforce to be made, like `model`."""

    directive: TaskDirective
    model: Taskforce


def bring_workers(tx: Transaction, parts: Parts, caller: Caller, workflow: Workflow, queue: int) -> bool:
    """Bring workers to events that went back to a queue; reopen the workflow if it is finished.

    Returns:
        Whether it was reopened.
    """
    queues = tx.queues.list_of_workflow(workflow.workflow_id)
    filled = [one for one in queues if one.number == queue and one.is_input]
    assert filled, "only tasks' attempts count, so only their queues have dead letters"
    if workflow.is_active:
        if not workflow.lets_workers_go:  # else they come when it is resumed
            insert_wanted(tx, parts, workflow, _list_reached(tx, workflow, filled), context=NO_WORKERS_LEFT)
        return False
    active = workflow.after(WorkflowEvent.REOPENED, at=tx.now(), by=caller.name)
    assert active is not None, "nobody replays dead letters of an aborted workflow"
    tx.workflows.update(active)
    # Whatever waits or is in work was left there by its end: the workflow is not done before that is.
    counts = tx.queues.counts([one.number for one in queues])
    filled = [one for one in queues if one.is_input and not counts[one.number].is_drained]
    wanted = _list_reached(tx, workflow, filled)
    data = {"by": caller.name, "n_taskforces": len(wanted)}
    tx.outbox.insert(Notice(workflow.workflow_id, "workflow.reopened", tx.now(), data))
    tx.wake(f"workflow:{workflow.workflow_id}")
    tx.wake("drain")  # who looks for drained workflows looks at this one often again
    for one in queues:
        if one.is_input and one.is_public and one.closed_at is None:
            mark_closed(tx, one)  # only its dead letters come back to life, and it shall be able to finish itself
    insert_wanted(tx, parts, workflow, wanted, context=REOPENED)
    return True


def _list_reached(tx: Transaction, workflow: Workflow, filled: Sequence[Queue]) -> Sequence[Wanted]:
    """Of the tasks that can get work from these queues."""
    directives = tx.workflows.list_directives(workflow.workflow_id)
    return list_wanted(tx, list_reached(directives, [one.queue_id for one in filled]))


def list_wanted(tx: Transaction, directives: Sequence[TaskDirective]) -> Sequence[Wanted]:
    """For each of these tasks that has no taskforce left whose workers stay: one like each of those that it was submitted with."""
    wanted = []
    for directive in directives:
        taskforces = tx.taskforces.list_of_task(directive.task_id)
        if all(one.phase in ENDING or one.let_go_at is not None for one in taskforces):
            originals = [one for one in taskforces if one.origin is Origin.SUBMITTED]
            wanted += [Wanted(directive.newest, model) for model in originals]
    return wanted


def insert_wanted(
    tx: Transaction,
    parts: Parts,
    workflow: Workflow,
    wanted: Sequence[Wanted],
    *,
    context: str,
    origin: Origin = Origin.REOPENED,
) -> None:
    """Make them, to be taken further as new ones are. `origin`, `context`: what they are made for, in a word and in their logs."""
    for one in wanted:
        model = one.model
        # A location that is not known any more: its taskforce waits at the old access point, and the progress says so.
        location = parts.locations.get(model.location) or Location(
            model.location, schedd=model.schedd, collector=model.collector
        )
        taskforce = make_taskforce(
            parts,
            one.directive,
            location,
            origin=origin,
            now=tx.now(),
            priority=workflow.priority,
            n_workers=model.n_workers,
            worker_config=model.worker_config,
            pilot_config=model.pilot_config,
        )
        insert_taskforces(tx, [taskforce], source=USER, context=context)
