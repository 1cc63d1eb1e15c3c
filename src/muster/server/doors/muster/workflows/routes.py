"""Where are workflows submitted, looked at, followed and ended?"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from muster.client.shapes.account import Account, Errors
from muster.client.shapes.explanation import ExplanationView
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.usage import WorkflowUsageView
from muster.client.shapes.workflows import (
    BrakedView,
    BrakeWorkflow,
    EndedView,
    Progress,
    WorkflowPage,
    WorkflowView,
)
from muster.domain.brake import BrakeEvent
from muster.domain.caller import Role
from muster.domain.ids import WORKFLOW_ID
from muster.domain.workflow import WorkflowEvent
from muster.server.doors.access import SignedIn
from muster.server.doors.audit import note_made
from muster.server.doors.connection import while_connected
from muster.server.doors.documents import gives, takes, tells
from muster.server.doors.event_stream import RETRY, EventStream
from muster.server.doors.front import find_meters
from muster.server.doors.muster.workflows.explanation import render_explanation
from muster.server.doors.muster.workflows.policy import (
    AfterQuery,
    LastIdHeader,
    LimitQuery,
    SeenQuery,
    StateQuery,
    WaitQuery,
    parse_after,
    parse_resume,
    parse_state,
)
from muster.server.doors.muster.workflows.usage import render_usage
from muster.server.doors.muster.workflows.views import (
    render_account,
    render_braked,
    render_ended,
    render_errors,
    render_message,
    render_progress,
    render_workflow,
    render_workflows,
)
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, parse_id, parse_reason, read_body, read_key
from muster.server.services import read_workflow
from muster.server.services.brake_workflow import brake_workflow
from muster.server.services.deactivate_workflow import deactivate_workflow
from muster.server.services.explain_workflow import explain_workflow
from muster.server.services.follow_progress import follow_progress
from muster.server.services.parts import Parts
from muster.server.services.read_account import get_account, get_errors
from muster.server.services.read_usage import get_usage
from muster.server.services.stream_workflow import Message, open_stream
from muster.server.services.submit_workflow import Submission, submit_workflow

CREATED, NO_CONTENT = 201, 204


@post(
    "/workflows",
    status_code=CREATED,
    request_max_body_size=SMALL_BODY_BYTES_MAX,
    operation_class=takes(NewWorkflow),
    responses=gives(CREATED, WorkflowView),
)
async def submit(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """Make a workflow. With an `Idempotency-Key` a repeat gets the first answer."""
    new = await read_body(request, NewWorkflow)
    key = await read_key(request)
    submission = Submission(
        new, request.user, key, CREATED, render=lambda whole: msgspec.json.encode(render_workflow(whole))
    )
    answer = await submit_workflow(parts, submission)
    note_made(request, answer.body)
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON)


@get("/workflows")
async def list_(
    request: SignedIn,
    parts: NamedDependency[Parts],
    wanted: StateQuery = None,
    mine: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    after: FromQuery[str | None] = None,
    limit: LimitQuery = 50,
) -> WorkflowPage:
    """Workflows, newest first. A page may be shorter than its limit; `next_after` null means the end."""
    search = read_workflow.make_search(
        request.user, state=parse_state(wanted), mine=mine, after=parse_after(after), limit=limit
    )
    return render_workflows(*await read_workflow.list_workflows(parts, search))


@get("/workflows/{workflow_id:str}")
async def show(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> WorkflowView:
    """A workflow with its tasks, queues and taskforces."""
    _check(workflow_id)
    return render_workflow(await read_workflow.get_workflow(parts, workflow_id))


@get("/workflows/{workflow_id:str}/progress")
async def progress(
    request: SignedIn,
    parts: NamedDependency[Parts],
    workflow_id: FromPath[str],
    seen: SeenQuery = None,
    wait_s: WaitQuery = 0.0,
) -> Progress:
    """How far it is: at once, or when that differs from the `token` that was `seen`, at most `wait_s` later."""
    _check(workflow_id)
    await request.body()
    return render_progress(
        await while_connected(request, lambda: follow_progress(parts, workflow_id, seen=seen, wait_s=wait_s))
    )


@get("/workflows/{workflow_id:str}/stream", responses=tells(none=NO_CONTENT))
async def stream(
    request: SignedIn,
    parts: NamedDependency[Parts],
    workflow_id: FromPath[str],
    last_id: LastIdHeader = None,
    after: AfterQuery = None,
) -> ASGIApp:
    """Server-sent events: how far it is, whenever that changes, and notices of what happens, each once. 204: it is over, all was told."""
    _check(workflow_id)
    await request.body()
    messages = await open_stream(parts, workflow_id, parse_resume(last_id, after))
    if messages is None:
        return ASGIResponse(status_code=NO_CONTENT)
    return EventStream(_render_messages(workflow_id, messages), find_meters(request.app).streams)


async def _render_messages(workflow_id: str, messages: AsyncGenerator[Message]) -> AsyncGenerator[bytes]:
    async with aclosing(messages):
        yield RETRY
        async for message in messages:
            yield render_message(workflow_id, message)


@post("/workflows/{workflow_id:str}/actions/finish", status_code=200)
async def finish(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> EndedView:
    """End it; workers finish what they have in hand. A workflow that is over keeps its end."""
    _check(workflow_id)
    return render_ended(await deactivate_workflow(parts, request.user, workflow_id, WorkflowEvent.FINISHED))


@post("/workflows/{workflow_id:str}/actions/abort", status_code=200)
async def abort(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> EndedView:
    """End it at once. A workflow that is over keeps its end."""
    _check(workflow_id)
    return render_ended(await deactivate_workflow(parts, request.user, workflow_id, WorkflowEvent.ABORTED))


@post("/workflows/{workflow_id:str}/actions/pause", status_code=200, operation_class=takes(BrakeWorkflow))
async def pause(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> BrakedView:
    """Begin no event of it until it is resumed: what is at work goes on to its end, its workers wait. Paused twice is paused once."""
    return await _brake(request, parts, workflow_id, BrakeEvent.PAUSED)


@post("/workflows/{workflow_id:str}/actions/drain", status_code=200, operation_class=takes(BrakeWorkflow))
async def drain(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> BrakedView:
    """As pause, and its workers go as soon as they have nothing in hand."""
    return await _brake(request, parts, workflow_id, BrakeEvent.DRAINED)


@post("/workflows/{workflow_id:str}/actions/resume", status_code=200)
async def resume(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> BrakedView:
    """Go on with a workflow that was paused or drained, or that stopped itself. One that goes on already is left alone."""
    _check(workflow_id)
    return render_braked(await brake_workflow(parts, request.user, workflow_id, BrakeEvent.RESUMED))


async def _brake(request: SignedIn, parts: Parts, workflow_id: str, event: BrakeEvent) -> BrakedView:
    _check(workflow_id)
    asked = await read_body(request, BrakeWorkflow)
    reason = parse_reason(asked.reason)
    return render_braked(await brake_workflow(parts, request.user, workflow_id, event, reason=reason))


@get("/workflows/{workflow_id:str}/account")
async def account(
    parts: NamedDependency[Parts],
    workflow_id: FromPath[str],
    recount: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
) -> Account:
    """The account of every event. `recount` counts rows afresh and compares, which is slow."""
    _check(workflow_id)
    return render_account(await get_account(parts, workflow_id, recount=recount))


@get("/workflows/{workflow_id:str}/usage")
async def usage(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> WorkflowUsageView:
    """What its tasks took of machines, and what they could ask for instead."""
    _check(workflow_id)
    return render_usage(await get_usage(parts, workflow_id))


@get("/workflows/{workflow_id:str}/errors")
async def errors(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> Errors:
    """Failed attempts by cause, and taskforces in trouble."""
    _check(workflow_id)
    return render_errors(await get_errors(parts, workflow_id))


@get("/workflows/{workflow_id:str}/explanation")
async def explanation(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> ExplanationView:
    """Why it is not (or no longer) running: what waits for whom, since when, and what would move it."""
    _check(workflow_id)
    is_operator = request.user.has(Role.OPERATOR)
    return render_explanation(await explain_workflow(parts, workflow_id, names_owners=is_operator))


handlers: Sequence[HTTPRouteHandler] = (
    submit,
    list_,
    show,
    progress,
    stream,
    finish,
    abort,
    pause,
    drain,
    resume,
    account,
    usage,
    errors,
    explanation,
)


def _check(workflow_id: str) -> None:
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
