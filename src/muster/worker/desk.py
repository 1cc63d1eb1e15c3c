"""What does the worker have in hand? Events that wait for a slot, events at work, attempts to hand in: one lock over all.

Slots take from it and bring to it; the pilot decides by it what to say to the service.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, List, Optional, Sequence, Set, Tuple

from muster.worker.child import Cancel
from muster.worker.messages import Handed, Lease
from muster.worker.pace import Pace
from muster.worker.runtime import CANCELLED, Ended

LINGER_S = 0.008
"""A result waits at most that long for others to travel with."""
STUCK_S = 2.0
"""When no slot has taken an event for that long, those that wait are given back for others."""
PATIENCE_S_MAX = 60.0
"""An event that goes alone is given back, too, when what is at work goes on so long; each time it comes again the wait is doubled."""
CALL_ATTEMPTS_MAX = 1000
CALL_BYTES_MAX = 8 << 20
"""Attempts, and bytes of results, of one call (one more result may come on top)."""

CALL_RESULTS_MAX = 10_000
"""What the service takes in one call."""

LOST, STOPPED = "lost", "stopped"


@dataclass
class Work:
    """An event at work. `lease` is replaced when the same event is leased again meanwhile, under a new session."""

    lease: Lease
    cancel: Cancel
    epoch: int
    began: float


@dataclass(frozen=True)
class Errand:
    """What to say to the service now: hand these in, lease that many. `is_due` False: nothing, look again at `again_at`."""

    finished: Sequence[Handed] = ()
    want: int = 0
    is_due: bool = False
    again_at: Optional[float] = None


class Desk:
    """Shared by all threads of a worker. `wake` tells the pilot to look at it; it must not block."""

    def __init__(self, pace: Pace, *, slots: int, wake: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._taking = threading.Condition(self._lock)
        self._pace = pace
        self._slots = slots
        self._wake = wake
        self._ready: Deque[Tuple[Lease, int]] = deque()
        self._working: Dict[str, Work] = {}
        self._finished: List[Handed] = []
        self._finished_at = 0.0
        self._taken_at = time.monotonic()
        self._put_at = self._taken_at
        self._patience_s = STUCK_S
        self._flying = 0  # attempts of calls under way
        self._is_wary = False  # the last call brought an event that goes alone
        self._travels_alone: Set[Tuple[str, int]] = set()
        self._left: Set[Tuple[str, int]] = set()
        self._is_watched = False
        self._is_held = False
        self._is_closed = False
        self.counts: Counter[str] = Counter()
        """How many attempts ended how: done, failed, released, lost."""

    # -- slots ---------------------------------------------------------------------------------------------------------

    def take(self, cancel: Cancel) -> Optional[Lease]:
        """The next event to work at; waits for one. None: there will be no more."""
        with self._lock:
            while not self._may_take():
                if self._is_closed and not self._ready:
                    return None
                self._taking.wait()
            lease, epoch = self._ready.popleft()
            now = self._taken_at = time.monotonic()
            if lease.is_alone:
                self._patience_s = STUCK_S
            cancel.clear()
            self._working[lease.event] = Work(lease, cancel, epoch, now)
            return lease

    def bring(self, event: str, ended: Ended) -> None:
        """The attempt at an event has ended."""
        with self._lock:
            work = self._working.pop(event)
            self._taking.notify_all()  # one that goes alone may have waited for this, or others for one that went alone
            if ended.outcome == CANCELLED:
                if work.cancel.reason == LOST:
                    self.counts[LOST] += 1
                    self._wake()
                    return
                handed = Handed(event, work.lease.fence, "released", wall_s=ended.wall_s, usage=ended.usage)
            else:
                self._pace.note_task(ended.wall_s)
                handed = Handed(
                    event,
                    work.lease.fence,
                    ended.outcome,
                    ended.result,
                    ended.failure,
                    ended.wall_s,
                    ended.usage,
                    ended.output,
                    ended.n_results,
                    ended.is_final,
                )
            self._hand_in(handed)

    # -- the pilot -----------------------------------------------------------------------------------------------------

    def put(self, leases: Sequence[Lease], *, epoch: int, is_stopping: bool) -> None:
        """One call leased events. They are given back at once when the worker is stopping.

        They are worked at in the order of their ids: that is the order in which the service counts them, should this worker die.
        """
        with self._lock:
            if leases:
                self._put_at = time.monotonic()
            for lease in sorted(leases, key=lambda one: one.event):
                work = self._working.get(lease.event)
                if work is not None:
                    # The lease of a former session ran out, and the event came to us again: it is the same work.
                    work.lease, work.epoch = lease, epoch
                elif is_stopping:
                    self._hand_in(Handed(lease.event, lease.fence, "released"))
                else:
                    self._ready.append((lease, epoch))
            self._is_wary = any(lease.is_alone for lease in leases)
            self._clear_for_one_alone()
            self._taking.notify_all()

    def plan(self, now: float, *, is_asking: bool, may_ask: bool, is_stopping: bool) -> Errand:
        """What to say to the service.

        Args:
            now: monotonic time.
            is_asking: a call that asks for events is parked; the next one ends it.
            may_ask: events may be asked for, though there is nothing to hand in.
        """
        with self._lock:
            self._give_back_stuck(now)
            ahead = 0 if is_stopping else self._pace.ahead
            in_hand = len(self._working) + len(self._ready)
            if self._is_wary:
                ahead = 0  # where there is one event that goes alone there are more, and those leased with it are given back
            is_closed_to_others = is_stopping or bool(self._left) or self._has_one_alone()
            want = 0 if is_closed_to_others else max(0, self._slots + ahead - in_hand)
            is_starving = len(self._working) < self._slots and not self._ready
            if self._finished:
                is_due = (
                    is_starving
                    or is_closed_to_others
                    or now - self._finished_at >= LINGER_S
                    or len(self._finished) >= max(1, ahead // 2)
                )
                if is_due:
                    return Errand(self._take_finished(), want, is_due=True)
                return Errand(again_at=self._finished_at + LINGER_S)
            if want and may_ask and not is_asking and (is_starving or want > ahead // 2):
                return Errand(want=want, is_due=True)
            return Errand(again_at=self._stuck_at() if self._ready else None)

    def hand_in_again(self, finished: Sequence[Handed], *, alone: bool = False) -> None:
        """Attempts whose call came to nothing; `alone`: each in a call of its own from now on, without what only the account would miss."""
        with self._lock:
            if alone:
                self._travels_alone.update((one.event, one.fence) for one in finished)
                finished = [one.without_extras() for one in finished]
            self._finished_at = 0.0
            self._finished[:0] = finished
            self._flying -= len(finished)

    def hand_in_left(self, left: Sequence[Handed]) -> None:
        """Attempts of a former start: they are handed in before an event is asked for, as one of them may be that event's."""
        with self._lock:
            self._finished_at = 0.0
            self._finished[:0] = left
            self._left.update((one.event, one.fence) for one in left)

    def note_handed_in(self, finished: Sequence[Handed]) -> None:
        """Attempts whose call was answered."""
        with self._lock:
            self._flying -= len(finished)
            if self._left:
                self._left.difference_update((one.event, one.fence) for one in finished)
            self._taking.notify_all()

    def held(self, epoch: int) -> List[Tuple[str, int]]:
        """What is waiting or at work under this session, as (event, fence)."""
        with self._lock:
            waiting = [(lease.event, lease.fence) for lease, of in self._ready if of == epoch]
            at_work = [(one.lease.event, one.lease.fence) for one in self._working.values() if one.epoch == epoch]
            return waiting + at_work

    def lose(self, lost: Sequence[Tuple[str, int]]) -> None:
        """These leases are no longer ours: stop their tasks, hand nothing in."""
        with self._lock:
            gone = set(lost)
            before = len(self._ready)
            self._ready = deque(one for one in self._ready if (one[0].event, one[0].fence) not in gone)
            self.counts[LOST] += before - len(self._ready)
            for work in self._working.values():
                if (work.lease.event, work.lease.fence) in gone:
                    work.cancel.set(LOST)
            self._taking.notify_all()

    def forget_ready(self) -> None:
        """The session is over, and what waited has gone back with it. What is at work goes on: its result may still count."""
        with self._lock:
            self.counts[LOST] += len(self._ready)
            self._ready.clear()

    def give_back_ready(self) -> None:
        """Release what waits."""
        with self._lock:
            self._release_ready()

    def cancel_all(self) -> None:
        """Stop every task, and release its event."""
        with self._lock:
            for work in self._working.values():
                work.cancel.set(STOPPED)

    def close(self) -> None:
        """No more events will come: slots without one end."""
        with self._lock:
            self._is_closed = True
            self._taking.notify_all()

    def has_any(self) -> bool:
        """Is there anything in hand: at work, waiting, or to be handed in? (What is on its way may be answered only when more comes.)"""
        with self._lock:
            return bool(self._working or self._ready or self._finished)

    def n_working(self) -> int:
        """How many events are at work."""
        with self._lock:
            return len(self._working)

    def n_finished(self) -> int:
        """How many attempts wait to be handed in."""
        with self._lock:
            return len(self._finished)

    def list_finished(self) -> List[Handed]:
        """The attempts that wait to be handed in."""
        with self._lock:
            return list(self._finished)

    def watch(self, *, is_watched: bool) -> None:
        """Tell the pilot of each attempt that ends, or as a rule only where it may have something to do."""
        self._is_watched = is_watched

    def hold(self, *, is_held: bool) -> None:
        """Begin no event, or go on: there is no room for what would come of it."""
        if is_held != self._is_held:
            with self._lock:
                self._is_held = is_held
                self._taking.notify_all()

    # -- under the lock ------------------------------------------------------------------------------------------------

    def _may_take(self) -> bool:
        """Is there an event that may be begun now? One that goes alone waits until nothing else is held, as far as the service knows."""
        if not self._ready or self._is_held or any(one.lease.is_alone for one in self._working.values()):
            return False
        return not (self._ready[0][0].is_alone and (self._working or self._finished or self._flying))

    def _has_one_alone(self) -> bool:
        return any(one.lease.is_alone for one in self._working.values()) or any(one.is_alone for one, _ in self._ready)

    def _clear_for_one_alone(self) -> None:
        """What waits behind an event that goes alone is given back: whoever has time may do it."""
        place = next((index for index, (lease, _) in enumerate(self._ready) if lease.is_alone), None)
        while place is not None and len(self._ready) > place + 1:
            lease, _ = self._ready.pop()
            self._hand_in(Handed(lease.event, lease.fence, "released"))

    def _hand_in(self, handed: Handed) -> None:
        self.counts[handed.outcome] += 1
        if not self._finished:
            self._finished_at = time.monotonic()
            self._wake()
        elif self._is_watched or not self._ready or len(self._finished) + 1 == self._pace.ahead // 2:
            self._wake()
        self._finished.append(handed)

    def _take_finished(self) -> List[Handed]:
        taken: List[Handed] = []
        size_bytes = n_results = 0
        while self._finished and len(taken) < CALL_ATTEMPTS_MAX and size_bytes < CALL_BYTES_MAX:
            one = self._finished[0]
            n_results += one.n_results
            if taken and n_results > CALL_RESULTS_MAX:
                break
            travels_alone = (one.event, one.fence) in self._travels_alone
            if travels_alone and taken:
                break
            taken.append(self._finished.pop(0))
            size_bytes += len(one.result or b"") + len(one.output or b"")
            if travels_alone:
                break
        self._finished_at = 0.0  # what is left is due at once
        self._flying += len(taken)
        return taken

    def _waits_to_be_alone(self) -> bool:
        return bool(self._ready) and self._ready[0][0].is_alone and 0 < len(self._working) < self._slots

    def _stuck_at(self) -> float:
        return self._put_at + self._patience_s if self._waits_to_be_alone() else self._taken_at + STUCK_S

    def _give_back_stuck(self, now: float) -> None:
        """A task takes long, and others wait behind it that another worker could do."""
        if not self._ready or now < self._stuck_at():
            return
        if self._waits_to_be_alone():
            self._patience_s = min(PATIENCE_S_MAX, 2 * self._patience_s)
            self._release_ready()
        elif len(self._working) >= self._slots:
            self._pace.note_stuck(min(now - one.began for one in self._working.values()))
            self._release_ready()

    def _release_ready(self) -> None:
        while self._ready:
            lease, _ = self._ready.popleft()
            self._hand_in(Handed(lease.event, lease.fence, "released"))
