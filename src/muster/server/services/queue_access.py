"""Which queue is meant, and may this caller touch it?"""

from muster.domain.caller import Caller
from muster.domain.errors import ConflictError, ForbiddenError, NotFoundError
from muster.domain.queue import Queue
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction


def owns(caller: Caller, owner: str) -> bool:
    """Is the caller the owner, or an operator?"""
    return caller.name == owner or caller.has()


def require_owner(caller: Caller, owner: str, *, what: str) -> None:
    """Raises ForbiddenError unless the caller is the owner or an operator. `what`: e.g. `workflow WF-…`."""
    if not owns(caller, owner):
        raise ForbiddenError(f"{what} belongs to {owner}; only the owner and operators may do this")


def get_owned_workflow(tx: Transaction, caller: Caller, workflow_id: str, *, lock: bool = False) -> Workflow:
    """Raises NotFoundError, ForbiddenError."""
    workflow = tx.workflows.get(workflow_id, lock=lock)
    require_owner(caller, workflow.owner, what=f"workflow {workflow_id}")
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
