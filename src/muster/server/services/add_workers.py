"""How do more workers come to a task that runs already? A further taskforce, which goes first (wms.md section 12)."""

from collections.abc import Callable
from dataclasses import dataclass

from muster.domain.caller import Caller, Role
from muster.domain.errors import ConflictError, Finding, InvalidError, NotFoundError
from muster.domain.location import Location, explain_no_containers
from muster.domain.room import Use
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import ADD_WORKERS_PRIORITY, Origin, Workflow
from muster.server.ports.store import StoredAnswer, Transaction
from muster.server.services.advance_taskforce import TMS, USER
from muster.server.services.find_room import has_limits, require_possible
from muster.server.services.idempotent import RequestKey, answer_once, find_answer
from muster.server.services.judge_task import N_WORKERS_MAX
from muster.server.services.parts import Parts
from muster.server.services.plan_workflow import get_location
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce
from muster.server.services.submit_workflow import insert_taskforces, make_taskforce
from muster.worker.crash_points import reach

CREATED = "Created when adding more workers for this task directive."


class WorkflowOverError(ConflictError):
    """The workflow has ended. `workflow_id`: which one."""

    def __init__(self, workflow: Workflow) -> None:
        super().__init__(f"workflow {workflow.workflow_id} is over ({workflow.state}): it takes no more workers")
        self.workflow_id = workflow.workflow_id


@dataclass(frozen=True)
class MoreWorkers:
    """A request for workers.

    Args:
        location: its name or an alias; `location_field` is what the request calls it.
        key: None: a second request adds as many again.
        status, render: the answer that is kept with the key.
    """

    task_id: str
    location: str
    n_workers: int
    location_field: str
    key: RequestKey | None
    status: int
    render: Callable[[WholeTaskforce], bytes]


async def add_workers(parts: Parts, caller: Caller, wanted: MoreWorkers) -> StoredAnswer:
    """Add a taskforce to a task, or give the answer that the same request was given before.

    Raises:
        InvalidError: an unknown location, one that cannot run the task's image, or a number of workers that is none.
        NotFoundError: there is no such task.
        ForbiddenError: it is another user's.
        WorkflowOverError: its workflow has ended.
        ConflictError: the location is served by the other kind of agent.
        IdempotencyMismatchError: the key belongs to another request.
    """
    if not 1 <= wanted.n_workers <= N_WORKERS_MAX:
        raise InvalidError([Finding("n_workers", f"must be 1 to {N_WORKERS_MAX}")])
    try:
        location = get_location(parts.locations, wanted.location, field=wanted.location_field)
    except InvalidError:
        if (earlier := await find_answer(parts.store, wanted.key)) is not None:
            return earlier
        raise

    def add(tx: Transaction) -> StoredAnswer:
        def make() -> bytes:
            return wanted.render(_insert(tx, parts, caller, wanted, location))

        return answer_once(tx, wanted.key, status=wanted.status, work=make)[0]

    answer = await parts.store.write(add)
    reach("server.add-workers.committed")
    return answer


def _insert(tx: Transaction, parts: Parts, caller: Caller, wanted: MoreWorkers, location: Location) -> WholeTaskforce:
    try:
        directive = tx.workflows.get_directive(wanted.task_id).newest
    except NotFoundError:
        raise NotFoundError(f"no task found with id: {wanted.task_id}") from None
    if caller.has(Role.SYSTEM_TMS):
        workflow = tx.workflows.get(directive.workflow_id, lock=True)
    else:
        shared = parts.settings.shared_workflows
        workflow = get_owned_workflow(tx, caller, directive.workflow_id, lock=True, shared=shared)
    if not workflow.is_active:
        raise WorkflowOverError(workflow)
    if workflow.lets_workers_go:
        raise ConflictError(
            f"workflow {workflow.workflow_id} is drained, so that its workers go: `muster workflow resume "
            f"{workflow.workflow_id}` brings those that it had, and then there can be more"
        )
    if directive.task_image and not location.containers:
        reason = explain_no_containers(directive.task_image, location.name)
        raise InvalidError([Finding(wanted.location_field, reason)])
    if has_limits(parts):  # those that wait are let in together
        forces = tx.taskforces.list_of_workflow(workflow.workflow_id)
        waiting = sum(one.n_workers for one in forces if one.phase is Phase.PRE_MQ_ACTIVATION)
        require_possible(parts, Use(workers=waiting + wanted.n_workers), field="n_workers")
    model = tx.taskforces.list_of_task(wanted.task_id)[0]
    agent = parts.locations.get(model.location)
    if agent is not None and agent.agent is not location.agent:
        raise ConflictError(
            f"location {location.name} is served by {location.agent}, "
            f"and the workers of {workflow.workflow_id} by {agent.agent}"
        )
    taskforce = make_taskforce(
        parts,
        directive,
        location,
        origin=Origin.ADDED,
        now=tx.now(),
        priority=model.priority + ADD_WORKERS_PRIORITY,
        n_workers=wanted.n_workers,
        worker_config=model.worker_config,
        pilot_config=model.pilot_config,
    )
    insert_taskforces(tx, [taskforce], source=USER if Role.USER in caller.roles else TMS, context=CREATED)
    return read_one_taskforce(tx, taskforce.taskforce_uuid)
