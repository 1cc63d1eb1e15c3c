"""Where is something asked of a site for single workers, and where does its agent fetch and answer that?"""

from collections.abc import Sequence

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.worker_orders import (
    GivenOrders,
    OrderDone,
    OrderTaken,
    OrderWorkers,
    TakeOrders,
    WorkerOrderView,
)
from muster.domain.caller import Role
from muster.domain.ids import TASKFORCE_UUID, WORKER_ORDER_ID
from muster.domain.worker_order import Outcome, WorkerLog
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.connection import while_connected
from muster.server.doors.documents import gives, takes
from muster.server.doors.muster.sites.policy import check_agent, check_wait
from muster.server.doors.muster.worker_orders.views import render_given, render_order
from muster.server.doors.muster.workflows.policy import WaitQuery
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, parse_id, parse_reason, read_body, read_key
from muster.server.services.order_workers import OrderRequest, order_workers, read_order
from muster.server.services.parts import Parts
from muster.server.services.pass_orders import Answered, record_answer, take_orders

CREATED = 201
_AGENT = {"access": roles(Role.SYSTEM_TMS)}


@post(
    "/taskforces/{uuid:str}/orders",
    status_code=CREATED,
    operation_class=takes(OrderWorkers),
    responses=gives(CREATED, WorkerOrderView),
)
async def order(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> Response[bytes]:
    """Have something done with single workers. With an `Idempotency-Key` a repeat gets the first answer."""
    parse_id(TASKFORCE_UUID, uuid, what="taskforce")
    asked = await read_body(request, OrderWorkers)
    wanted = OrderRequest(
        uuid,
        asked.action,
        tuple(asked.procs),
        parse_reason(asked.reason),
        key=await read_key(request),
        status=CREATED,
        render=lambda made, state: msgspec.json.encode(render_order(made, state)),
    )
    answer = await order_workers(parts, request.user, wanted)
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


@get("/taskforces/{uuid:str}/orders/{order_id:str}")
async def show(
    request: SignedIn,
    parts: NamedDependency[Parts],
    uuid: FromPath[str],
    order_id: FromPath[str],
    wait_s: WaitQuery = 0.0,
) -> WorkerOrderView:
    """How it stands with an order; parks up to `wait_s` while it waits for the site's agent."""
    parse_id(TASKFORCE_UUID, uuid, what="taskforce")
    parse_id(WORKER_ORDER_ID, order_id, what="order")
    return render_order(
        *await while_connected(request, lambda: read_order(parts, request.user, uuid, order_id, wait_s=wait_s))
    )


@post("/site/orders", status_code=200, opt=_AGENT, operation_class=takes(TakeOrders))
async def take(request: SignedIn, parts: NamedDependency[Parts]) -> GivenOrders:
    """Orders for workers of this agent's taskforces; parks when there are none."""
    wanted = await read_body(request, TakeOrders)
    check_agent(wanted.agent)
    check_wait(wanted.wait_s)
    found = await while_connected(
        request, lambda: take_orders(parts, wanted.agent, working=wanted.working, wait_s=wanted.wait_s)
    )
    return render_given(found)


@post(
    "/site/orders/{order_id:str}",
    status_code=200,
    opt=_AGENT,
    operation_class=takes(OrderDone),
    request_max_body_size=SMALL_BODY_BYTES_MAX,
)
async def done(request: SignedIn, parts: NamedDependency[Parts], order_id: FromPath[str]) -> OrderTaken:
    """An order was carried out, or could not be."""
    parse_id(WORKER_ORDER_ID, order_id, what="order")
    told = await read_body(request, OrderDone)
    check_agent(told.agent)
    parse_id(TASKFORCE_UUID, told.taskforce_uuid, what="taskforce")
    logs = [WorkerLog(one.name, one.text, one.size_bytes) for one in told.logs]
    answered = Answered(told.agent, told.taskforce_uuid, order_id, Outcome(told.done, told.error, logs))
    return OrderTaken(order_id, await record_answer(parts, answered))


handlers: Sequence[HTTPRouteHandler] = (order, show, take, done)
