"""What is a queue, and does its account add up?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from muster.domain.event_state import EventState

BODY_BYTES_MAX = 1 << 20
"""One event's body: at most 1 MiB."""
PUBLISH_EVENTS_MAX = 10_000
"""Events of one publish call."""
REQUEST_BYTES_MAX = 64 << 20
"""One request's body: at most 64 MiB."""
KEY_CHARS_MAX = 200
"""A dedupe key: 1 to 200 characters."""


@dataclass(frozen=True)
class Counts:
    """How many events of a queue are in each state, and what its attempts came to.

    Args:
        failed: attempts that failed or expired. (One whose result counts late, or comes second, is taken off again.)
        duplicates: second results, recorded and sent nowhere.
    """

    published: int = 0
    waiting: int = 0
    in_work: int = 0
    done: int = 0
    dead: int = 0
    failed: int = 0
    duplicates: int = 0

    @property
    def adds_up(self) -> bool:
        """Every event published is in exactly one state."""
        return (
            self.published == self.waiting + self.in_work + self.done + self.dead
            and min(self.published, self.waiting, self.in_work, self.done, self.dead, self.failed, self.duplicates) >= 0
        )

    @property
    def is_drained(self) -> bool:
        """Nothing is left to do."""
        return self.waiting == 0 and self.in_work == 0

    def __add__(self, other: Self) -> "Counts":
        return Counts(
            self.published + other.published,
            self.waiting + other.waiting,
            self.in_work + other.in_work,
            self.done + other.done,
            self.dead + other.dead,
            self.failed + other.failed,
            self.duplicates + other.duplicates,
        )

    def of(self, state: EventState) -> int:
        """The count of one state."""
        return int(getattr(self, state.value))


@dataclass(frozen=True)
class Queue:
    """A queue of a workflow.

    Args:
        number: the key in the hot tables; small, never shown.
        queue_id: as clients see it: `a` and 20 hex digits.
        alias: the name in its workflow.
        is_public: people may publish or consume.
        is_input, is_output: some task reads it, writes it.
        closed_at: seconds since the epoch; None while it is open.
        attempts: how often an event may be tried before it is a dead letter; 1 or more.
        lease_s: how long a lease lasts between renewals.
        retry_s: how long an event waits after its first failed attempt (`domain.retry`).
    """

    number: int
    queue_id: str
    workflow_id: str
    alias: str
    is_public: bool
    is_input: bool
    is_output: bool
    closed_at: float | None
    attempts: int
    lease_s: float
    retry_s: float


def sum_inputs(queues: Sequence[Queue], counts: Mapping[int, Counts]) -> Counts:
    """What the tasks have before them and behind them."""
    return sum((counts[queue.number] for queue in queues if queue.is_input), Counts())


def is_workflow_drained(queues: "list[tuple[Queue, Counts]]") -> bool:
    """May a workflow that asked for it be finished?

    True when every public input queue is closed and no input queue has anything waiting or in work. The counts must
    stem from one statement (or one snapshot): a result moves from `in work` of one queue to `waiting` of the next.
    """
    inputs = [(queue, counts) for queue, counts in queues if queue.is_input]
    return (
        bool(inputs)
        and all(queue.closed_at is not None for queue, _ in inputs if queue.is_public)
        and all(counts.is_drained for _, counts in inputs)
    )
