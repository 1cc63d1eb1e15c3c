"""What is there to see of workflows? Each with its parts, in one snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.queue import Counts, Queue
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow, WorkflowState
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts

SCAN_MAX = 20
"""Pages that one call reads at most when it looks for a state."""
IDS_MAX = 1000
"""Ids that one statement looks up."""


@dataclass(frozen=True)
class WholeTaskforce:
    """A taskforce with its task and its log; `workers` is how many sessions live now."""

    taskforce: Taskforce
    directive: TaskDirective
    log: Sequence[PhaseLogEntry]
    workers: int


@dataclass(frozen=True)
class WholeWorkflow:
    """A workflow with its parts."""

    workflow: Workflow
    directives: Sequence[TaskDirective]
    queues: Sequence[Queue]
    counts: Mapping[int, Counts]
    taskforces: Sequence[WholeTaskforce]


def read_whole(tx: Transaction, workflow_id: str) -> WholeWorkflow:
    """A workflow with its parts. Raises NotFoundError."""
    queues = tx.queues.list_of_workflow(workflow_id)
    return WholeWorkflow(
        workflow=tx.workflows.get(workflow_id),
        directives=tx.workflows.list_directives(workflow_id),
        queues=queues,
        counts=tx.queues.counts([queue.number for queue in queues]) if queues else {},
        taskforces=_complete(tx, tx.taskforces.list_of_workflow(workflow_id)),
    )


def read_one_taskforce(tx: Transaction, taskforce_uuid: str) -> WholeTaskforce:
    """A taskforce with its log. Raises NotFoundError."""
    return _complete(tx, [tx.taskforces.get(taskforce_uuid)])[0]


def _complete(tx: Transaction, taskforces: Sequence[Taskforce]) -> list[WholeTaskforce]:
    """Of one workflow."""
    if not taskforces:
        return []
    logs = tx.taskforces.list_log([one.taskforce_uuid for one in taskforces])
    workers = tx.holders.count_live(taskforces[0].workflow_id)
    directives = {one.task_id: one for one in tx.workflows.list_directives(taskforces[0].workflow_id)}
    return [
        WholeTaskforce(
            one, directives[one.task_id], logs.get(one.taskforce_uuid, ()), workers.get(one.taskforce_uuid, 0)
        )
        for one in taskforces
    ]


async def get_workflow(parts: Parts, workflow_id: str) -> WholeWorkflow:
    """Raises NotFoundError."""
    return await parts.store.read(lambda tx: read_whole(tx, workflow_id))


async def get_taskforce(parts: Parts, taskforce_uuid: str) -> WholeTaskforce:
    """Raises NotFoundError."""
    return await parts.store.read(lambda tx: read_one_taskforce(tx, taskforce_uuid))


@dataclass(frozen=True)
class NamedTask:
    """A task with the aliases of its queues, by their ids."""

    directive: TaskDirective
    aliases: Mapping[str, str]


def name_queues(tx: Transaction, directives: Sequence[TaskDirective]) -> list[NamedTask]:
    """Tasks of any workflows."""
    ids = sorted({queue for one in directives for queue in (*one.input_queues, *one.output_queues)})
    aliases = {
        queue_id: queue.alias
        for start in range(0, len(ids), IDS_MAX)
        for queue_id, queue in tx.queues.find(ids[start : start + IDS_MAX]).items()
    }
    return [NamedTask(one, aliases) for one in directives]


async def get_task(parts: Parts, task_id: str) -> NamedTask:
    """Raises NotFoundError."""
    return await parts.store.read(lambda tx: name_queues(tx, [tx.workflows.get_directive(task_id)])[0])


async def get_directive(parts: Parts, task_id: str) -> TaskDirective:
    """Raises NotFoundError."""
    return await parts.store.look(lambda tx: tx.workflows.get_directive(task_id))


def state_of(workflow: Workflow) -> str:
    """`active`, `finished` or `aborted`."""
    return workflow.state.value


@dataclass(frozen=True)
class Search:
    """Which workflows are wanted.

    Args:
        state: None for all.
        owner: None for everybody's.
        after: the last id of the page before.
    """

    state: str | None
    owner: str | None
    after: str | None
    limit: int


STATES = tuple(one.value for one in WorkflowState)


def make_search(caller: Caller, *, state: str | None, mine: bool, after: str | None, limit: int) -> Search:
    """A search by a caller."""
    return Search(state, caller.name if mine else None, after, limit)


async def list_workflows(parts: Parts, search: Search) -> tuple[Sequence[Workflow], str | None]:
    """A page of workflows, newest first, and where the next one begins; None at the end.

    A page may be short when few of those looked at are in the wanted state. Raises NotFoundError for an unknown `after`.
    """
    active = None if search.state is None else search.state == WorkflowState.ACTIVE

    def look(tx: Transaction) -> tuple[Sequence[Workflow], str | None]:
        found: list[Workflow] = []
        after = search.after
        for _ in range(SCAN_MAX):
            page = tx.workflows.list_page(owner=search.owner, active=active, after=after, limit=search.limit)
            for workflow in page:
                after = workflow.workflow_id
                if search.state in (None, state_of(workflow)):
                    found.append(workflow)
                    if len(found) == search.limit:
                        return found, after if _is_more(tx, search.owner, active, after) else None
            if len(page) < search.limit:
                return found, None
        return found, after

    return await parts.store.read(look)


def _is_more(tx: Transaction, owner: str | None, active: bool | None, after: str) -> bool:  # noqa: FBT001
    return bool(tx.workflows.list_page(owner=owner, active=active, after=after, limit=1))
