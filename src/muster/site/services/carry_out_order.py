"""Somebody wants something done with single workers: what does the agent do, and what does it answer?

Each of it can be done twice: what was done before is passed over. An order whose answer was lost comes again, and brings the same about.
"""

from muster.client.shapes.worker_orders import GivenOrder, OrderDone, WorkerLogText
from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.domain.reason import cut
from muster.domain.worker_order import LOGS_MAX, OrderAction
from muster.site.services.parts import Parts


async def carry_out(parts: Parts, order: GivenOrder) -> OrderDone:
    """Do what an order says. What cannot be done is answered, in words.

    Raises UnavailableError: the pool does not answer; the same again later.
    """
    try:
        action = OrderAction(order.action)
    except ValueError:
        return _refuse(
            parts, order, f"this agent does not know how to {order.action[:100]}: it is older than the service"
        )
    try:
        if action is OrderAction.LOGS:
            return await _bring_logs(parts, order)
        cluster = await parts.pool.find(order.taskforce_uuid)
        if cluster is None:
            return _refuse(parts, order, "its cluster is not, or no more, in the pool")
        done = await parts.pool.act(cluster, action, order.procs, reason=_explain(order))
    except (NotFoundError, ConflictError, RejectedError) as error:
        return _refuse(parts, order, str(error))
    return OrderDone(parts.agent, order.taskforce_uuid, done=done)


async def _bring_logs(parts: Parts, order: GivenOrder) -> OrderDone:
    logs = await parts.pool.read_logs(order.taskforce_uuid, order.procs[0])
    texts = [WorkerLogText(one.name, one.text, one.size_bytes) for one in logs[:LOGS_MAX]]
    return OrderDone(parts.agent, order.taskforce_uuid, done=1, logs=texts)


def _refuse(parts: Parts, order: GivenOrder, why: str) -> OrderDone:
    return OrderDone(parts.agent, order.taskforce_uuid, error=why)


def _explain(order: GivenOrder) -> str:
    """For the pool's own log: one line, whatever the service let pass."""
    return cut(f"asked for by {order.asked_by}{f': {order.reason}' if order.reason else ''}")
