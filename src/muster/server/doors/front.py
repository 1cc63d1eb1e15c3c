"""What is true of every request, whatever its route? An id, a measure, an entry in the log, and an exact path.

Stands before the framework, so that it also sees what no route takes.
"""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import structlog
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from muster.server.doors.audit import AnyScope, write_audit
from muster.server.doors.cut_off import is_cut_off
from muster.server.doors.errors import is_upstream
from muster.server.doors.upstream_wire import NO_ROUTE, UpstreamWire

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,100}")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_NO_ROUTE = "no route"
CUT_OFF = "cut off"
"""What is counted in place of a status where the service stopped before it answered."""
_WITH_SLASH = ("/v1/", "/v0/")
"""The only routes that end in a slash; without it they are none (wms.md section 2)."""
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Meters:
    """What is measured of requests, by method, route and status."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    underway: Gauge = field(init=False)
    streams: Gauge = field(init=False)
    series: dict[tuple[str, str, int | None], tuple[Counter, Histogram]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        labels = ("method", "route")
        requests = Counter(
            "muster_requests",
            "Requests answered; `status` is `cut off` where the service stopped before.",
            (*labels, "status"),
            registry=self.registry,
        )
        seconds = Histogram(
            "muster_request_seconds",
            "Seconds from request to answer.",
            labels,
            registry=self.registry,
            buckets=_BUCKETS,
        )
        underway = Gauge("muster_requests_underway", "Requests that are not answered yet.", registry=self.registry)
        object.__setattr__(self, "requests", requests)
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "underway", underway)
        object.__setattr__(self, "streams", Gauge("muster_streams", "Streams that are open.", registry=self.registry))

    def note(self, method: str, route: str, status: int | None, seconds: float) -> None:
        """Count one request; without a status it was cut off."""
        answered, took = self._find(method, route, status)
        answered.inc()
        took.observe(seconds)

    def _find(self, method: str, route: str, status: int | None) -> tuple[Counter, Histogram]:
        """The series of these labels. Finding them by their labels costs more than counting, so they are kept: few, as routes are."""
        key = (method, route, status)
        if (series := self.series.get(key)) is None:
            label = CUT_OFF if status is None else str(status)
            series = self.requests.labels(method, route, label), self.seconds.labels(method, route)
            self.series[key] = series
        return series


class Front:
    """Wraps the application."""

    def __init__(self, inner: ASGIApp, meters: Meters) -> None:
        self._inner = UpstreamWire(inner)
        self._meters = meters
        self._log = structlog.get_logger(__name__).bind()  # bound once, not at each request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._inner(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request_id = _read_request_id(scope["headers"])
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _make_exact(scope)
        at, begun = time.time(), time.perf_counter()
        status: int | None = 500
        is_answered = False

        async def send_marked(message: Message) -> None:
            nonlocal status, is_answered
            if message["type"] == "http.response.start":
                status, is_answered = message["status"], True
                # First, so that no answer is known to anybody that the audit does not know.
                write_audit(cast("AnyScope", scope), status=status, at=at)
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        self._meters.underway.inc()
        try:
            await self._inner(scope, receive, send_marked)
        except asyncio.CancelledError:
            if not is_answered and is_cut_off():
                status = None
            raise
        finally:
            self._meters.underway.dec()
            self._count(scope, method, status, time.perf_counter() - begun)
            if not is_answered:
                write_audit(cast("AnyScope", scope), status=status, at=at)

    def _count(self, scope: HTTPScope, method: str, status: int | None, seconds: float) -> None:
        route = scope.get("path_template") or _NO_ROUTE
        self._meters.note(method, route, status, seconds)
        self._log.debug(
            "request",
            method=method,
            path=scope["path"],
            status=status,
            seconds=round(seconds, 6),
            request_id=scope.get("request_id"),
        )


def find_meters(app: Litestar) -> Meters:
    """The meters of an application that has a front."""
    meters: Meters = app.state.meters
    return meters


def _read_request_id(headers: object) -> str:
    """The id that the client gave, if it can be one; else a new one."""
    for name, value in cast("Headers", headers):
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(8)


def _make_exact(scope: HTTPScope) -> None:
    """A path with a slash too many, or too few, is no route; the framework would let it pass. OPTIONS is no method of EWMS."""
    path = scope["path"]
    if (path != "/" and path.endswith("/") and path not in _WITH_SLASH) or path + "/" in _WITH_SLASH:
        scope["path"] = NO_ROUTE if is_upstream(path) else "/no/such/route"
    if scope["method"] == "OPTIONS" and is_upstream(path):
        scope["method"] = "DELETE"  # which is none either: the framework would answer OPTIONS itself
