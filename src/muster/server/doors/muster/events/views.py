"""How do events look on our door?"""

import base64

from muster.client.shapes.consumers import LeasedEvent
from muster.client.shapes.events import (
    AttemptErrorView,
    AttemptLogView,
    AttemptUsageView,
    AttemptView,
    DeadLetterPage,
    DeadLetterView,
    EventBodyPage,
    EventPage,
    EventSummary,
    EventView,
    EventWithBody,
    KeptResult,
    LiveStreamView,
    Replayed,
    StreamView,
    TailView,
)
from muster.domain.attempt import AttemptEnd, AttemptError
from muster.domain.attempt_output import Stream
from muster.domain.ids import render_event_id
from muster.domain.queue import Queue
from muster.server.ports.events import AttemptRow, DeadLetter, EventRow
from muster.server.ports.queue_engine import Leased
from muster.server.services.event_body import render_body, render_kind
from muster.server.services.live_tails import LiveStream
from muster.server.services.read_events import AttemptLog, EventHistory
from muster.server.services.read_tail import Look
from muster.server.services.replay_dead_letters import ReplayAnswer


def render_leased(leased: Leased) -> LeasedEvent:
    """An event on lease; its body is copied through."""
    return LeasedEvent(
        event=render_event_id(leased.event),
        fence=leased.fence,
        attempt=leased.attempt,
        limit=leased.limit,
        kind=render_kind(leased.body.kind),
        body=render_body(leased.body),
        key=leased.key,
    )


def render_summary(queue: Queue, row: EventRow) -> EventSummary:
    """A row of a list."""
    return EventSummary(
        event=render_event_id(row.event),
        queue=queue.alias,
        state=row.state.value,
        attempts=row.attempts,
        key=row.key,
        retry_at=row.retry_at,
    )


def render_page(rows: list[EventSummary], *, limit: int) -> EventPage:
    """A page; a full one may have a next one."""
    return EventPage(events=rows, next_after=rows[-1].event if len(rows) == limit else None)


def render_with_body(queue: Queue, row: EventRow) -> EventWithBody:
    """A row of a list that has bodies; the body is copied through."""
    return EventWithBody(
        event=render_event_id(row.event),
        queue=queue.alias,
        state=row.state.value,
        attempts=row.attempts,
        key=row.key,
        retry_at=row.retry_at,
        kind=render_kind(row.body.kind),
        body=render_body(row.body),
    )


def render_body_page(rows: list[EventWithBody], *, may_go_on: bool) -> EventBodyPage:
    """A page with bodies."""
    return EventBodyPage(events=rows, next_after=rows[-1].event if may_go_on and rows else None)


def render_history(history: EventHistory) -> EventView:
    """An event, whole."""
    row = history.row
    return EventView(
        event=render_event_id(row.event),
        queue=history.queue.alias,
        state=row.state.value,
        attempts=row.attempts,
        key=row.key,
        retry_at=row.retry_at,
        workflow_id=history.workflow.workflow_id,
        kind=render_kind(row.body.kind),
        body=render_body(row.body),
        parent=None if row.parent is None else render_event_id(row.parent),
        results=[render_event_id(result) for result in row.results],
        history=[_render_attempt(number, attempt) for number, attempt in enumerate(history.attempts, 1)],
        result=None if row.result is None else KeptResult(render_kind(row.result.kind), render_body(row.result)),
    )


def render_log(event: int, log: AttemptLog) -> AttemptLogView:
    """What an attempt printed; where no more is kept, the ends in its error."""
    output, error = log.output, log.row.error
    if output is not None:
        stdout, stderr = _render_stream(output.stdout), _render_stream(output.stderr)
    else:
        stdout, stderr = (
            _render_tail(text) for text in ((error.stdout_tail, error.stderr_tail) if error else ("", ""))
        )
    return AttemptLogView(
        event=render_event_id(event),
        attempt=log.number,
        outcome=_render_end(log.row.end),
        stdout=stdout,
        stderr=stderr,
        has_ends_only=output is None,
        kept=list(log.kept),
    )


def _render_stream(stream: Stream | None) -> StreamView | None:
    if stream is None:
        return None
    content = stream.unpack()
    return StreamView(content.decode("utf-8", "replace"), stream.size_bytes, len(content) == stream.size_bytes)


def _render_tail(text: str) -> StreamView | None:
    return StreamView(text, len(text.encode("utf-8", "replace")), is_whole=False) if text else None


def render_tail(event: int, look: Look) -> TailView:
    """What a task at work has printed."""
    tail = look.tail
    return TailView(
        event=render_event_id(event),
        state=look.state.value,
        lease=None if tail is None else tail.fence,
        stdout=None if tail is None else _render_live(tail.stdout),
        stderr=None if tail is None else _render_live(tail.stderr),
        at=None if tail is None else tail.at,
    )


def _render_live(stream: LiveStream) -> LiveStreamView:
    return LiveStreamView(base64.b64encode(stream.data).decode("ascii"), stream.size_bytes)


def render_dead_letters(letters: list[tuple[Queue, DeadLetter]], *, limit: int) -> DeadLetterPage:
    """A page of dead letters; a full one may have a next one."""
    views = [
        DeadLetterView(
            event=render_event_id(letter.event),
            queue=queue.alias,
            attempts=letter.attempts,
            died_at=letter.died_at,
            error=_render_error(letter.error),
        )
        for queue, letter in letters
    ]
    return DeadLetterPage(dead_letters=views, next_after=views[-1].event if len(views) == limit else None)


def render_replay(answer: ReplayAnswer) -> Replayed:
    """What a replay did."""
    return Replayed(
        replayed=[render_event_id(event) for event in answer.replayed],
        left=answer.left,
        more=answer.more,
        reopened=answer.reopened,
    )


def _render_attempt(number: int, row: AttemptRow) -> AttemptView:
    return AttemptView(
        attempt=number,
        outcome=_render_end(row.end),
        worker=row.worker,
        host=row.host,
        site=row.site,
        started_at=row.started_at,
        ended_at=row.ended_at,
        wall_s=row.wall_s,
        error=_render_error(row.error),
        revision=row.revision,
        isolation=row.isolation,
        usage=AttemptUsageView(row.usage.cpu_s, row.usage.memory_bytes, row.usage.bytes_in, row.usage.bytes_out),
    )


def _render_end(end: AttemptEnd | None) -> str:
    return "done" if end is None else end.name.lower()


def _render_error(error: AttemptError | None) -> AttemptErrorView | None:
    if error is None:
        return None
    return AttemptErrorView(
        text=error.text,
        fingerprint=error.fingerprint,
        stdout_tail=error.stdout_tail,
        stderr_tail=error.stderr_tail,
        exit_code=error.exit_code,
    )
