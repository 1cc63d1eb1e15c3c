"""How are many events published, a queue consumed, and events and objects read in bulk? Conversations of several calls, without any I/O.

A conversation is a generator of turns. A shell carries out each turn and sends back what came of it: the answer of a call, what a stream
brings, nothing for the others; an error is thrown in. A shell whose caller leaves early throws `Leaving`.
"""

import contextlib
import json
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Generic, Never, TypeAlias, TypeVar

import msgspec

from muster.client import calls
from muster.client.call import Call
from muster.client.refusals import SessionEndedError
from muster.client.shapes.consumers import Consume, Consumed, LeasedEvent, OpenConsumer
from muster.client.shapes.events import EventBodyPage, EventWithBody, NewEventBody, Publish, PublishedView
from muster.client.shapes.queries import PAGE_MAX, FoundPage
from muster.domain.errors import Finding, InvalidError, UnavailableError
from muster.domain.queue import PUBLISH_EVENTS_MAX

BATCH_BYTES = 8 << 20
"""A batch is sent when its bodies are longer than this, also if it has few events."""
PARK_S = 20.0
FLUSH: Final = object()
"""Among the values to publish: send what is there, the next value may take its time."""
SESSIONS_ENDED_MAX = 5
"""After so many sessions in a row that ended before their first answer, consuming is given up."""
EMPTY_PAUSE_S = 0.2
"""Between two looks at an empty queue, also when the service does not park the call."""
EXPORT_PAGE = 1000
DIFFERING_MAX = 100
"""Differing events that a publication names; more are counted."""

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True)
class Pause:
    """Wait that many seconds."""

    delay_s: float


@dataclass(frozen=True)
class Delivery(Generic[E_co]):
    """Give the event to the caller; sent back when the caller wants the next."""

    event: E_co


@dataclass(frozen=True)
class Listen:
    """Open a stream, after closing the one that was open; sent back is how it was `Opened`.

    Args:
        silent_s: seconds without a byte after which `SilentError` is thrown in, here and while it is heard.
    """

    call: Call[None]
    silent_s: float


@dataclass(frozen=True)
class Opened:
    """The head of an answer that goes on."""

    status: int
    media_type: str


@dataclass(frozen=True)
class Hear:
    """Wait for the next bytes of the stream; sent back is none at its end, also where it broke off."""


class SilentError(UnavailableError):
    """Nothing came of a stream for too long."""


class Leaving(Exception):  # noqa: N818 - not an error: the caller of a shell has had enough
    """Thrown in at a delivery: give back what is held, deliver nothing more."""


Turn: TypeAlias = Call[Any] | Pause | Delivery[E] | Listen | Hear
Turns: TypeAlias = Generator[Turn[E], Any, None]


@dataclass
class Publication:
    """Publish any number of values, in batches, each all or nothing.

    Args:
        values: JSON values, `bytes`, or `NewEventBody` where a dedupe key is wanted.
        batch: events of one call, 1 to 10,000.
        close: these are the last; said with the last batch.
        idempotency_key: where publishing that broke off shall be repeatable: the batches' keys are made from it, so the
            same values with the same key and batch are published once, however often they are sent.
        on_batch: called after each batch with its answer.
    """

    workflow_id: str
    alias: str
    values: Iterable[object]
    batch: int = 1000
    close: bool = False
    idempotency_key: str | None = None
    on_batch: Callable[[PublishedView], None] | None = None
    events: int = field(default=0, init=False)
    """Events that the service has, new or known before."""
    duplicates: int = field(default=0, init=False)
    """How many of them were known by their key."""
    n_differing: int = field(default=0, init=False)
    """How many of these had another body than the event that has their key."""
    differing: list[tuple[str, str]] = field(default_factory=list, init=False)
    """Key and earlier event of the first hundred of them."""
    closed: bool = field(default=False, init=False)
    under_way: int = field(default=0, init=False)
    """Events of the batch that was sent and is not answered yet: all of them are published, or none is."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= PUBLISH_EVENTS_MAX:
            raise InvalidError([Finding("batch", f"{self.batch} is not between 1 and {PUBLISH_EVENTS_MAX}")])

    def turns(self) -> Turns[Never]:
        key = self.idempotency_key or uuid.uuid4().hex
        batches = self._cut()
        for number, (events, is_last) in enumerate(batches):
            publish = Publish(events=events, close=self.close and is_last)
            self.under_way = len(events)
            answer: PublishedView = yield calls.publish_events(
                self.workflow_id, self.alias, publish, idempotency_key=f"{key}-{number}"
            )
            self.events, self.under_way = self.events + len(answer.events), 0
            self.duplicates += answer.duplicates
            self._note_differing(events, answer)
            self.closed = answer.closed
            if self.on_batch is not None:
                self.on_batch(answer)
        if self.close and not self.closed:
            yield calls.close_queue(self.workflow_id, self.alias)
            self.closed = True

    def _note_differing(self, events: list[NewEventBody], answer: PublishedView) -> None:
        self.n_differing += len(answer.differing)
        for place in answer.differing[: DIFFERING_MAX - len(self.differing)]:
            self.differing.append((events[place].key or "", answer.events[place]))

    def _cut(self) -> Iterator[tuple[list[NewEventBody], bool]]:
        """Batches, each with whether it is known to be the last."""
        events: list[NewEventBody] = []
        size_bytes = 0
        for number, value in enumerate(self.values):
            if value is not FLUSH:
                events.append(event := render_event(value, number=number))
                size_bytes += memoryview(event.body).nbytes
            if events and (value is FLUSH or len(events) == self.batch or size_bytes > BATCH_BYTES):
                yield events, False
                events, size_bytes = [], 0
        if events:
            yield events, True


def render_event(value: object, *, number: int = 0) -> NewEventBody:
    """Make an event of a value. Raises InvalidError naming `values[number]` for one that JSON does not know."""
    if isinstance(value, NewEventBody):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return NewEventBody(body=msgspec.Raw(msgspec.json.encode(bytes(value))), kind="bytes")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return NewEventBody(body=msgspec.Raw(text.encode()))
    except (TypeError, ValueError) as error:
        raise InvalidError([Finding(f"values[{number}]", f"cannot be written as JSON: {error}")]) from error


@dataclass
class Consumption:
    """Consume a queue: at least once, each event once a consumption.

    An event is acknowledged after the caller took the next one (or reached the end), so what a caller that dies was
    working on is given to somebody else.

    Args:
        limit: end after that many events; None for no limit.
        wait: go on until the queue is drained: it can get no more events. False: end when it has none at the moment.
        batch: events leased at once.
        lease_s: how long a silent consumer keeps what it holds.
        clock: seconds that never go back.
    """

    workflow_id: str
    alias: str
    limit: int | None = None
    wait: bool = True
    batch: int = 500
    lease_s: float = 60.0
    clock: Callable[[], float] = monotonic
    _consumer: str = field(default="", init=False)
    _call: int = field(default=0, init=False)
    _stepped_at: float = field(default=0.0, init=False)
    _taken: int = field(default=0, init=False)
    _sessions_ended: int = field(default=0, init=False)
    _ack: dict[str, int] = field(default_factory=dict, init=False)
    _delivered: set[str] = field(default_factory=set, init=False)
    """Given to the caller and not yet known to be acknowledged: one of them that comes again is not given again."""

    def turns(self) -> Turns[LeasedEvent]:
        yield from self._open()
        try:
            while self.limit is None or self._taken < self.limit:
                begun_at = self.clock()
                answer = yield from self._step(want=self._count_wanted(), is_parked=self.wait)
                if answer is None:
                    continue
                if answer.events:
                    yield from self._deliver(answer.events)
                elif answer.drained or not self.wait:
                    break
                elif self.clock() - begun_at < EMPTY_PAUSE_S:
                    yield Pause(EMPTY_PAUSE_S)
        except Leaving:
            pass  # what was not taken goes back when the consumer is closed
        while self._ack:
            yield from self._step(want=0)
        with contextlib.suppress(SessionEndedError):  # closed already, by its time
            yield calls.close_consumer(self._consumer)

    def _count_wanted(self) -> int:
        return self.batch if self.limit is None else min(self.batch, self.limit - self._taken)

    def _open(self) -> Turns[Never]:
        consumer = yield calls.open_consumer(self.workflow_id, self.alias, OpenConsumer(lease_s=self.lease_s))
        self._consumer, self._call, self._stepped_at = consumer.consumer, 0, self.clock()

    def _step(self, *, want: int, is_parked: bool = False) -> Generator[Turn[Never], Any, Consumed | None]:
        """Acknowledge, renew, lease. None: the session had ended, another one is open, and everything held went back."""
        self._call += 1
        ack = list(self._ack.items())
        # Parked for less than the lease, so that a session never ends while it waits.
        wait_s = min(PARK_S, self.lease_s / 3) if is_parked else 0.0
        try:
            answer: Consumed = yield calls.step_consumer(
                self._consumer, Consume(call=self._call, ack=ack, want=want, wait_s=wait_s)
            )
        except SessionEndedError:
            self._sessions_ended += 1
            if self._sessions_ended > SESSIONS_ENDED_MAX:
                raise
            yield from self._open()
            return None
        self._sessions_ended = 0
        self._stepped_at = self.clock()
        self._delivered.difference_update(
            event for (event, _), verdict in zip(ack, answer.verdicts, strict=False) if verdict != "unknown"
        )
        self._ack.clear()
        return answer

    def _deliver(self, events: list[LeasedEvent]) -> Turns[LeasedEvent]:
        for leased in events:
            if leased.event not in self._delivered:
                self._delivered.add(leased.event)
                self._taken += 1
                yield Delivery(leased)
            self._ack[leased.event] = leased.fence
            is_due = self.clock() - self._stepped_at > self.lease_s / 3
            if is_due and (yield from self._step(want=0)) is None:
                return  # what is left of this batch went back, and comes again


def publish(
    workflow_id: str,
    alias: str,
    values: Iterable[object],
    *,
    batch: int = 1000,
    close: bool = False,
    idempotency_key: str | None = None,
    on_batch: Callable[[PublishedView], None] | None = None,
) -> Publication:
    """Publish any number of values: JSON values, `bytes`, or `NewEventBody`. See `Publication`."""
    return Publication(
        workflow_id, alias, values, batch=batch, close=close, idempotency_key=idempotency_key, on_batch=on_batch
    )


def consume(
    workflow_id: str,
    alias: str,
    *,
    limit: int | None = None,
    wait: bool = True,
    batch: int = 500,
    lease_s: float = 60.0,
) -> Turns[LeasedEvent]:
    """Consume a queue event by event; each is acknowledged after the next was asked for. See `Consumption`."""
    return Consumption(workflow_id, alias, limit=limit, wait=wait, batch=batch, lease_s=lease_s).turns()


def query_pages(
    what: calls.Queried,
    filter_: Mapping[str, Any] | None = None,
    *,
    projection: Sequence[str] | None = None,
    after: str = "",
    limit: int | None = None,
    newest_first: bool = False,
) -> Turns[FoundPage]:
    """All objects that fit a filter, page by page, of which one is held; pages may be empty. Arguments as of `query`.

    Args:
        limit: so many objects in all at most; the `next_after` of the last page is then where it could be gone on.
    """
    with contextlib.suppress(Leaving):
        while limit is None or limit > 0:
            size = PAGE_MAX if limit is None else min(PAGE_MAX, limit)
            page: FoundPage = yield calls.query(
                what, filter_, projection=projection, after=after, limit=size, newest_first=newest_first
            )
            yield Delivery(page)
            if page.next_after is None:
                return
            after = page.next_after
            limit = None if limit is None else limit - len(page.objects)


def export_events(
    workflow_id: str, *, queue: str | None = None, state: str | None = None, after: str | None = None
) -> Turns[EventWithBody]:
    """Read events with their bodies, oldest first, and take nothing: the next time gives them again. A page at a time is held.

    Args:
        queue: only those of this queue.
        state: only those in this state: `waiting`, `in_work`, `done`, `dead`. One that changes its state meanwhile may be missed.
        after: only those that came after this event.
    """
    with contextlib.suppress(Leaving):
        while True:  # the last page ends it
            page: EventBodyPage = yield calls.list_event_bodies(
                workflow_id, queue=queue, state=state, after=after, limit=EXPORT_PAGE
            )
            for event in page.events:
                yield Delivery(event)
            if page.next_after is None:
                return
            after = page.next_after
