"""What should a queue engine answer? A model in plain memory, moved by the domain's table and by nothing else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from muster.domain.attempt import DEATH_ENDS, AttemptEnd, Outcome, Verdict
from muster.domain.event_state import EventState, Happening, next_state
from muster.domain.queue import Counts
from muster.server.ports.queue_engine import Finished


@dataclass
class Try:
    """One lease of one event. `end` None: in force. DONE: it ended its event in time. `is_recorded`: by an attempt row."""

    holder: int
    call: int
    end: AttemptEnd | Verdict | None = None
    is_recorded: bool = False

    def record(self, end: AttemptEnd) -> None:
        """It ended without ending its event."""
        self.end, self.is_recorded = end, True


@dataclass
class ModelEvent:
    """One event. `tries` by fence. `is_delayed`: it failed, waits for its next attempt, and cannot be leased."""

    number: int
    queue: int
    state: EventState = EventState.WAITING
    attempts: int = 0
    is_delayed: bool = False
    tries: dict[int, Try] = field(default_factory=dict)

    @property
    def deaths(self) -> int:
        """How many workers died while they held it."""
        return sum(one.end in DEATH_ENDS for one in self.tries.values())

    @property
    def current(self) -> Try | None:
        """The lease in force."""
        return next((one for one in self.tries.values() if one.end is None), None)


Given = tuple[int, int, int, int]
"""A lease: event, fence, attempt, deaths."""


@dataclass
class Expected:
    """What a step should answer: verdicts, and the events of its results as (queue, parent)."""

    verdicts: list[Verdict]
    made: list[tuple[int, int]]
    requeued: set[int]
    has_delayed: bool = False


class Model:
    """Queues with their limits of attempts, and which of them make an event wait after a failure;
    sessions with their kin, the events, and how often each pair of the table was met.
    """

    def __init__(self) -> None:
        self.limits: dict[int, int] = {}
        self.pausing: set[int] = set()
        self.kin: dict[int, object] = {}
        self.at_once: dict[int, int] = {}
        self.calls: dict[int, int] = {}
        self.ended: set[int] = set()
        self.events: dict[int, ModelEvent] = {}
        self.moves: Counter[tuple[EventState, Happening]] = Counter()

    def lease(self, holder: int, call: int, queues: Sequence[int], want: int) -> list[Given]:
        """Lease anew, in order."""
        given: list[Given] = []
        for queue in queues:
            of_queue = (event for event in self.events.values() if event.queue == queue)
            waiting = (one for one in of_queue if one.state is EventState.WAITING and not one.is_delayed)
            for event in sorted(waiting, key=lambda one: one.number)[: want - len(given)]:
                self._move(event, Happening.LEASED)
                event.attempts += 1
                event.tries[len(event.tries) + 1] = Try(holder, call)
                given.append((event.number, len(event.tries), event.attempts, event.deaths))
        return given

    def held(self, holder: int, call: int, queues: Sequence[int]) -> list[Given]:
        """What a call leased before and is still in force."""
        found = [
            (queues.index(event.queue), event.number, fence, event.attempts, event.deaths)
            for event in self.events.values()
            for fence, one in event.tries.items()
            if one == Try(holder, call)
        ]
        return [one[1:] for one in sorted(found)]

    def hand_in(self, holder: int, finished: Sequence[Finished], outputs: Sequence[int]) -> Expected:
        """Judge attempts one by one."""
        expected = Expected([], [], set())
        for one in finished:
            event = self.events.get(one.event)
            before = event.state if event else None
            verdict = self._judge(holder, one)
            expected.verdicts.append(verdict)
            if event and event.state is EventState.DONE is not before:
                targets = one.targets or [None] * len(one.results)
                expected.made += [
                    (queue, one.event) for target in targets for queue in outputs if target in (None, queue)
                ]
            if event and before is EventState.IN_WORK and event.state is EventState.WAITING:
                if event.is_delayed:
                    expected.has_delayed = True
                else:
                    expected.requeued.add(event.queue)
        return expected

    def expire(self, holder: int) -> tuple[int, int]:
        """End a session: how many events went back, how many died."""
        self.ended.add(holder)
        held = [
            (one.call, event.number, event, one)
            for event in self.events.values()
            if (one := event.current) and one.holder == holder
        ]
        dead = 0
        for place, (_, _, event, current) in enumerate(sorted(held)):
            if place >= self.at_once[holder]:
                self._move(event, Happening.RELEASED)
                current.record(AttemptEnd.ABANDONED)
                event.attempts -= 1
                continue
            is_last = event.attempts >= self.limits[event.queue]
            self._move(event, Happening.EXPIRED_FINALLY if is_last else Happening.EXPIRED)
            current.record(AttemptEnd.EXPIRED)
            dead += is_last
        return len(held) - dead, dead

    def count_delayed(self) -> int:
        return sum(event.is_delayed for event in self.events.values())

    def requeue_due(self) -> set[int]:
        """Every pause is over: which queues get events back."""
        delayed = [event for event in self.events.values() if event.is_delayed]
        for event in delayed:
            event.is_delayed = False
        return {event.queue for event in delayed}

    def replay(self, event: ModelEvent) -> None:
        self._move(event, Happening.REPLAYED)
        event.attempts = 0

    def counts(self, queue: int) -> Counts:
        events = [event for event in self.events.values() if event.queue == queue]
        states = [event.state for event in events]
        ends = [one.end for event in events for one in event.tries.values()]
        failed = ends.count(AttemptEnd.FAILED) + ends.count(AttemptEnd.EXPIRED)
        duplicates = ends.count(AttemptEnd.DUPLICATE)
        by_state = {state.value: states.count(state) for state in EventState}
        return Counts(published=len(states), failed=failed, duplicates=duplicates, **by_state)

    def _judge(self, holder: int, finished: Finished) -> Verdict:
        event = self.events.get(finished.event)
        attempt = event.tries.get(finished.fence) if event else None
        if event is None or attempt is None or self.kin[attempt.holder] != self.kin[holder]:
            return Verdict.UNKNOWN
        if attempt.end is None and attempt.holder == holder:
            return self._settle(event, attempt, finished.outcome)
        if finished.outcome is Outcome.DONE:
            return self._settle_late(event, attempt)
        if finished.outcome is Outcome.FAILED and attempt.end is AttemptEnd.FAILED:
            is_dead = event.state is EventState.DEAD and finished.fence == max(event.tries)
            return Verdict.DEAD if is_dead else Verdict.REQUEUED
        if finished.outcome is Outcome.RELEASED and attempt.end is AttemptEnd.RELEASED:
            return Verdict.REQUEUED
        return Verdict.STALE

    def _settle(self, event: ModelEvent, attempt: Try, outcome: Outcome) -> Verdict:
        if outcome is Outcome.DONE:
            self._move(event, Happening.FINISHED)
            attempt.end = Verdict.DONE
            return Verdict.DONE
        if outcome is Outcome.RELEASED:
            self._move(event, Happening.RELEASED)
            attempt.record(AttemptEnd.RELEASED)
            event.attempts -= 1
            return Verdict.REQUEUED
        attempt.record(AttemptEnd.FAILED)
        is_last = event.attempts >= self.limits[event.queue]
        self._move(event, Happening.FAILED_FINALLY if is_last else Happening.FAILED)
        return Verdict.DEAD if is_last else Verdict.REQUEUED

    def _settle_late(self, event: ModelEvent, attempt: Try) -> Verdict:
        if attempt.end is Verdict.DONE:
            return Verdict.DONE
        if attempt.end is AttemptEnd.LATE:
            return Verdict.LATE
        if attempt.end is AttemptEnd.FAILED:
            return Verdict.STALE
        current = event.current
        if next_state(event.state, Happening.FINISHED_LATE) is None:
            attempt.end = AttemptEnd.DUPLICATE
            return Verdict.DUPLICATE
        self._move(event, Happening.FINISHED_LATE)
        if current is not None and current is not attempt:
            current.record(AttemptEnd.RELEASED)  # the newer lease, whose holder learns at its next renewal
            event.attempts -= 1
        attempt.end = AttemptEnd.LATE
        return Verdict.LATE

    def _move(self, event: ModelEvent, happening: Happening) -> None:
        state = next_state(event.state, happening)
        assert state is not None, f"the model lets {happening} happen to an event that is {event.state}"
        self.moves[event.state, happening] += 1
        event.state = state
        event.is_delayed = happening in (Happening.FAILED, Happening.EXPIRED) and event.queue in self.pausing
