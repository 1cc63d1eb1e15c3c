"""What does this process count of its own work, for those who watch it? Plain numbers, kept as the work is done."""

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from muster.domain.attempt import Outcome, Verdict
from muster.domain.errors import UnavailableError
from muster.server.ports.census import Counted
from muster.server.ports.queue_engine import QueueEngine, Reaped, Requeued, Step, StepAnswer
from muster.server.ports.store import Store, Transaction

T = TypeVar("T")
_COUNTED = frozenset({Verdict.DONE, Verdict.LATE})


@dataclass
class Round:
    """What the passes of one daemon came to.

    Args:
        interval_s: from the end of one to the next, at most.
        last_success_at: seconds since the epoch, 0 before the first.
    """

    interval_s: float = 0.0
    passes: int = 0
    failures: int = 0
    seconds: float = 0.0
    last_success_at: float = 0.0


@dataclass
class Measures:
    """Since this process started.

    Args:
        calls, call_s, unavailable: calls to the database by sort (`read`, `write`, `engine`), what they took in all with waiting, and
            those that got no answer.
        published: events by who made them, `people` or `tasks`.
        leased: leases given.
        attempts: attempts handed in, by verdict; a `requeued` one is told apart by its outcome, `failed` or `released`.
        expired: leases of sessions that fell silent, by what became of the event: `requeued` or `dead`.
        sessions_expired: those sessions.
        retried: events that went back to their queues after the pause that follows a failure.
        tokens: made out, for a `worker` or a `queue`.
        sign_ins: by what came of them.
        rounds: by the name of the daemon.
        counted: the last census; None before the first. `counted_at`: when, seconds since the epoch. `counted_s`: what it took.
    """

    calls: Counter[str] = field(default_factory=Counter)
    call_s: defaultdict[str, float] = field(default_factory=partial(defaultdict, float))
    unavailable: Counter[str] = field(default_factory=Counter)
    published: Counter[str] = field(default_factory=Counter)
    leased: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    sessions_expired: int = 0
    retried: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    sign_ins: Counter[str] = field(default_factory=Counter)
    rounds: dict[str, Round] = field(default_factory=dict)
    counted: Counted | None = None
    counted_at: float = 0.0
    counted_s: float = 0.0

    @contextmanager
    def measuring(self, sort: str) -> Iterator[None]:
        """A call to the database."""
        begun = time.perf_counter()
        try:
            yield
        except UnavailableError:
            self.unavailable[sort] += 1
            raise
        finally:
            self.calls[sort] += 1
            self.call_s[sort] += time.perf_counter() - begun

    def watched(
        self, name: str, make_pass: Callable[[], Awaitable[T]], *, interval_s: float
    ) -> Callable[[], Awaitable[T]]:
        """The same pass of a daemon, measured."""
        kept = self.rounds.setdefault(name, Round(interval_s))

        async def measured() -> T:
            begun = time.perf_counter()
            try:
                value = await make_pass()
            except Exception:
                kept.failures += 1
                raise
            else:
                kept.last_success_at = time.time()
                return value
            finally:
                kept.passes += 1
                kept.seconds += time.perf_counter() - begun

        return measured

    def note_step(self, step: Step, answer: StepAnswer) -> None:
        """A call of a worker or a consumer was answered."""
        self.leased += len(answer.leased)
        for finished, verdict in zip(step.finished, answer.verdicts, strict=True):
            if verdict is Verdict.REQUEUED:
                self.attempts["released" if finished.outcome is Outcome.RELEASED else "failed"] += 1
                continue
            self.attempts[verdict.value] += 1
            if verdict in _COUNTED and finished.results:
                self.published["tasks"] += len(finished.results) * len(set(step.outputs))


class MeasuredStore:
    """A `Store` whose calls are measured."""

    def __init__(self, store: Store, measures: Measures) -> None:
        self._store = store
        self._measures = measures

    async def write(self, work: Callable[[Transaction], T], *, group: str | None = None) -> T:
        with self._measures.measuring("write"):
            return await self._store.write(work, group=group)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        with self._measures.measuring("read"):
            return await self._store.read(work)

    async def look(self, work: Callable[[Transaction], T]) -> T:
        with self._measures.measuring("read"):
            return await self._store.look(work)

    async def check(self) -> None:
        with self._measures.measuring("read"):
            await self._store.check()

    async def get_secret(self, name: str) -> bytes:
        with self._measures.measuring("write"):
            return await self._store.get_secret(name)

    async def begin_service(self, *, lease_s: float) -> None:
        with self._measures.measuring("write"):
            await self._store.begin_service(lease_s=lease_s)

    async def heartbeat(self) -> None:
        with self._measures.measuring("write"):
            await self._store.heartbeat()


class MeasuredEngine:
    """A `QueueEngine` whose calls are measured."""

    def __init__(self, engine: QueueEngine, measures: Measures) -> None:
        self._engine = engine
        self._measures = measures

    async def step(self, step: Step) -> StepAnswer:
        with self._measures.measuring("engine"):
            answer = await self._engine.step(step)
        self._measures.note_step(step, answer)
        return answer

    async def lease_more(self, step: Step) -> StepAnswer:
        with self._measures.measuring("engine"):
            answer = await self._engine.lease_more(step)
        self._measures.leased += len(answer.leased)
        return answer

    async def renew(self, holder: int, held: Sequence[tuple[int, int]], *, lease_s: float) -> Sequence[int]:
        with self._measures.measuring("engine"):
            return await self._engine.renew(holder, held, lease_s=lease_s)

    async def reap(self, *, limit: int) -> Reaped:
        with self._measures.measuring("engine"):
            reaped = await self._engine.reap(limit=limit)
        self._measures.sessions_expired += reaped.holders
        self._measures.expired["requeued"] += reaped.requeued
        self._measures.expired["dead"] += reaped.dead
        return reaped

    async def requeue_due(self, *, limit: int) -> Requeued:
        with self._measures.measuring("engine"):
            requeued = await self._engine.requeue_due(limit=limit)
        self._measures.retried += requeued.events
        return requeued

    async def fold(self) -> int:
        with self._measures.measuring("engine"):
            return await self._engine.fold()

    async def tend(self) -> None:
        await self._engine.tend()  # it takes as long as it takes, and nobody waits for it
