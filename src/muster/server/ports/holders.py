"""What does the server keep of those who hold leases? Sessions of workers, and of people's consumers."""

from collections.abc import Mapping, Sequence
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
        at_once: how many events it works on at once: when it dies, the oldest so many that it holds count as an attempt each. 0 for
            people's consumers: what they hold is not to blame.
        until: seconds since the epoch when it ends unless renewed.
        ended: why it is over; None while it lives.
        isolation: what its tasks are kept from others by, in the worker's words; None: it has not told.
    """

    number: int
    taskforce_uuid: str | None
    consumer_queue: int | None
    owner: str
    cluster: str
    proc: int
    start: int
    at_once: int
    host: str
    site: str
    begun_at: float
    until: float
    ended: str | None = None
    isolation: str | None = None


class Holders(Protocol):
    """Rows of sessions."""

    def insert(self, session: Session) -> int:
        """Keep a new session; returns its number."""

    def get(self, number: int) -> Session:
        """Raises NotFoundError."""

    def note_isolation(self, number: int, text: str) -> None:
        """A worker tells what its tasks are kept from others by."""

    def list_live(self, taskforce_uuids: Sequence[str]) -> Sequence[Session]:
        """Sessions of the taskforces that have not ended, oldest first."""

    def list_up(self, workflow_id: str, *, taskforce_uuid: str | None, after: int, limit: int) -> Sequence[Session]:
        """Sessions of a workflow's workers that have not ended, of one taskforce or of all (None), with numbers behind `after`; the first
        `limit`, oldest first.
        """

    def count_held(self, numbers: Sequence[int]) -> Mapping[int, int]:
        """How many events each of these sessions holds, at most a thousand of them; those that hold none are left out."""

    def find_of_proc(self, taskforce_uuid: str, cluster: str, proc: int) -> Sequence[Session]:
        """Sessions of a proc that have not ended."""

    def end(self, numbers: Sequence[int], *, reason: str, are_deaths: bool = False) -> None:
        """End sessions: what they hold goes back, in this transaction. One ended before keeps its reason.

        `are_deaths`: the workers have died, as if their leases had run out. What they were working on (`Session.at_once`) counts as an
        attempt each, a dead letter at the limit; the rest goes back uncounted.
        """

    def count_live(self, workflow_id: str) -> Mapping[str, int]:
        """How many sessions of workers have not ended, by taskforce; those without any are left out."""

    def count_live_of(self, taskforce_uuids: Sequence[str]) -> Mapping[str, int]:
        """As `count_live`, of these taskforces, at most a thousand."""
