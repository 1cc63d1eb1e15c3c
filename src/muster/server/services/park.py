"""How does an idle call wait for events? Parked calls of the same queues, first come first served, one asking at a time.

The call that has waited longest is the head: it alone listens to the queues' bell and asks the database when it rings. When it got
something, it goes, and the next one asks in its turn; when it got nothing, everybody goes on waiting. So n events wake about n / batch
calls, whatever the bell says, and no herd forms (docs/design/engine.md).
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import anyio

from muster.server.ports.queue_engine import StepAnswer
from muster.server.ports.waking import Bell, Waking

LOOK_S = 1.0
"""Seconds after which a head looks at the state of things without being woken."""


@dataclass(eq=False)
class _Seat:
    """One parked call."""

    session: int
    turn: anyio.Event = field(default_factory=anyio.Event)
    is_dismissed: bool = False
    listening: anyio.CancelScope | None = None

    def dismiss(self) -> None:
        """End the wait; never in the middle of a lease, whose events would then be nobody's."""
        self.is_dismissed = True
        self.turn.set()
        if self.listening is not None:
            self.listening.cancel()


@dataclass(frozen=True)
class Errand:
    """What a parked call wants.

    Args:
        session: number of the session; a later call of the same session ends this wait.
        take: leases; called by the head only, one at a time. None: it did not look, since it may not have any at the moment.
        is_over: is there no use in waiting on? Looked at before each `take` and about once a second.
    """

    session: int
    take: Callable[[], Awaitable[StepAnswer | None]]
    is_over: Callable[[], Awaitable[bool]]


class Lot:
    """The calls that are parked for the same queues."""

    def __init__(self, waking: Waking, *, queues: Sequence[int], topics: Sequence[str], net_s: float) -> None:
        """`topics` ring the bell besides `queue:<number>`; `net_s` is when to ask although nothing rang."""
        self._waking = waking
        self._queue_topics = tuple(f"queue:{number}" for number in queues)
        self._topics = tuple(topics)
        self._net_s = net_s
        self._seats: deque[_Seat] = deque()
        self._bell: Bell | None = None
        self._listening = ExitStack()
        self._maybe = False  # there may be events that nobody asked for yet
        self._asked_at = 0.0

    def __len__(self) -> int:
        return len(self._seats)

    def dismiss(self, session: int) -> None:
        """End the parked calls of a session: they answer without events."""
        for seat in self._seats:
            if seat.session == session:
                seat.dismiss()

    async def wait(self, errand: Errand, *, timeout_s: float) -> StepAnswer | None:
        """Wait for events, at most `timeout_s` (and as long as a lease takes that is under way then).

        Returns:
            The lease's answer, or None when there was nothing, waiting is over, or a later call of the session came.
        """
        seat = self._sit(errand.session)
        deadline = anyio.current_time() + timeout_s
        try:
            with anyio.move_on_at(deadline):
                await seat.turn.wait()
            if not seat.turn.is_set():
                return None
            return await self._serve(seat, errand, deadline)
        finally:
            self._leave(seat)

    def _sit(self, session: int) -> _Seat:
        self.dismiss(session)
        seat = _Seat(session)
        self._seats.append(seat)
        if self._bell is None:
            self._bell = self._listening.enter_context(self._waking.listen(*self._queue_topics, *self._topics))
            # What came between the caller's look at the queue and this moment rang for nobody.
            self._maybe = True
        if self._seats[0] is seat:
            seat.turn.set()
        return seat

    async def _serve(self, seat: _Seat, errand: Errand, deadline: float) -> StepAnswer | None:
        while not (seat.is_dismissed or await errand.is_over()):
            if self._maybe:
                answer = await self._ask(errand)
                if answer is not None and (answer.leased or answer.superseded):
                    return answer
            left_s = deadline - anyio.current_time()
            if left_s <= 0 or seat.is_dismissed:
                return None
            with anyio.CancelScope() as seat.listening:
                if await self._ring_came(min(left_s, LOOK_S)):
                    self._maybe = True
            seat.listening = None
            if anyio.current_time() - self._asked_at >= self._net_s:
                self._maybe = True
        return None

    async def _ring_came(self, timeout_s: float) -> bool:
        assert self._bell is not None, "a lot with a seat has a bell"
        try:
            return await self._bell.wait(timeout_s)
        except BaseException:
            # A ring that came with the cancellation is not for this call alone: the next one must ask.
            self._maybe = True
            raise

    async def _ask(self, errand: Errand) -> StepAnswer | None:
        # Cleared before asking: a ring that comes meanwhile sets it again.
        self._maybe = False
        self._asked_at = anyio.current_time()
        try:
            answer = await errand.take()
        except BaseException:
            self._maybe = True
            raise
        if answer is None or answer.leased or answer.superseded:
            self._maybe = True  # there may be more than this call wanted: the next one asks
        return answer

    def _leave(self, seat: _Seat) -> None:
        self._seats.remove(seat)
        if self._seats:
            self._seats[0].turn.set()
            return
        self._listening.close()
        self._bell = None
        if self._maybe:
            # The ring that this lot took may have been meant for another lot of the same queue.
            for topic in self._queue_topics:
                self._waking.wake(topic, bells=1)
