"""How do events look that are published, looked at and replayed?"""

from typing import Literal

from msgspec import UNSET, Raw, UnsetType, field

from muster.client.shapes.message import Answer, Request


class NewEventBody(Request):
    """One event to publish: `kind` json: `body` is any JSON value; bytes: base64 text; file: the id of a file that was sent."""

    body: Raw
    kind: Literal["json", "bytes", "file"] = "json"
    key: str | None = None


class Publish(Request):
    """POST /muster/v1/workflows/{id}/queues/{alias}/events. `close`: these were the last."""

    events: list[NewEventBody]
    close: bool = False


class PublishedView(Answer):
    """Ids in the order of the request; `duplicates`: how many had a key that was known (their id is the earlier event's).

    `differing`: places in the request (from 0) of those duplicates whose earlier event has another body, or is of another kind.
    """

    events: list[str]
    duplicates: int
    closed: bool
    differing: list[int] = field(default_factory=list)


class AttemptErrorView(Answer):
    """Why an attempt failed."""

    text: str
    fingerprint: str
    stdout_tail: str
    stderr_tail: str
    exit_code: int | None


class AttemptUsageView(Answer):
    """What an attempt took; null: not known. `cpu_s`: user and system together, of all its processes. `memory_bytes`: at the largest.

    `bytes_in`: of the event's body; `bytes_out`: of its results.
    """

    cpu_s: float | None = None
    memory_bytes: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None


class AttemptView(Answer):
    """One attempt. `outcome`: done, failed, released, expired, abandoned, late, duplicate (docs/glossary.md).

    `revision`: of its task, that its worker ran; null where that is not known. `isolation`: what kept its task from others: `bwrap`, the
    name of a container tool, or `none: ` and why; empty where that is not known.
    """

    attempt: int
    outcome: str
    worker: str
    host: str
    site: str
    started_at: float
    ended_at: float
    wall_s: float
    error: AttemptErrorView | None
    revision: int | None = None
    isolation: str = ""
    usage: AttemptUsageView = field(default_factory=AttemptUsageView)


class StreamView(Answer):
    """What an attempt printed to one stream. `size_bytes`: of all of it; `is_whole`: `text` has all of it, else what is left out."""

    text: str
    size_bytes: int
    is_whole: bool


class AttemptLogView(Answer):
    """GET /muster/v1/events/{event}/logs?attempt=

    `attempt`: counted as in the event's `history`. `stdout`, `stderr`: null where it printed nothing. `has_ends_only`: no more is kept than
    the ends that its error has, of whose beginning nothing is known (`size_bytes` is that of what is kept, and `is_whole` false). `kept`:
    the attempts at this event of which more is.
    """

    event: str
    attempt: int
    outcome: str
    stdout: StreamView | None
    stderr: StreamView | None
    has_ends_only: bool
    kept: list[int]


class LiveStreamView(Answer):
    """The end of what was printed to one stream, base64; `size_bytes`: how much that was in all."""

    data: str
    size_bytes: int


class TailView(Answer):
    """GET /muster/v1/events/{event}/tail

    What the task that is at work at the event has printed; each look has its worker asked for half a minute more, and answers with what it
    brought last. `state`: of the event. `lease`: counts the attempts; null, as `stdout`, `stderr` and `at` (when it was brought): nothing
    was brought yet.
    """

    event: str
    state: str
    lease: int | None
    stdout: LiveStreamView | None
    stderr: LiveStreamView | None
    at: float | None


class EventSummary(Answer):
    """A row of an event list. `retry_at`: when an event whose attempt failed waits until it is tried again; null otherwise."""

    event: str
    queue: str
    state: str
    attempts: int
    key: str | None
    retry_at: float | None


class KeptResult(Answer):
    """The result of a task that has no output queue. `kind`: json, bytes or file."""

    kind: str
    body: Raw


class EventView(EventSummary):
    """GET /muster/v1/events/{event}. `kind`: json, bytes, file (the body is a reference: `file`, `size_bytes`, `checksum`, `content`), or
    purged: then the body is not kept any more, and is null.

    `results`: events that it made in output queues; `result`: its result where its task has no output queue, as long as its body is kept.
    """

    workflow_id: str
    kind: str
    body: Raw
    parent: str | None
    results: list[str]
    history: list[AttemptView]
    result: KeptResult | None = None


class EventPage(Answer):
    """GET /muster/v1/workflows/{id}/events?queue=&state=&after=&limit="""

    events: list[EventSummary]
    next_after: str | None


class EventWithBody(EventSummary):
    """A row of an event list that has bodies. `kind`: as of `EventView`."""

    kind: str
    body: Raw


class EventBodyPage(Answer):
    """GET /muster/v1/workflows/{id}/events?bodies=true&queue=&state=&after=&limit= (it ends early where the bodies are long)"""

    events: list[EventWithBody]
    next_after: str | None


class DeadLetterView(Answer):
    """One dead letter with the error of its last attempt."""

    event: str
    queue: str
    attempts: int
    died_at: float
    error: AttemptErrorView | None


class DeadLetterPage(Answer):
    """GET /muster/v1/workflows/{id}/dead-letters?queue=&after=&limit="""

    dead_letters: list[DeadLetterView]
    next_after: str | None


class Replay(Request):
    """POST /muster/v1/workflows/{id}/dead-letters/actions/replay: the named events, or (`events` left out) all of them, or all of
    a queue.

    A workflow that was finished is active again with the first event that goes back. With an Idempotency-Key a repeat goes on where
    the first request was cut off.
    """

    events: list[str] | UnsetType = UNSET
    queue: str | UnsetType = UNSET


class Replayed(Answer):
    """`left`: dead letters that there are now, those that died again meanwhile too.

    `more`: one call did not take all that were meant; ask again. `reopened`: the workflow was finished, and is active again.
    """

    replayed: list[str]
    left: int
    more: bool
    reopened: bool


class BodyView(Answer):
    """A body: any JSON value, or base64 text, as `kind` says."""

    kind: str
    body: Raw
