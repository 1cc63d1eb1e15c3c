"""What does an error look like to a client? One table from our errors to statuses; a body a door.

Our own door answers with a `Problem`. The doors for EWMS clients answer with `{"code", "error"}` and the same text in the status line,
know no 401 and say 400 for a body that breaks the rules (wms.md section 2).
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, NotAuthorizedException, ValidationException

from muster.client.shapes.message import FindingView, Problem
from muster.domain.errors import (
    ConflictError,
    Finding,
    ForbiddenError,
    InvalidError,
    MusterError,
    NoRoomError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from muster.server.doors.audit import note_refusal
from muster.server.doors.reading import UnreadableError
from muster.server.doors.status_line import make_one_line, set_phrase
from muster.server.ports.queue_engine import SessionEndedError
from muster.server.services.enrol_worker import TaskforceEndedError
from muster.server.services.findings import tell_upstream
from muster.server.services.idempotent import IdempotencyMismatchError
from muster.server.services.queue_access import NotOwnerError

log = structlog.get_logger(__name__)
_BROKEN_OFF = "client disconnected prematurely"
"""The framework's words for a client that went in the middle of its body."""

V0_PREFIX = "/v0"
UPSTREAM_PREFIXES = ("/v1", V0_PREFIX, "/mqbroker-issuer")
"""Where the doors for EWMS clients are."""
RETRY_AFTER_S = 2


@dataclass(frozen=True)
class Kind:
    """How an error is told: status and word on our door, status on the doors for EWMS clients."""

    status: HTTPStatus
    code: str
    upstream: HTTPStatus


KINDS: Mapping[type[Exception], Kind] = {
    UnreadableError: Kind(HTTPStatus.BAD_REQUEST, "invalid", HTTPStatus.BAD_REQUEST),
    UnauthenticatedError: Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", HTTPStatus.FORBIDDEN),
    TaskforceEndedError: Kind(HTTPStatus.FORBIDDEN, "taskforce-ended", HTTPStatus.FORBIDDEN),
    ForbiddenError: Kind(HTTPStatus.FORBIDDEN, "forbidden", HTTPStatus.FORBIDDEN),
    NotFoundError: Kind(HTTPStatus.NOT_FOUND, "not-found", HTTPStatus.NOT_FOUND),
    ConflictError: Kind(HTTPStatus.CONFLICT, "conflict", HTTPStatus.UNPROCESSABLE_ENTITY),
    SessionEndedError: Kind(HTTPStatus.GONE, "session-ended", HTTPStatus.GONE),
    TooLargeError: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    InvalidError: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", HTTPStatus.BAD_REQUEST),
    IdempotencyMismatchError: Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-mismatch", HTTPStatus.UNPROCESSABLE_ENTITY
    ),
    RejectedError: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "rejected", HTTPStatus.UNPROCESSABLE_ENTITY),
    NoRoomError: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "no-room", HTTPStatus.SERVICE_UNAVAILABLE),
    UnavailableError: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", HTTPStatus.SERVICE_UNAVAILABLE),
}
"""An error is told as the first of its classes that stands here."""

_UPSTREAM_TEXTS = {UnauthenticatedError: "authentication failed", ForbiddenError: "authorization failed"}
"""Of a missing token, and of a missing role. Nothing has an owner there, so that it has no words for that: ours say who may do it."""
_CODES = {
    HTTPStatus.BAD_REQUEST: "invalid",
    HTTPStatus.UNAUTHORIZED: "unauthenticated",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class UpstreamError(msgspec.Struct):
    """Every error of the doors for EWMS clients."""

    code: int
    error: str


def kind_of(error: Exception) -> Kind | None:
    """How an error is told; None for one that nobody raised on purpose."""
    return next((KINDS[class_] for class_ in type(error).__mro__ if class_ in KINDS), None)


def is_upstream(path: str) -> bool:
    """Is it a path of a door for EWMS clients?"""
    return any(path == prefix or path.startswith(prefix + "/") for prefix in UPSTREAM_PREFIXES)


def answer_muster_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Tell an error that was raised on purpose."""
    kind = kind_of(error)
    if kind is None:
        return answer_unexpected(request, error)
    if isinstance(error, ForbiddenError):
        note_refusal(request, str(error))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, UnavailableError) else {}
    if is_upstream(request.scope["path"]):
        is_v0 = request.scope["path"].startswith(V0_PREFIX)
        text = next((_UPSTREAM_TEXTS[one] for one in type(error).__mro__ if one in _UPSTREAM_TEXTS), None)
        if text is None or isinstance(error, NotOwnerError):
            text = tell_upstream(error.findings, is_v0=is_v0) if isinstance(error, InvalidError) else str(error)
        return _tell_upstream_client(request, kind.upstream, text, headers)
    if kind.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    findings = error.findings if isinstance(error, InvalidError) else ()
    return _problem(request, kind.status.value, kind.code, str(error), findings, headers)


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Tell an error of the framework: no such route, no such method, a query parameter that cannot be read."""
    if isinstance(error, ValidationException):
        return answer_muster_error(request, InvalidError(_read_extra(error)))
    if isinstance(error, NotAuthorizedException):
        return answer_muster_error(request, UnauthenticatedError(error.detail))
    try:
        status = HTTPStatus(error.status_code)
    except ValueError:
        status = HTTPStatus.BAD_REQUEST
    if error.detail == _BROKEN_OFF:  # nobody hears the answer; it is no fault of ours, and must not be counted as one
        status = HTTPStatus.BAD_REQUEST
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    headers = dict(error.headers or {})
    if is_upstream(request.scope["path"]):
        return _tell_upstream_client(request, status, status.phrase, headers)
    text = {HTTPStatus.NOT_FOUND: "no such route", HTTPStatus.METHOD_NOT_ALLOWED: "this route has no such method"}
    return _problem(request, status.value, _CODES.get(status, "invalid"), text.get(status, status.phrase), (), headers)


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Tell that something went wrong, and nothing of what; the log has it, under the request's id."""
    request_id = request.scope.get("request_id")
    # As text: renderers of traces that also tell local variables would tell tokens.
    trace = "".join(traceback.format_exception(error))
    log.error("unexpected error", request_id=request_id, path=request.scope["path"], trace=trace)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if is_upstream(request.scope["path"]):
        return _tell_upstream_client(request, status, "internal server error", {})
    return _problem(request, status.value, "internal", "internal error; the service's log has it under the id", (), {})


HANDLERS: dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[Any]]] = {
    MusterError: answer_muster_error,
    SessionEndedError: answer_muster_error,
    HTTPException: answer_http_error,
    Exception: answer_unexpected,
}


def _read_extra(error: ValidationException) -> list[Finding]:
    extra = error.extra if isinstance(error.extra, list) else []
    findings = [Finding(str(one.get("key", "")), str(one.get("message", ""))) for one in extra if isinstance(one, dict)]
    return findings or [Finding("", error.detail)]


def _problem(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    text: str,
    findings: tuple[Finding, ...],
    headers: Mapping[str, str],
) -> Response[Any]:
    views = [FindingView(one.field, one.reason) for one in findings]
    request_id = request.scope.get("request_id")
    body = Problem(code, text, views, request_id if isinstance(request_id, str) else None)
    return _render(body, status, headers)


def _tell_upstream_client(
    request: Request[Any, Any, Any], status: HTTPStatus, text: str, headers: Mapping[str, str]
) -> Response[Any]:
    text = make_one_line(text)
    set_phrase(request.scope, text)  # type: ignore[arg-type]
    return _render(UpstreamError(status.value, text), status.value, headers)


def _render(body: msgspec.Struct, status: int, headers: Mapping[str, str]) -> Response[Any]:
    return Response(body, status_code=status, headers=dict(headers), media_type=MediaType.JSON)
