"""What does the server keep of events? Publishing, and looking at single ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.domain.attempt import AttemptEnd, AttemptError, CauseOfDeath
from muster.domain.event_state import EventState
from muster.domain.usage import NO_USAGE, Usage
from muster.server.ports.queue_engine import Body


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to publish. `key`: a second event of the same queue with the same key is not published."""

    body: Body
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one event of a publish call. `is_new` False: its key was known, `event` is the earlier one; `is_other`: which has
    another body, or is of another kind.
    """

    event: int
    is_new: bool
    is_other: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt, as kept. `end` None: the attempt that ended its event with a result. `revision`: of the task, that its worker ran; None:
    not known any more, or a person consumed. `isolation`: what kept its task from others, in the worker's words; empty: not known.
    """

    fence: int
    end: AttemptEnd | None
    worker: str
    host: str
    site: str
    started_at: float
    ended_at: float
    wall_s: float
    error: AttemptError | None
    revision: int | None = None
    usage: Usage = NO_USAGE
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event. `attempts` is how many were counted so far; `parent` is the event whose result it is; `retry_at` is when one that
    failed goes back to its queue (seconds since the epoch), None where it does not wait for that. `result` is that of a task without an
    output queue, where one event alone is looked at.
    """

    event: int
    queue: int
    state: EventState
    attempts: int
    body: Body
    key: str | None
    parent: int | None
    results: Sequence[int]
    retry_at: float | None = None
    result: Body | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter, with the error of its last attempt."""

    event: int
    queue: int
    attempts: int
    died_at: float
    error: AttemptError | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures with the same fingerprint; `done` counts those of the events that are done by now."""

    fingerprint: str
    failures: int
    events: int
    done: int
    example_event: int
    example_text: str
    first_at: float
    last_at: float
    hosts: Sequence[str]


class Events(Protocol):
    """Rows of events, outside the hot path."""

    def publish(self, queue: int, events: Sequence[NewEvent]) -> Sequence[Published]:
        """Append events in their order, count them, and wake the queue's readers. A key given twice in one call counts once."""

    def get(self, event: int) -> EventRow:
        """Raises NotFoundError."""

    def list_page(self, queue: int, state: EventState, *, after: int, limit: int) -> Sequence[EventRow]:
        """Those with a number above `after`, oldest first; without bodies and results: a page of them may be gigabytes."""

    def list_bodies(self, events: Sequence[int], *, size_bytes_max: int) -> Mapping[int, Body]:
        """Bodies of the first of the events: as many as have together at most that many bytes, and one at least."""

    def list_attempts(self, event: int) -> Sequence[AttemptRow]:
        """Oldest first; the one in force is not among them."""

    def list_dead(self, queue: int, *, after: int, limit: int) -> Sequence[DeadLetter]:
        """Those with a number above `after`, oldest first."""

    def replay(self, queue: int, events: Sequence[int] | None, *, limit: int) -> Sequence[int]:
        """Send dead letters back to the queue: attempts counted from zero, the old attempts kept, the fence going on; wakes the
        queue's readers. `events` None takes the oldest `limit`. Returns those that moved; one that is not dead is left alone.
        """

    def list_errors(self, queues: Sequence[int], *, limit: int) -> Sequence[ErrorGroup]:
        """Most failures first."""

    def list_deaths(self, queues: Sequence[int], *, limit: int) -> Sequence[CauseOfDeath]:
        """Dead letters by the cause of their last attempt, most events first."""
