"""How is a site asked to do something with single workers, and what came of it? Written down first, for the agent to fetch."""

from collections.abc import Callable
from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.errors import ConflictError, Finding, InvalidError
from muster.domain.ids import make_worker_order_id
from muster.domain.taskforce_phase import Phase
from muster.domain.worker_order import WAITING_MAX, OrderAction, OrderState, WorkerOrder, render_procs
from muster.domain.workflow import PhaseLogEntry, Taskforce
from muster.server.ports.store import StoredAnswer, Transaction
from muster.server.services.advance_taskforce import USER, clean_text
from muster.server.services.idempotent import RequestKey, answer_once
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.waiting import wait_for

ASKED = "{name} asked to {action} {workers}{reason}"


@dataclass(frozen=True)
class OrderRequest:
    """What somebody wants done.

    Args:
        procs: empty: all workers.
        reason: one line.
        status, render: the answer that is kept with the key.
    """

    taskforce_uuid: str
    action: OrderAction
    procs: tuple[int, ...]
    reason: str
    key: RequestKey | None
    status: int
    render: Callable[[WorkerOrder, OrderState], bytes]


async def order_workers(parts: Parts, caller: Caller, wanted: OrderRequest) -> StoredAnswer:
    """Write an order down for the taskforce's agent, or give the answer that the same request was given before.

    Raises:
        NotFoundError: there is no such taskforce.
        ForbiddenError: it is another user's.
        InvalidError: it has no such workers, or the logs of several are asked for.
        ConflictError: its site has nothing to do it with (no cluster yet, or none any more; upstream's agent), or too many orders wait.
        IdempotencyMismatchError: the key belongs to another request.
    """

    def work(tx: Transaction) -> StoredAnswer:
        def make() -> bytes:
            return wanted.render(_insert(tx, parts, caller, wanted), OrderState.WAITING)

        return answer_once(tx, wanted.key, status=wanted.status, work=make)[0]

    return await parts.store.write(work)


async def read_order(
    parts: Parts, caller: Caller, uuid: str, order_id: str, *, wait_s: float
) -> tuple[WorkerOrder, OrderState]:
    """An order and how it stands; waits while it waits for the agent.

    Raises NotFoundError; ForbiddenError for others than the owner and operators, since a worker's logs are among it.
    """
    seen: list[tuple[WorkerOrder, OrderState]] = []

    def look(tx: Transaction) -> tuple[WorkerOrder, OrderState]:
        _require_owner(tx, caller, uuid)
        order = tx.worker_orders.get(uuid, order_id)
        return order, order.find_state(tx.now())

    async def look_on() -> tuple[WorkerOrder, OrderState] | None:
        seen[:] = [await parts.store.read(look)]
        return None if seen[0][1] is OrderState.WAITING else seen[0]

    await wait_for(parts, look_on, topics=[f"order:{order_id}"], wait_s=wait_s)
    return seen[0]


def _require_owner(tx: Transaction, caller: Caller, uuid: str, *, lock: bool = False) -> None:
    workflow_id = tx.taskforces.get(uuid).workflow_id
    get_owned_workflow(tx, caller, workflow_id, lock=lock)


def _insert(tx: Transaction, parts: Parts, caller: Caller, wanted: OrderRequest) -> WorkerOrder:
    _require_owner(tx, caller, wanted.taskforce_uuid, lock=True)
    taskforce = tx.taskforces.get(wanted.taskforce_uuid)
    _require_workers(taskforce, wanted)
    if findings := _judge(taskforce, wanted):
        raise InvalidError(findings)
    if tx.worker_orders.count_waiting(taskforce.taskforce_uuid) >= WAITING_MAX:
        raise ConflictError(
            f"{WAITING_MAX} orders for workers of {taskforce.taskforce_uuid} wait already for the agent "
            f"{taskforce.claim_agent}: is it there? `muster location list`"
        )
    order = WorkerOrder(
        order_id=make_worker_order_id(random=parts.random(16)),
        taskforce_uuid=taskforce.taskforce_uuid,
        action=wanted.action,
        procs=tuple(dict.fromkeys(wanted.procs)),
        reason=wanted.reason,
        asked_by=caller.name,
        asked_at=tx.now(),
    )
    tx.worker_orders.insert(order)
    if order.action is not OrderAction.LOGS:  # which changes nothing
        reason = f": {order.reason}" if order.reason else ""
        asked = ASKED.format(name=caller.name, action=order.action, workers=render_procs(order.procs), reason=reason)
        entry = PhaseLogEntry(taskforce.phase, tx.now(), True, None, USER, clean_text(asked))
        tx.taskforces.append_log(taskforce.taskforce_uuid, entry)
        tx.wake(f"workflow:{taskforce.workflow_id}")
    tx.wake(f"orders:{taskforce.claim_agent}")
    return order


def _require_workers(taskforce: Taskforce, wanted: OrderRequest) -> None:
    """Raises ConflictError where nobody has, or had, workers to do it with."""
    uuid = taskforce.taskforce_uuid
    if taskforce.cluster_id is None:
        raise ConflictError(f"taskforce {uuid} has no cluster yet: it is {taskforce.phase}")
    if taskforce.claim_agent is None:
        raise ConflictError(
            f"taskforce {uuid} is in the hands of upstream's agent, which takes no orders: use HTCondor's own tools"
        )
    if wanted.action is not OrderAction.LOGS and taskforce.phase is not Phase.CONDOR_SUBMIT:
        raise ConflictError(f"taskforce {uuid} is {taskforce.phase}: its workers are gone, or on their way")


def _judge(taskforce: Taskforce, wanted: OrderRequest) -> list[Finding]:
    findings = [
        Finding(
            f"procs[{index}]",
            f"is {proc}, and the workers of {taskforce.taskforce_uuid} are 0 to {taskforce.n_workers - 1}",
        )
        for index, proc in enumerate(wanted.procs)
        if proc >= taskforce.n_workers
    ][:10]
    if wanted.action is OrderAction.LOGS and len(set(wanted.procs)) != 1:
        findings.append(Finding("procs", "must name one worker, whose logs are to be brought"))
    return findings
