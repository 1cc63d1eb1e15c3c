"""Which error does an answer stand for? One table from the problems of our door to the classes of the domain."""

from collections.abc import Mapping

import msgspec

from muster.client.shapes.message import Problem
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


class SessionEndedError(ConflictError):
    """The consumer's session is over; what it held went back to the queue. Open another one."""


class ServiceFailedError(MusterError):
    """The service met something that nobody expected; its log has the trace under the request id."""


ERROR_OF_CODE: Mapping[str, type[MusterError]] = {
    "not-found": NotFoundError,
    "conflict": ConflictError,
    "too-large": TooLargeError,
    "unauthenticated": UnauthenticatedError,
    "forbidden": ForbiddenError,
    "taskforce-ended": ForbiddenError,
    "unavailable": UnavailableError,
    "no-room": NoRoomError,
    "rejected": RejectedError,
    "idempotency-mismatch": RejectedError,
    "session-ended": SessionEndedError,
    "internal": ServiceFailedError,
}
"""`invalid` carries findings and becomes InvalidError."""

ERROR_OF_STATUS: Mapping[int, type[MusterError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: RejectedError,
    409: ConflictError,
    410: SessionEndedError,
    413: TooLargeError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
"""For answers that are no problems of ours: those of proxies, and of other programs at the address."""

RETRIED = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed."""


def read_refusal(status: int, body: bytes, *, subject: str) -> MusterError:
    """The error that an answer with this status (not 2xx) stands for. `subject` names the call, for answers without a text."""
    problem = _find_problem(body)
    if problem is None:
        wanted = ERROR_OF_STATUS.get(status, ServiceFailedError if status >= 500 else RejectedError)
        return wanted(
            f"{subject} was answered with HTTP status {status} and no reason: is this address a Muster service?"
        )
    if problem.code == "invalid":
        return InvalidError(
            [Finding(one.field, one.reason) for one in problem.findings] or [Finding("", problem.error)]
        )
    text = problem.error
    if problem.code == "internal" and problem.request_id and problem.request_id not in text:
        text = f"{text} (request {problem.request_id}: see the log of the service)"
    return ERROR_OF_CODE.get(problem.code, ERROR_OF_STATUS.get(status, RejectedError))(text)


def _find_problem(body: bytes) -> Problem | None:
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        return None
