"""Where do EWMS users submit, look at and end workflows, and add workers? (wms.md 4.1, 4.3 to 4.6, 4.10 to 4.12)"""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.domain.caller import Role
from muster.domain.errors import ConflictError, Finding, InvalidError
from muster.domain.workflow import WorkflowEvent
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.audit import note_made, note_tokens
from muster.server.doors.documents import find_documents, gives, takes
from muster.server.doors.ewms.naming import said
from muster.server.doors.ewms.shapes import AddWorkers, DeactivatedAnswer
from muster.server.doors.ewms.versions import Version
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, read_body, read_key
from muster.server.services import read_workflow
from muster.server.services.add_workers import MoreWorkers, WorkflowOverError, add_workers
from muster.server.services.deactivate_workflow import deactivate_workflow
from muster.server.services.offer_upstream import find_offered
from muster.server.services.parts import Parts
from muster.server.services.submit_workflow import Submission, submit_workflow

OK = 200
EITHER = {"access": roles(Role.USER, Role.SYSTEM_TMS)}


@get("/")
async def root() -> dict[str, str]:
    """Used as a sign of life."""
    return {}


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


def make_handlers(version: Version) -> Sequence[HTTPRouteHandler]:
    """The routes of a version."""

    @post(
        "/workflows",
        status_code=OK,
        request_max_body_size=SMALL_BODY_BYTES_MAX,
        operation_class=takes(version.new_workflow_type),
        responses=gives(OK, version.made_type),
    )
    async def submit(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
        """4.3"""
        new = version.parse_new_workflow(await read_body(request, version.new_workflow_type))
        submission = Submission(
            new,
            request.user,
            await read_key(request),
            OK,
            render=lambda whole: msgspec.json.encode(version.render_new_workflow(whole)),
            ignores_unknown_aliases=True,
        )
        answer = await submit_workflow(parts, submission)
        note_made(request, answer.body)
        return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)

    @get("/workflows/{workflow_id:str}", responses=gives(OK, version.workflow_type))
    async def show(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> Response[Any]:
        """4.4"""
        with said(f"no workflow found with id: {workflow_id}", workflow_id):
            return Response(version.render_workflow(await read_workflow.get_workflow(parts, workflow_id)))

    @get("/task-directives/{task_id:str}", responses=gives(OK, version.directive_type))
    async def show_directive(parts: NamedDependency[Parts], task_id: FromPath[str]) -> Response[Any]:
        """4.10"""
        with said(f"no task found with id: {task_id}", task_id):
            return Response(version.render_directive(await read_workflow.get_directive(parts, task_id)))

    @post(
        "/task-directives/{task_id:str}/actions/add-workers",
        status_code=OK,
        opt=EITHER,
        operation_class=takes(AddWorkers),
        responses=gives(OK, version.taskforce_type),
    )
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
                render=lambda whole: msgspec.json.encode(version.render_taskforce(whole)),
            )
            try:
                answer = await add_workers(parts, request.user, more)
            except WorkflowOverError as error:  # in upstream's words
                text = f"cannot add a taskforce to a deactivated workflow ({error.workflow_id})"
                raise ConflictError(text) from None
        return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)

    @get("/taskforces/{uuid:str}", opt=EITHER, responses=gives(OK, version.taskforce_type))
    async def show_taskforce(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> Response[Any]:
        """4.12"""
        is_agent = Role.SYSTEM_TMS in request.user.roles
        with said(f"no taskforce found with uuid: {uuid}", uuid):
            found = await find_offered(parts, uuid, with_queues=version.shows_queues, with_tokens=is_agent)
        note_tokens(request, () if found is None else found.profiles)
        return Response({} if found is None else version.render_offered(found))

    @get("/schema/openapi", opt=EITHER, sync_to_thread=False)
    def openapi(request: SignedIn) -> dict[str, Any]:
        """4.2: the description of this door."""
        return find_documents(request.app).get(version.prefix)

    return (root, openapi, submit, show, abort, finished, show_directive, add, show_taskforce)
