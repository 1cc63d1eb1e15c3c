"""How do orders for single workers reach the agent that has them, and its answers those who asked?

An order is given again until it is answered, and the next one of the same taskforce only then: so whatever is lost or repeated on the way,
what was asked for last is done last.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from muster.domain.errors import ConflictError
from muster.domain.worker_order import ORDER_S, PAST, OrderAction, Outcome, WorkerLog, WorkerOrder
from muster.domain.workflow import PhaseLogEntry
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import TMS, clean_text
from muster.server.services.parts import Parts
from muster.server.services.waiting import wait_for

ORDERS_MAX = 16
"""Orders that one call brings."""


@dataclass(frozen=True)
class Given:
    """An order for an agent, and the seconds in which it is to be carried out."""

    order: WorkerOrder
    stands_s: float


async def take_orders(parts: Parts, agent: str, *, working: Collection[str], wait_s: float) -> Sequence[Given]:
    """The oldest unanswered order of each taskforce of an agent, without those of which one is being carried out; waits for one."""

    def find(tx: Transaction) -> Sequence[Given]:
        found = tx.worker_orders.find_next(agent, without=frozenset(working), limit=ORDERS_MAX)
        return [Given(one, max(0.0, min(ORDER_S, one.asked_at + ORDER_S - tx.now()))) for one in found]

    async def look() -> Sequence[Given] | None:
        return await parts.store.look(find) or None

    return await wait_for(parts, look, topics=[f"orders:{agent}"], wait_s=wait_s) or ()


@dataclass(frozen=True)
class Answered:
    """What an agent says of an order."""

    agent: str
    taskforce_uuid: str
    order_id: str
    outcome: Outcome


async def record_answer(parts: Parts, answered: Answered) -> bool:
    """Write down what came of an order. False: that is known already, and stays.

    Raises:
        NotFoundError: there is no such order, or none any more.
        ConflictError: its taskforce is another agent's now.
    """

    def work(tx: Transaction) -> bool:
        workflow_id = tx.taskforces.get(answered.taskforce_uuid).workflow_id
        tx.workflows.get(workflow_id, lock=True)
        taskforce = tx.taskforces.get(answered.taskforce_uuid)
        order = tx.worker_orders.get(answered.taskforce_uuid, answered.order_id)
        if order.outcome is not None:
            return False
        if taskforce.claim_agent != answered.agent:
            raise ConflictError(f"taskforce {answered.taskforce_uuid} is not in the hands of {answered.agent}")
        outcome = _clean(answered.outcome)
        tx.worker_orders.answer(replace(order, answered_at=tx.now(), outcome=outcome))
        if order.action is not OrderAction.LOGS:
            said = outcome.error or f"{outcome.done} {PAST[order.action]}"
            told = f"{order.action} asked by {order.asked_by}: {said}"
            entry = PhaseLogEntry(taskforce.phase, tx.now(), not outcome.error, None, TMS, clean_text(told))
            tx.taskforces.append_log(taskforce.taskforce_uuid, entry)
            tx.wake(f"workflow:{workflow_id}")
        tx.wake(f"order:{order.order_id}")
        return True

    return await parts.store.write(work)


def _clean(outcome: Outcome) -> Outcome:
    logs = [WorkerLog(clean_text(one.name), one.text, one.size_bytes) for one in outcome.logs]
    return Outcome(outcome.done, clean_text(outcome.error), logs)
