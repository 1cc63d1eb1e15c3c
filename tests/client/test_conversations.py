"""Are publishing and consuming right, whatever the service does in between? Played against an honest queue, without a network."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.client.call import Call
from muster.client.conversations import (
    FLUSH,
    SESSIONS_ENDED_MAX,
    Consumption,
    Delivery,
    Leaving,
    Pause,
    Publication,
    Turns,
    render_event,
)
from muster.client.refusals import SessionEndedError
from muster.client.shapes.consumers import Consume, Consumed, Consumer, LeasedEvent
from muster.client.shapes.events import NewEventBody, Publish, PublishedView
from muster.domain.errors import InvalidError


@dataclass
class Queue:
    """A queue as the service keeps it, and the sessions of its consumers.

    Args:
        endings: for each step in turn, whether the session has ended before it arrives; afterwards it never has.
        redeliveries: for each step in turn, whether what the session holds goes back just before (a lease that ran out).
    """

    waiting: list[str]
    endings: list[bool] = field(default_factory=list)
    redeliveries: list[bool] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    fences: int = 0
    sessions: int = 0
    calls: list[str] = field(default_factory=list)

    def answer(self, call: Call[Any]) -> Any:
        what = call.path.rsplit("/", 1)[1]
        self.calls.append(what)
        match what:
            case "consumers":
                self.sessions += 1
                return Consumer(f"C{self.sessions}", 60.0)
            case "step":
                return self._step(msgspec.json.decode(call.body or b"", type=Consume))
            case "close":
                self._give_back()
                return None
        raise AssertionError(call.path)

    def _step(self, step: Consume) -> Consumed:
        if self.endings and self.endings.pop(0):
            self._give_back()
            raise SessionEndedError("the session is over")
        if self.redeliveries and self.redeliveries.pop(0):
            self._give_back()
        verdicts = [self._ack(event, fence) for event, fence in step.ack]
        leased = [self._lease(self.waiting.pop(0)) for _ in range(min(step.want, len(self.waiting)))]
        return Consumed(leased, verdicts, drained=not leased and not self.waiting and not self.held)

    def _ack(self, event: str, fence: int) -> str:
        if event in self.done:
            return "duplicate"
        if self.held.get(event) != fence:
            return "unknown"  # the strictest service: it forgets leases that have ended
        del self.held[event]
        self.done.append(event)
        return "done"

    def _lease(self, event: str) -> LeasedEvent:
        self.fences += 1
        self.held[event] = self.fences
        return LeasedEvent(event, self.fences, 1, 5, "json", msgspec.Raw(b"1"))

    def _give_back(self) -> None:
        self.waiting = sorted([*self.held, *self.waiting])
        self.held.clear()


def play(turns: Turns[LeasedEvent], queue: Queue, *, leave_after: int | None = None) -> list[str]:
    """Carry a conversation out as the clients do. Returns the events delivered."""
    delivered: list[str] = []
    reply: Any = None
    fault: Exception | None = None
    for _ in range(10_000):
        try:
            turn = turns.send(reply) if fault is None else turns.throw(fault)
        except StopIteration:
            return delivered
        reply, fault = None, None
        match turn:
            case Delivery(event=event):
                delivered.append(event.event)
                if leave_after is not None and len(delivered) >= leave_after:
                    fault = Leaving()
            case Call():
                try:
                    reply = queue.answer(turn)
                except SessionEndedError as error:
                    fault = error
            case Pause():
                pass
    raise AssertionError("the conversation does not end")


def _events(count: int) -> list[str]:
    return [f"EV-{number:016x}" for number in range(count)]


@given(
    count=st.integers(0, 30),
    batch=st.integers(1, 7),
    endings=st.lists(st.booleans(), max_size=SESSIONS_ENDED_MAX),
    redeliveries=st.lists(st.booleans(), max_size=20),
)
def test_each_event_is_delivered_once_and_acknowledged_whatever_happens_to_sessions_and_leases(
    count: int, batch: int, endings: list[bool], redeliveries: list[bool]
) -> None:
    queue = Queue(_events(count), endings, redeliveries)

    delivered = play(Consumption("WF", "out", batch=batch).turns(), queue)

    assert sorted(delivered) == _events(count)
    assert sorted(queue.done) == _events(count)


@given(count=st.integers(1, 30), batch=st.integers(1, 7), left=st.integers(1, 30))
def test_leaving_early_gives_back_all_but_what_was_taken(count: int, batch: int, left: int) -> None:
    queue = Queue(_events(count))

    delivered = play(Consumption("WF", "out", batch=batch).turns(), queue, leave_after=left)

    # The last one delivered was not finished with, so somebody else gets it.
    assert queue.done == (delivered[:-1] if left <= count else delivered)
    assert sorted([*queue.done, *queue.waiting]) == _events(count)
    assert queue.calls[-1] == "close"


@given(count=st.integers(0, 20), batch=st.integers(1, 7), limit=st.integers(1, 20))
def test_a_limit_is_kept_and_all_within_it_is_acknowledged(count: int, batch: int, limit: int) -> None:
    queue = Queue(_events(count))

    delivered = play(Consumption("WF", "out", batch=batch, limit=limit).turns(), queue)

    assert delivered == queue.done == _events(count)[:limit]
    assert queue.held == {}


def test_a_slow_caller_keeps_its_lease() -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 15.0  # each look at the clock: so long the caller has worked
        return now

    queue = Queue(_events(6))

    delivered = play(Consumption("WF", "out", batch=6, lease_s=60.0, clock=clock).turns(), queue)

    assert delivered == queue.done == _events(6)
    assert queue.calls.count("step") > 3


def test_without_waiting_it_ends_at_an_empty_queue_that_may_still_get_events() -> None:
    queue = Queue(_events(2))
    queue.held["EV-somebody-elses"] = 99  # so the queue is not drained

    assert play(Consumption("WF", "out", wait=False).turns(), queue) == _events(2)


def test_a_session_that_always_ends_is_given_up() -> None:
    queue = Queue(_events(2), endings=[True] * 50)

    with pytest.raises(SessionEndedError):
        play(Consumption("WF", "out").turns(), queue)


def _publish(publication: Publication) -> list[tuple[Publish | None, str | None]]:
    """Answer a publication; what was sent: the message (None: the queue was closed) and its key."""
    sent: list[tuple[Publish | None, str | None]] = []
    turns: Generator[Any, Any, None] = publication.turns()
    reply: Any = None
    while True:
        try:
            call = turns.send(reply)
        except StopIteration:
            return sent
        if call.path.endswith("/actions/close"):
            sent.append((None, None))
            continue
        publish = msgspec.json.decode(call.body, type=Publish)
        sent.append((publish, call.headers["Idempotency-Key"]))
        reply = PublishedView(["EV"] * len(publish.events), duplicates=0, closed=publish.close)


@given(values=st.lists(st.integers() | st.just(FLUSH), max_size=30), batch=st.integers(1, 5), close=st.booleans())
def test_every_value_is_sent_once_in_order_in_batches_and_the_queue_closed_at_last(
    values: list[object], batch: int, *, close: bool
) -> None:
    publication = Publication("WF", "in", values, batch=batch, close=close, idempotency_key="k")

    sent = _publish(publication)

    published = [publish for publish, _ in sent if publish is not None]
    bodies = [msgspec.json.decode(event.body) for publish in published for event in publish.events]
    wanted = [value for value in values if value is not FLUSH]
    assert bodies == wanted
    assert all(1 <= len(publish.events) <= batch for publish in published)
    assert [key for publish, key in sent if publish is not None] == [f"k-{number}" for number in range(len(published))]
    assert publication.closed == close
    closings = [number for number, (publish, _) in enumerate(sent) if publish is None or publish.close]
    assert closings == ([len(sent) - 1] if close else [])
    assert publication.events == len(wanted)


def test_bytes_and_keys_are_published_as_what_they_are() -> None:
    events = [render_event(b"\x00\xff"), render_event({"a": "ä"}), NewEventBody(msgspec.Raw(b"1"), key="k")]

    assert [(one.kind, bytes(one.body), one.key) for one in map(render_event, events)] == [
        ("bytes", b'"AP8="', None),
        ("json", '{"a":"ä"}'.encode(), None),
        ("json", b"1", "k"),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), {"a": {"b": float("-inf")}}])
def test_a_value_that_json_does_not_know_is_named_and_not_changed(value: object) -> None:
    with pytest.raises(InvalidError, match=r"values\[7\]: cannot be written as JSON"):
        render_event(value, number=7)


@pytest.mark.parametrize("batch", [0, 10_001])
def test_a_batch_is_as_large_as_the_service_takes(batch: int) -> None:
    with pytest.raises(InvalidError, match="batch"):
        Publication("WF", "in", [], batch=batch)
