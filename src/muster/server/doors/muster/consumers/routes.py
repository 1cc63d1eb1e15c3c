"""Where do people's programs consume results?"""

from collections.abc import Sequence

from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.consumers import Consume, Consumed, Consumer, OpenConsumer
from muster.domain.ids import WORKFLOW_ID
from muster.server.doors.access import SignedIn
from muster.server.doors.connection import while_connected
from muster.server.doors.documents import takes
from muster.server.doors.muster.consumers.views import (
    parse_consume,
    parse_consumer_id,
    parse_lease_s,
    render_consumed,
    render_consumer,
)
from muster.server.doors.reading import parse_id
from muster.server.services.consume_events import close_consumer, open_consumer, step_consumer
from muster.server.services.parts import Parts


@post(
    "/workflows/{workflow_id:str}/queues/{alias:str}/consumers",
    status_code=201,
    operation_class=takes(OpenConsumer, is_needed=False),
)
async def open_(
    request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str], alias: FromPath[str]
) -> Consumer:
    """Begin to consume a public queue that no task reads."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    lease_s = parse_lease_s(await request.body())
    return render_consumer(await open_consumer(parts, request.user, workflow_id, alias, lease_s=lease_s))


@post("/consumers/{consumer:str}/step", status_code=200, operation_class=takes(Consume))
async def step(request: SignedIn, parts: NamedDependency[Parts], consumer: FromPath[str]) -> Response[Consumed]:
    """Ack, nack, lease the next events; waits for them up to `wait_s`."""
    consumer_id = parse_consumer_id(consumer)
    asked = parse_consume(await request.body())
    caller = request.user

    async def work() -> Consumed:
        return render_consumed(await step_consumer(parts, caller, consumer_id, asked))

    consumed = await (while_connected(request, work) if asked.wait_s > 0 else work())
    return Response(consumed, media_type=MediaType.JSON)


@post("/consumers/{consumer:str}/actions/close", status_code=200)
async def close(request: SignedIn, parts: NamedDependency[Parts], consumer: FromPath[str]) -> dict[str, str]:
    """End the consumer: what it holds goes back."""
    await close_consumer(parts, request.user, parse_consumer_id(consumer))
    return {}


handlers: Sequence[HTTPRouteHandler] = (open_, step, close)
