"""Where does one see what became of events, and send dead letters back?"""

from collections.abc import Sequence
from typing import Annotated

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import UNSET

from muster.client.shapes.events import (
    AttemptLogView,
    DeadLetterPage,
    EventBodyPage,
    EventPage,
    EventView,
    Replay,
    Replayed,
    TailView,
)
from muster.domain.errors import Finding, InvalidError, NotFoundError, TooLargeError
from muster.domain.event_state import EventState
from muster.domain.ids import WORKFLOW_ID, parse_event_id
from muster.server.doors.access import SignedIn
from muster.server.doors.documents import takes
from muster.server.doors.muster.events.views import (
    render_body_page,
    render_dead_letters,
    render_history,
    render_log,
    render_page,
    render_replay,
    render_summary,
    render_tail,
    render_with_body,
)
from muster.server.doors.reading import parse_id, read_body, read_key
from muster.server.services.parts import Parts
from muster.server.services.read_events import (
    Page,
    get_attempt_log,
    get_event,
    list_dead_letters,
    list_event_bodies,
    list_events,
)
from muster.server.services.read_tail import look_at_tail
from muster.server.services.replay_dead_letters import REPLAY_MAX, Replaying, replay_dead_letters

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000

Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)]
WantedState = Annotated[
    str | None, QueryParameter(name="state")
]  # `state` is a name that the framework keeps for itself


@get("/workflows/{workflow_id:str}/events", media_type=MediaType.JSON)
async def list_(
    request: SignedIn,
    parts: NamedDependency[Parts],
    workflow_id: FromPath[str],
    queue: FromQuery[str | None] = None,
    wanted: WantedState = None,
    after: FromQuery[str | None] = None,
    limit: Limit = LIMIT_DEFAULT,
    bodies: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
) -> Response[EventPage | EventBodyPage]:
    """Events by queue and state, oldest first. With their bodies for the owner: then a page ends early where they are long."""
    findings: list[Finding] = []
    page = _parse_page(workflow_id, queue, after, limit, findings, state=_parse_state(wanted, findings))
    if bodies:
        whole, may_go_on = await list_event_bodies(parts, request.user, page)
        shown = render_body_page([render_with_body(one, row) for one, row in whole], may_go_on=may_go_on)
        return Response(shown, media_type=MediaType.JSON)
    rows = await list_events(parts, page)
    return Response(
        render_page([render_summary(one, row) for one, row in rows], limit=limit), media_type=MediaType.JSON
    )


@get("/workflows/{workflow_id:str}/dead-letters")
async def list_dead(
    parts: NamedDependency[Parts],
    workflow_id: FromPath[str],
    queue: FromQuery[str | None] = None,
    after: FromQuery[str | None] = None,
    limit: Limit = LIMIT_DEFAULT,
) -> DeadLetterPage:
    """Dead letters with the error of their last attempt, oldest first."""
    page = _parse_page(workflow_id, queue, after, limit, [])
    return render_dead_letters(list(await list_dead_letters(parts, page)), limit=limit)


@post(
    "/workflows/{workflow_id:str}/dead-letters/actions/replay",
    status_code=200,
    operation_class=takes(Replay),
)
async def replay(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> Replayed:
    """Send dead letters back to their queues: those named, or all. A workflow that was finished is active again."""
    message = await read_body(request, Replay)
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    events = None
    if message.events is not UNSET and message.queue is not UNSET:
        raise InvalidError([Finding("queue", "goes without `events`: dead letters that are named have their queue")])
    if message.events is not UNSET:
        if len(message.events) > REPLAY_MAX:
            raise TooLargeError(f"events: {len(message.events)} are named; at most {REPLAY_MAX} are allowed")
        parsed = [parse_event_id(text) for text in message.events]
        findings = [
            Finding(f"events[{index}]", f"{message.events[index][:40]!r} is not an event id")
            for index, event in enumerate(parsed)
            if event is None
        ]
        if findings:
            raise InvalidError(findings)
        events = [event for event in parsed if event is not None]
    key = await read_key(request)
    queue = None if message.queue is UNSET else message.queue
    return render_replay(await replay_dead_letters(parts, request.user, Replaying(workflow_id, events, queue, key)))


@get("/events/{event:str}", media_type=MediaType.JSON)
async def get_(request: SignedIn, parts: NamedDependency[Parts], event: FromPath[str]) -> Response[EventView]:
    """One event with its body and its history."""
    if (number := parse_event_id(event)) is None:
        raise NotFoundError("no event is named so")
    return Response(render_history(await get_event(parts, request.user, number)), media_type=MediaType.JSON)


@get("/events/{event:str}/logs")
async def get_logs(
    request: SignedIn,
    parts: NamedDependency[Parts],
    event: FromPath[str],
    attempt: Annotated[
        int | None, QueryParameter(ge=1, le=100_000, description="Counted as in the event's history.")
    ] = None,
) -> AttemptLogView:
    """What an attempt at an event printed: that one, or the last that failed."""
    if (number := parse_event_id(event)) is None:
        raise NotFoundError("no event is named so")
    return render_log(number, await get_attempt_log(parts, request.user, number, attempt))


@get("/events/{event:str}/tail")
async def get_tail(request: SignedIn, parts: NamedDependency[Parts], event: FromPath[str]) -> TailView:
    """What the task that is at work at an event prints right now; its worker is asked for it for half a minute."""
    if (number := parse_event_id(event)) is None:
        raise NotFoundError("no event is named so")
    return render_tail(number, await look_at_tail(parts, request.user, number))


handlers: Sequence[HTTPRouteHandler] = (list_, list_dead, replay, get_, get_logs, get_tail)


def _parse_state(text: str | None, findings: list[Finding]) -> EventState | None:
    if text is None or text in set(EventState):
        return None if text is None else EventState(text)
    findings.append(Finding("state", f"{text[:40]!r} is none of: {', '.join(EventState)}"))
    return None


def _parse_page(
    workflow_id: str,
    alias: str | None,
    after: str | None,
    limit: int,
    findings: list[Finding],
    *,
    state: EventState | None = None,
) -> Page:
    number = 0 if after is None else parse_event_id(after)
    if number is None:
        findings.append(Finding("after", f"{str(after)[:40]!r} is not an event id"))
    if findings or number is None:
        raise InvalidError(findings)
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    return Page(workflow_id, alias, number, limit, state)
