"""Where are events published, queues closed, and programs told how to reach them on the broker?"""

from collections.abc import Sequence

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.events import Publish, PublishedView
from muster.client.shapes.workflows import QueueAccessView, QueueView
from muster.domain.ids import WORKFLOW_ID
from muster.domain.queue import REQUEST_BYTES_MAX
from muster.server.doors.access import SignedIn
from muster.server.doors.audit import note_tokens
from muster.server.doors.documents import gives, takes
from muster.server.doors.muster.queues.views import parse_publication, render_access, render_published
from muster.server.doors.muster.workflows.views import render_queues
from muster.server.doors.reading import parse_id, read_key
from muster.server.services.parts import Parts
from muster.server.services.publish_events import close_queue, publish_once
from muster.server.services.read_queues import get_own_profile


@post(
    "/workflows/{workflow_id:str}/queues/{alias:str}/events",
    status_code=200,
    request_max_body_size=REQUEST_BYTES_MAX,
    operation_class=takes(Publish),
    responses=gives(200, PublishedView),
)
async def publish_(
    request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str], alias: FromPath[str]
) -> Response[bytes]:
    """Publish events: all or none. With an `Idempotency-Key` a repeat gets the first answer."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    raw = await request.body()
    answer = await publish_once(
        parts,
        request.user,
        parse_publication(raw, workflow_id=workflow_id, alias=alias),
        key=await read_key(request),
        size_bytes=len(raw),
        render=render_published,
    )
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


@post("/workflows/{workflow_id:str}/queues/{alias:str}/actions/close", status_code=200)
async def close(
    request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str], alias: FromPath[str]
) -> QueueView:
    """Say that all events of the queue are in. Closing a closed one changes nothing."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    queue, counts = await close_queue(parts, request.user, workflow_id, alias)
    return render_queues([queue], {queue.number: counts})[0]


@get("/workflows/{workflow_id:str}/queues/{alias:str}/access")
async def access(
    request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str], alias: FromPath[str]
) -> Response[QueueAccessView]:
    """How the owner's programs reach a public queue on the broker: its name there, the address, and a token, which is the password."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    queue, shown = await get_own_profile(parts, request.user, workflow_id, alias)
    note_tokens(request, [shown])
    view = render_access(queue, shown, has_broker=parts.broker is not None)
    return Response(view, headers={"Cache-Control": "no-store"})


handlers: Sequence[HTTPRouteHandler] = (publish_, close, access)
