"""Where is a task looked at, where does it get more workers, and where is it mended?"""

from collections.abc import Sequence

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.workflows import AddWorkers, ReviseTask, TaskforceView, TaskView
from muster.domain.ids import TASK_ID
from muster.server.doors.access import SignedIn
from muster.server.doors.documents import gives, takes
from muster.server.doors.muster.taskforces.views import render_taskforce
from muster.server.doors.muster.tasks.views import render_task
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, parse_id, parse_reason, read_body, read_key
from muster.server.services.add_workers import MoreWorkers, add_workers
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import get_task
from muster.server.services.revise_task import Revising, revise_task

CREATED = 201


@get("/tasks/{task_id:str}")
async def show(parts: NamedDependency[Parts], task_id: FromPath[str]) -> TaskView:
    """A task, every field."""
    task = await get_task(parts, parse_id(TASK_ID, task_id, what="task"))
    return render_task(task.directive, task.aliases)


@post(
    "/tasks/{task_id:str}/actions/add-workers",
    status_code=CREATED,
    operation_class=takes(AddWorkers),
    responses=gives(CREATED, TaskforceView),
)
async def add(request: SignedIn, parts: NamedDependency[Parts], task_id: FromPath[str]) -> Response[bytes]:
    """Make a further taskforce, which goes first. With an `Idempotency-Key` a repeat gets the first answer."""
    wanted = await read_body(request, AddWorkers)
    key = await read_key(request)
    more = MoreWorkers(
        parse_id(TASK_ID, task_id, what="task"),
        wanted.location,
        wanted.n_workers,
        location_field="location",
        key=key,
        status=CREATED,
        render=lambda whole: msgspec.json.encode(render_taskforce(whole)),
    )
    answer = await add_workers(parts, request.user, more)
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


@post(
    "/tasks/{task_id:str}/revisions",
    status_code=CREATED,
    request_max_body_size=SMALL_BODY_BYTES_MAX,
    operation_class=takes(ReviseTask),
    responses=gives(CREATED, TaskView),
)
async def revise(request: SignedIn, parts: NamedDependency[Parts], task_id: FromPath[str]) -> Response[bytes]:
    """Mend a task of an active workflow: new workers run it from now on. With an `Idempotency-Key` a repeat gets the first answer."""
    asked = await read_body(request, ReviseTask)
    parse_reason(asked.reason)
    revising = Revising(
        parse_id(TASK_ID, task_id, what="task"),
        asked,
        key=await read_key(request),
        status=CREATED,
        render=lambda task: msgspec.json.encode(render_task(task.directive, task.aliases)),
    )
    answer = await revise_task(parts, request.user, revising)
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


handlers: Sequence[HTTPRouteHandler] = (show, add, revise)
