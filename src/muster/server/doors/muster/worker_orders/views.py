"""How do orders for single workers look on our door?"""

from collections.abc import Sequence

from muster.client.shapes.worker_orders import GivenOrder, GivenOrders, WorkerLogView, WorkerOrderView
from muster.domain.worker_order import OrderState, Outcome, WorkerOrder
from muster.server.services.pass_orders import Given


def render_order(order: WorkerOrder, state: OrderState) -> WorkerOrderView:
    """An order, every field."""
    outcome = order.outcome or Outcome()
    return WorkerOrderView(
        order_id=order.order_id,
        taskforce_uuid=order.taskforce_uuid,
        action=order.action.value,
        procs=list(order.procs),
        reason=order.reason,
        asked_by=order.asked_by,
        asked_at=order.asked_at,
        state=state.value,
        answered_at=order.answered_at,
        done=outcome.done,
        error=outcome.error,
        logs=[WorkerLogView(one.name, one.text, one.size_bytes) for one in outcome.logs],
    )


def render_given(given: Sequence[Given]) -> GivenOrders:
    """What an agent is to carry out."""
    return GivenOrders([_render_one(one.order, one.stands_s) for one in given])


def _render_one(order: WorkerOrder, stands_s: float) -> GivenOrder:
    return GivenOrder(
        order_id=order.order_id,
        taskforce_uuid=order.taskforce_uuid,
        action=order.action.value,
        procs=list(order.procs),
        reason=order.reason,
        asked_by=order.asked_by,
        stands_s=stands_s,
    )
