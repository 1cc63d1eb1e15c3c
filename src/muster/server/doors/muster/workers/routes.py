"""Where do workers call? Their four routes; the enrolment secret opens the first, a worker's token the others."""

from collections.abc import Sequence
from typing import Any

from litestar import MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from muster.domain.queue import REQUEST_BYTES_MAX
from muster.server.doors.access import CHECKED_BY_ROUTE, PUBLIC, read_bearer
from muster.server.doors.connection import while_connected
from muster.server.doors.documents import gives, takes
from muster.server.doors.muster.workers.views import (
    EnrolAnswer,
    EnrolRequest,
    LeaveRequest,
    RenewAnswer,
    RenewRequest,
    StepAnswerMessage,
    StepRequest,
    parse_enrolment,
    parse_leave,
    parse_renewal,
    parse_step,
    render_enrolled,
    render_renewed,
    render_step,
)
from muster.server.services.enrol_worker import enrol_worker
from muster.server.services.parts import Parts
from muster.server.services.step_worker import await_events, find_come_back, leave_worker, renew_worker, step_worker
from muster.server.services.worker_token import WorkerClaims, parse_token

_SECRET = {"access": PUBLIC}  # opened by the secret in the body
_TOKEN = {"access": PUBLIC, CHECKED_BY_ROUTE: True}


@post(
    "/worker/enrol",
    status_code=200,
    opt=_SECRET,
    operation_class=takes(EnrolRequest),
    responses=gives(200, EnrolAnswer),
)
async def enrol(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Response[bytes]:
    """Begin a session: the taskforce's enrolment secret buys a worker's token."""
    return _reply(render_enrolled(await enrol_worker(parts, parse_enrolment(await request.body()))))


@post(
    "/worker/step",
    status_code=200,
    opt=_TOKEN,
    request_max_body_size=REQUEST_BYTES_MAX,
    operation_class=takes(StepRequest),
    responses=gives(200, StepAnswerMessage),
)
async def step(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Response[bytes]:
    """Hand in attempts and lease the next events; parks when there are none."""
    claims = _claims(request, parts)
    asked = parse_step(await request.body())
    answer = await step_worker(parts, claims, asked)
    if answer.may_park(asked):
        parked = answer
        told = await find_come_back(parts, claims, parked)
        if told is None:
            told = await while_connected(request, lambda: await_events(parts, claims, asked, parked))
        answer = told
    return _reply(render_step(answer))


@post(
    "/worker/renew",
    status_code=200,
    opt=_TOKEN,
    operation_class=takes(RenewRequest),
    responses=gives(200, RenewAnswer),
)
async def renew(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> Response[bytes]:
    """Prolong a session and all that it holds."""
    claims = _claims(request, parts)
    held, tails = parse_renewal(await request.body())
    return _reply(render_renewed(await renew_worker(parts, claims, held, tails)))


@post("/worker/leave", status_code=200, opt=_TOKEN, operation_class=takes(LeaveRequest))
async def leave(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> dict[str, str]:
    """End a session: what it holds goes back uncounted."""
    claims = _claims(request, parts)
    await leave_worker(parts, claims, reason=parse_leave(await request.body()))
    return {}


handlers: Sequence[HTTPRouteHandler] = (enrol, step, renew, leave)


def _claims(request: Request[Any, Any, Any], parts: NamedDependency[Parts]) -> WorkerClaims:
    return parse_token(parts.worker_key, read_bearer(request), now_s=parts.desk.clock())


def _reply(body: bytes) -> Response[bytes]:
    return Response(body, media_type=MediaType.JSON)
