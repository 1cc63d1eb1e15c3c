"""What does the server keep of those who hold leases? Sessions of workers, and of people's consumers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Session:
    """One start of one worker, or one person's consumer of a queue.

    Args:
        number: key; 0 before it is inserted.
        taskforce_uuid: None for a person's consumer.
        consumer_queue: number of the queue that a person's consumer reads; None for a worker.
        owner: the person; the empty string for a worker.
        cluster, proc, start: which start of which proc.
        until: seconds since the epoch when it ends unless renewed.
        ended: why it is over; None while it lives.
    """

    number: int
    taskforce_uuid: str | None
    consumer_queue: int | None
    owner: str
    cluster: str
    proc: int
    start: int
    host: str
    site: str
    begun_at: float
    until: float
    ended: str | None = None


class Holders(Protocol):
    """Rows of sessions."""

    def insert(self, session: Session) -> int:
        """Keep a new session; returns its number."""

    def get(self, number: int) -> Session:
        """Raises NotFoundError."""

    def list_live(self, taskforce_uuids: Sequence[str]) -> Sequence[Session]:
        """Sessions of the taskforces that have not ended, oldest first."""

    def find_of_proc(self, taskforce_uuid: str, cluster: str, proc: int) -> Sequence[Session]:
        """Sessions of a proc that have not ended."""

    def end(self, number: int, *, reason: str, begun: int = 0) -> None:
        """End a session: what it holds goes back, in this transaction. One ended before keeps its reason.

        `begun` is how many events it may have been working on when it died: the oldest so many that it holds count as an attempt
        each (a dead letter at the limit), as if their lease had run out; the rest goes back uncounted.
        """

    def count_live(self, taskforce_uuids: Sequence[str]) -> int: ...
