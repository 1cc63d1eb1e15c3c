"""Which queue is meant, and may this caller touch it?"""

from muster.domain.caller import Caller, Role
from muster.domain.errors import ConflictError, ForbiddenError, NotFoundError
from muster.domain.queue import Queue
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction


class NotOwnerError(ForbiddenError):
    """It is somebody else's. The text says whose, and who may do this."""


def owns(caller: Caller, owner: str, *, group: str | None) -> bool:
    """Is the caller the owner, of the owner's group, or an operator?"""
    return caller.name == owner or group in caller.groups or caller.has()


def require_owner(caller: Caller, owner: str, *, what: str, group: str | None = None) -> None:
    """Raises NotOwnerError unless the caller is the owner, of the owner's group, or an operator. `what`: e.g. `workflow WF-…`."""
    if owns(caller, owner, group=group):
        return
    theirs = "the owner" if group is None else f"the owner, the group {group}"
    raise NotOwnerError(f"{what} belongs to {owner}; only {theirs} and operators may do this")


def get_owned_workflow(
    tx: Transaction, caller: Caller, workflow_id: str, *, lock: bool = False, shared: bool = False
) -> Workflow:
    """A workflow that the caller may act on.

    Args:
        shared: users may act so on everybody's workflows.

    Raises NotFoundError, NotOwnerError.
    """
    workflow = tx.workflows.get(workflow_id, lock=lock)
    if not (shared and caller.has(Role.USER)):
        require_owner(caller, workflow.owner, what=f"workflow {workflow_id}", group=workflow.owner_group)
    return workflow


def get_queue(tx: Transaction, workflow_id: str, alias: str) -> Queue:
    """The queue of a workflow by its alias. Raises NotFoundError, naming those there are."""
    queues = tx.queues.list_of_workflow(workflow_id)
    for queue in queues:
        if queue.alias == alias:
            return queue
    known = ", ".join(queue.alias for queue in queues) or "none"
    raise NotFoundError(f"workflow {workflow_id} has no queue {alias[:100]!r}; its queues: {known}")


def require_public_input(queue: Queue) -> None:
    """People publish into public queues that tasks read: an event anywhere else would wait for nobody.

    Raises:
        ForbiddenError: the queue is not public.
        ConflictError: no task reads it.
    """
    if not queue.is_public:
        raise ForbiddenError(f"queue {queue.alias} is not public: only tasks publish into it")
    if not queue.is_input:
        raise ConflictError(f"no task reads queue {queue.alias}: it is for results, to be consumed")
