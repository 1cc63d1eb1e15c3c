"""What does the server need of the queue engine? Leases, results and the account, in batches.

Every method that names events is one transaction in itself; an adapter may put the calls of several callers into one
database transaction (group commit), but a call that fails never fails its neighbours. Every write under a lease checks
holder and fencing number. All times are the database's clock. Each method raises UnavailableError when the database
does not answer; what happened then is unknown, and the same call may be made again unless its docstring says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from muster.domain.attempt import AttemptError, Outcome, Verdict
from muster.domain.usage import NO_USAGE, Usage


class BodyKind(IntEnum):
    """How an event's body is to be read."""

    JSON = 0  # UTF-8 JSON text, one value
    BYTES = 1
    PURGED = 2  # there was one, and it is not kept any more: only ever of an event that is done
    FILE = 3  # a reference to a file (`domain.file.render_reference`): the body itself is in the file store


@dataclass(frozen=True, slots=True)
class Body:
    """An event's body: `data` is UTF-8 JSON text or any bytes, as `kind` says."""

    kind: BodyKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """One attempt handed in.

    Args:
        event: the event's number.
        fence: the fencing number of the lease.
        results: bodies for the task's output queues. Only with `Outcome.DONE`.
        targets: for each result the one output queue that it goes to, or None: every one. Empty: all results go to all of them.
        error: only with `Outcome.FAILED`.
        is_final: only with `Outcome.FAILED`: no other attempt can end better, so the event is a dead letter at once.
        wall_s: how long the task ran.
        usage: what it took; its results are measured here.
    """

    event: int
    fence: int
    outcome: Outcome
    results: Sequence[Body] = ()
    error: AttemptError | None = None
    wall_s: float = 0.0
    usage: Usage = NO_USAGE
    targets: Sequence[int | None] = ()
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A worker's (or a person's consumer's) call: hand in finished attempts, lease the next events, renew the session.

    Args:
        holder: number of the session.
        call: counts the calls of the session, from 1. A call number seen before is the same call again: its attempts
            are judged again (with the same verdicts) and the leases that it made, and that are still held, are given
            again; nothing new is leased.
        queues: numbers of the queues to lease from, in the order of preference of this call.
        outputs: numbers of the queues that results go to.
        want: how many events to lease at most; 0 leases none.
        lease_s: the session lives that long from now.
    """

    holder: int
    call: int
    queues: Sequence[int]
    outputs: Sequence[int]
    finished: Sequence[Finished]
    want: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Leased:
    """One event on lease. `attempt` counts from 1; `limit` is how many there may be (0: not known).

    `deaths`: how many workers died while they held it (`domain.attempt.DEATH_ENDS`). `queue`: where it waited.
    """

    event: int
    fence: int
    attempt: int
    body: Body
    key: str | None = None
    limit: int = 0
    deaths: int = 0
    queue: int = 0


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What came of a step.

    Args:
        verdicts: one for each attempt handed in, in their order.
        leased: in order of the queue.
        published: numbers of the output queues that have new events, for waking those who wait.
        requeued: numbers of the queues to which events went back, for waking likewise.
        superseded: a later call of the same session has been seen, so nothing was leased.
        has_delayed: an event that failed waits for its next attempt (`requeue_due`).
    """

    verdicts: Sequence[Verdict]
    leased: Sequence[Leased]
    published: frozenset[int] = frozenset()
    requeued: frozenset[int] = frozenset()
    superseded: bool = False
    has_delayed: bool = False


class SessionEndedError(Exception):
    """The session is unknown, expired, replaced by a newer start of the same proc, or its taskforce has ended."""

    def __init__(self, text: str = "the session is over; a worker enrols again, a consumer is opened anew") -> None:
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Reaped:
    """What a pass of the reaper did: sessions ended, events gone back (some perhaps delayed), events dead, queues to wake."""

    holders: int = 0
    requeued: int = 0
    dead: int = 0
    queues: frozenset[int] = frozenset()
    has_delayed: bool = False


@dataclass(frozen=True, slots=True)
class Requeued:
    """Events whose pause was over went to their queues: how many, and the queues to wake.

    `next_s`: seconds until another one is due, 0 where more are due already; None where none waits.
    """

    events: int = 0
    queues: frozenset[int] = frozenset()
    next_s: float | None = None


class QueueEngine(Protocol):
    """Leases, results and the account."""

    async def step(self, step: Step) -> StepAnswer:
        """Judge attempts, lease events, renew the session: one transaction.

        The first result of an event counts: with `Finished.outcome` DONE the event is done, its results are new events
        of `outputs`, the counters move. FAILED writes an attempt row and sends the event back to its place in the queue
        (same number, so to the front) after the pause of its queue (`domain.retry`), or to the dead letters when its
        queue's attempt limit is reached, or the failure is final. RELEASED sends it back at once, uncounted. An attempt
        that is not the current lease goes down the ladder: current lease of another session or waiting again (done, LATE:
        the newer lease is ended), dead letter (done, LATE), done by the same fence (DONE again), done by another (DUPLICATE, recorded in an
        attempt row), fence never given to this session's taskforce (UNKNOWN).

        Raises SessionEndedError when the session is over: nothing was leased and nothing was judged.
        """

    async def lease_more(self, step: Step) -> StepAnswer:
        """Lease for a call that `step` answered with nothing and that was parked since: as `step`, without `finished`,
        only if `step.call` is still the newest call of the session (else `superseded`). When this call has leased before,
        unheard, it is given those leases again and no others.
        """

    async def renew(self, holder: int, held: Sequence[tuple[int, int]], *, lease_s: float) -> Sequence[int]:
        """Prolong a session. `held` is what the worker believes to hold, as (event, fence).

        Returns the events among them that it no longer holds, so that it can stop working on them; events that it holds
        by our books and does not name are left alone (their lease may be on its way to it).
        Raises SessionEndedError.
        """

    async def reap(self, *, limit: int) -> Reaped:
        """End sessions whose time is over: their events go back, counted as an attempt each (a dead letter at the limit), with
        an attempt row EXPIRED that keeps holder and fence, by which a late result is recognised; after the pause that
        follows a failed attempt. At most `limit` sessions.
        """

    async def requeue_due(self, *, limit: int) -> Requeued:
        """Send events whose pause after a failed attempt is over to their queues, at most `limit`."""

    async def fold(self) -> int:
        """Add counter deltas to the counters. Returns how many deltas were folded. Exact whatever else commits meanwhile."""

    async def tend(self) -> None:
        """Keep the hot tables small (PostgreSQL: VACUUM; SQLite: nothing to do)."""
