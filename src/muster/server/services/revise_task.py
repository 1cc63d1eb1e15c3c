"""How is a task mended while its workflow goes on? A new revision, and new workers that run it; nothing that is at work is stopped.

The workers of the revision before go as soon as they have nothing in hand; what they bring counts. Events that wait, and those that failed
before, are for the new ones. A task of a workflow that has finished can be mended, too: its dead letters, replayed, bring the workers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from muster.client.shapes.workflows import ReviseTask
from muster.domain.caller import Caller
from muster.domain.errors import ConflictError
from muster.domain.outbox import Notice
from muster.domain.revision import REVISIONS_MAX
from muster.domain.taskforce_phase import ENDING
from muster.domain.workflow import Origin, TaskDirective, WorkflowState
from muster.server.ports.store import StoredAnswer, Transaction
from muster.server.services.idempotent import RequestKey, answer_once
from muster.server.services.parts import Parts
from muster.server.services.plan_revision import Present, plan_revision
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.read_workflow import NamedTask, name_queues
from muster.server.services.relieve_taskforces import let_go, require_ours
from muster.server.services.reopen_workflow import insert_wanted, list_wanted
from muster.worker.crash_points import reach

REVISED = "Created for revision {number} of its task."
LET_GO = "User revised the task"


@dataclass(frozen=True)
class Revising:
    """A request for a revision.

    Args:
        key: None: a second request makes a second revision, or changes nothing, which is refused.
        status, render: the answer that is kept with the key.
    """

    task_id: str
    asked: ReviseTask
    key: RequestKey | None
    status: int
    render: Callable[[NamedTask], bytes]


async def revise_task(parts: Parts, caller: Caller, revising: Revising) -> StoredAnswer:
    """Make a revision, or give the answer that the same request was given before.

    Raises:
        InvalidError: the task would break a rule, or be what it is.
        NotFoundError, ForbiddenError.
        ConflictError: its workflow was aborted, or is upstream's agent's; or it has as many revisions as it may have.
        IdempotencyMismatchError: the key belongs to another request.
    """

    def revise(tx: Transaction) -> StoredAnswer:
        def make() -> bytes:
            return revising.render(name_queues(tx, [_revise(tx, parts, caller, revising)])[0])

        return answer_once(tx, revising.key, status=revising.status, work=make)[0]

    answer = await parts.store.write(revise)
    reach("server.revise.committed")
    return answer


def _revise(tx: Transaction, parts: Parts, caller: Caller, revising: Revising) -> TaskDirective:
    workflow_id = tx.workflows.get_directive(revising.task_id).workflow_id
    workflow = get_owned_workflow(tx, caller, workflow_id, lock=True, shared=parts.settings.shared_workflows)
    directive = tx.workflows.get_directive(revising.task_id)  # as it is now that nobody else changes it
    if workflow.state is WorkflowState.ABORTED:
        raise ConflictError(f"workflow {workflow_id} was aborted, and stays so: nothing of it is run any more")
    require_ours(tx, parts, workflow)
    if len(directive.revisions) >= REVISIONS_MAX:
        raise ConflictError(f"task {directive.task_id} has {REVISIONS_MAX} revisions, and may have no more")
    revision = plan_revision(_look(tx, parts, directive), revising.asked, at=tx.now(), by=caller.name)
    mended = replace(directive, revisions=(*directive.revisions, revision))
    tx.workflows.update_revisions(mended)
    data = {"task_id": directive.task_id, "revision": revision.number, "by": caller.name, "reason": revision.reason}
    tx.outbox.insert(Notice(workflow_id, "task.revised", tx.now(), data))
    tx.wake(f"workflow:{workflow_id}")
    before = [one for one in tx.taskforces.list_of_task(directive.task_id) if one.phase not in ENDING]
    let_go(tx, before, context=LET_GO)
    if workflow.is_active and not workflow.lets_workers_go:
        wanted = list_wanted(tx, [mended])
        context = REVISED.format(number=revision.number)
        insert_wanted(tx, parts, workflow, wanted, origin=Origin.REVISED, context=context)
    return mended


def _look(tx: Transaction, parts: Parts, directive: TaskDirective) -> Present:
    originals = [one for one in tx.taskforces.list_of_task(directive.task_id) if one.origin is Origin.SUBMITTED]
    newest = directive.newest
    return Present(
        directive=newest,
        worker_config=newest.find_config("worker_config") or originals[0].worker_config,
        pilot_config=newest.find_config("pilot_config") or originals[0].pilot_config,
        queues=tx.queues.find([*directive.input_queues, *directive.output_queues]),
        places=[parts.locations[one.location] for one in originals if one.location in parts.locations],
    )
