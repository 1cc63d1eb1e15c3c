"""Where do EWMS users submit, look at and end workflows, and add workers? (wms.md 4.1, 4.3 to 4.6, 4.10 to 4.12)"""

from collections.abc import Sequence

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.domain.caller import Role
from muster.domain.errors import ConflictError, Finding, InvalidError
from muster.domain.workflow import WorkflowEvent
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.audit import note_made
from muster.server.doors.ewms.naming import said
from muster.server.doors.ewms.shapes import (
    AddWorkers,
    DeactivatedAnswer,
    NewWorkflow,
    TaskDirectiveObject,
    TaskforceObject,
    WorkflowObject,
)
from muster.server.doors.ewms.views import (
    parse_new_workflow,
    render_directive,
    render_new_workflow,
    render_taskforce,
    render_workflow,
)
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, read_body, read_key
from muster.server.services import read_workflow
from muster.server.services.add_workers import MoreWorkers, WorkflowOverError, add_workers
from muster.server.services.deactivate_workflow import deactivate_workflow
from muster.server.services.parts import Parts
from muster.server.services.submit_workflow import Submission, submit_workflow

OK = 200
EITHER = {"access": roles(Role.USER, Role.SYSTEM_TMS)}


@get("/")
async def root() -> dict[str, str]:
    """Used as a sign of life."""
    return {}


@post("/workflows", status_code=OK, request_max_body_size=SMALL_BODY_BYTES_MAX)
async def submit(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """4.3"""
    new = parse_new_workflow(await read_body(request, NewWorkflow))
    key = await read_key(request)
    submission = Submission(
        new,
        request.user,
        key,
        OK,
        render=lambda whole: msgspec.json.encode(render_new_workflow(whole)),
        ignores_unknown_aliases=True,
    )
    answer = await submit_workflow(parts, submission)
    note_made(request, answer.body)
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


@get("/workflows/{workflow_id:str}")
async def show(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> WorkflowObject:
    """4.4"""
    with said(f"no workflow found with id: {workflow_id}", workflow_id):
        return render_workflow((await read_workflow.get_workflow(parts, workflow_id)).workflow)


@post("/workflows/{workflow_id:str}/actions/abort", status_code=OK)
async def abort(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> DeactivatedAnswer:
    """4.5"""
    return await _end(request, parts, workflow_id, WorkflowEvent.ABORTED)


@post("/workflows/{workflow_id:str}/actions/finished", status_code=OK)
async def finished(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> DeactivatedAnswer:
    """4.6"""
    return await _end(request, parts, workflow_id, WorkflowEvent.FINISHED)


async def _end(request: SignedIn, parts: Parts, workflow_id: str, event: WorkflowEvent) -> DeactivatedAnswer:
    with said(f"no non-deactivated workflow found with workflow_id='{workflow_id}'", workflow_id):
        # One that has ended keeps its end and is answered like the first time: the answer to that may have been lost.
        ended = await deactivate_workflow(parts, request.user, workflow_id, event)
    return DeactivatedAnswer(ended.workflow_id, ended.n_taskforces)


@get("/task-directives/{task_id:str}")
async def show_directive(parts: NamedDependency[Parts], task_id: FromPath[str]) -> TaskDirectiveObject:
    """4.10"""
    with said(f"no task found with id: {task_id}", task_id):
        return render_directive(await read_workflow.get_directive(parts, task_id))


@post("/task-directives/{task_id:str}/actions/add-workers", status_code=OK, opt=EITHER)
async def add(request: SignedIn, parts: NamedDependency[Parts], task_id: FromPath[str]) -> Response[bytes]:
    """4.11"""
    wanted = await read_body(request, AddWorkers)
    if wanted.n_workers is None:
        raise InvalidError([Finding("n_workers", "must be at least 1")])
    with said(f"no task found with id: {task_id}", task_id):
        more = MoreWorkers(
            task_id,
            wanted.cluster_location,
            wanted.n_workers,
            location_field="cluster_location",
            key=await read_key(request),
            status=OK,
            render=lambda whole: msgspec.json.encode(render_taskforce(whole)),
        )
        try:
            answer = await add_workers(parts, request.user, more)
        except WorkflowOverError as error:  # in upstream's words
            text = f"cannot add a taskforce to a deactivated workflow ({error.workflow_id})"
            raise ConflictError(text) from None
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


@get("/taskforces/{uuid:str}", opt=EITHER)
async def show_taskforce(parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceObject:
    """4.12"""
    with said(f"no taskforce found with uuid: {uuid}", uuid):
        return render_taskforce(await read_workflow.get_taskforce(parts, uuid))


handlers: Sequence[HTTPRouteHandler] = (
    root,
    submit,
    show,
    abort,
    finished,
    show_directive,
    add,
    show_taskforce,
)
