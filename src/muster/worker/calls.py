"""How are calls made while the pilot goes on? A few threads, each with a connection; answers come to the pilot's inbox."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Callable, List, Optional, Sequence, Union

from muster.worker import protocol
from muster.worker.crash_points import reach
from muster.worker.link import Address
from muster.worker.live import Live
from muster.worker.log_lines import LogLines
from muster.worker.messages import (
    Enrolled,
    Handed,
    Renewal,
    StepAnswer,
    parse_enrolled,
    parse_renewal,
    parse_step_answer,
    render_leave,
    render_renewal,
    render_step,
)
from muster.worker.service import Caller, GaveUpError, Patience, RefusedError, Session, SessionEndedError

CALLERS_MAX = 4
"""Calls under way at once: one that is parked, one that follows it, an enrolment, and one to spare."""

ASK_S = 2.0
"""Seconds between two renewals of a worker that was signalled."""

CallError = Union[GaveUpError, SessionEndedError, RefusedError]


@dataclass(eq=False)
class Call:
    """One call under way, or answered.

    Args:
        kind: `enrol`, `step` or `leave`.
        session: None for an enrolment.
        is_superseded: a later step was made while this one may be parked.
        made_at: when it was made first (monotonic).
        answer, error: one of them is set once it is over. took_s: how long the last try took.
    """

    kind: str
    make: Callable[[Caller], object] = field(repr=False)
    session: Optional[Session] = None
    finished: Sequence[Handed] = ()
    want: int = 0
    wait_s: float = 0.0
    is_superseded: bool = False
    made_at: float = field(default_factory=time.monotonic)
    caller: Optional[Caller] = None
    answer: Optional[object] = None
    error: Optional[CallError] = None
    took_s: float = 0.0


class Ready:
    """A slot is prepared: events may be asked for."""


@dataclass(frozen=True)
class Fault:
    """A thread has ended in an error that nobody expected, or that ends the worker. `why`: one line."""

    why: str
    trace: str = ""


class Repeated:
    """A call that was in trouble is under way again, and may be parked: when to look again has changed."""


class Calls:
    """The calls of one worker. For the pilot's thread; `inbox` gets each Call when it is over."""

    def __init__(self, address: Address, patience: Patience, log: LogLines, inbox: "SimpleQueue[object]") -> None:
        self._address = address
        self._patience = patience
        self._log = log
        self._inbox = inbox
        self._idle: List["_CallerThread"] = []
        self._n_threads = 0
        self.under_way: List[Call] = []

    def has_room(self) -> bool:
        """May another call be made?"""
        return bool(self._idle) or self._n_threads < CALLERS_MAX

    def enrol(self, body: bytes) -> Call:
        """Begin a session."""

        def make(caller: Caller) -> Enrolled:
            answer = caller.call(protocol.ENROL, body, parse_enrolled)
            reach("worker.enrol.answered")
            return answer

        return self._start(Call("enrol", make))

    def step(
        self, session: Session, number: int, finished: Sequence[Handed], *, want: int, wait_s: float, isolation: str
    ) -> Call:
        """Hand in and lease. `isolation`: told in a session's first step."""
        body = render_step(
            number,
            finished,
            want=want,
            wait_s=wait_s,
            with_usage=session.takes_usage,
            with_output=session.takes_output,
            isolation=isolation if session.takes_isolation and number == 1 else "",
        )

        def on_sent() -> None:
            if finished:
                reach("worker.finish.sent")

        def make(caller: Caller) -> StepAnswer:
            answer = caller.call(
                protocol.STEP, body, parse_step_answer, session=session, park_s=wait_s, on_sent=on_sent
            )
            session.stepped_at = max(session.stepped_at, caller.sent_at)
            return answer

        return self._start(Call("step", make, session, finished, want, wait_s))

    def leave(self, session: Session, reason: str) -> Call:
        """End a session."""
        body = render_leave(reason)

        def make(caller: Caller) -> bytes:
            return caller.call(protocol.LEAVE, body, lambda raw: raw, session=session)

        return self._start(Call("leave", make, session))

    def note_over(self, call: Call) -> None:
        """The pilot has seen that a call is over."""
        self.under_way.remove(call)

    def _start(self, call: Call) -> Call:
        if self._idle:
            thread = self._idle.pop()
        else:
            self._n_threads += 1
            caller = Caller(self._address, self._patience, self._log, on_repeat=lambda: self._inbox.put(Repeated()))
            thread = _CallerThread(caller, self._inbox, self._idle, number=self._n_threads)
            thread.start()
        call.caller = thread.caller
        call.caller.note_start()
        self.under_way.append(call)
        thread.jobs.put(call)
        return call


class _CallerThread(threading.Thread):
    """Makes one call after the other."""

    def __init__(
        self, caller: Caller, inbox: "SimpleQueue[object]", idle: "List[_CallerThread]", *, number: int
    ) -> None:
        super().__init__(name=f"call-{number}", daemon=True)
        self.caller = caller
        self.jobs: "SimpleQueue[Call]" = SimpleQueue()
        self._inbox = inbox
        self._idle = idle

    def run(self) -> None:
        while True:
            call = self.jobs.get()
            try:
                call.answer = call.make(self.caller)
            except (GaveUpError, SessionEndedError, RefusedError) as error:
                call.error = error
            except BaseException as error:
                self._inbox.put(Fault(f"a call failed: {type(error).__name__}: {error}", traceback.format_exc()))
                raise
            call.took_s = time.monotonic() - self.caller.sent_at
            self._idle.append(self)
            self._inbox.put(call)


class Renewer(threading.Thread):
    """Renews the session and all that is held, every third of a lease, and often once asked to, over a connection of its own.

    Of a session that holds nothing only the time counts, and a step in the last third of a lease gave it a new one: so it is left alone.
    (Of 20,000 idle workers each renewal spared is one of three calls.)

    `session` and `held` are asked each time, and `live` for what somebody looks at; `inbox` gets each Renewed, and each SessionEnded.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        session: Callable[[], Optional[Session]],
        held: "Callable[[int], Sequence[tuple[str, int]]]",
        inbox: "SimpleQueue[object]",
        live: Live,
    ) -> None:
        super().__init__(name="renew", daemon=True)
        self._live = live
        self._caller = caller
        self._session = session
        self._held = held
        self._inbox = inbox
        self._interval_s_max = float("inf")
        self._is_woken = threading.Event()
        self._is_over = False

    def run(self) -> None:
        try:
            while True:
                self._is_woken.wait(self._interval_s())
                self._is_woken.clear()
                if self._is_over:
                    return
                session = self._session()
                if session is not None and self._is_due(session):
                    self._renew(session)
        except GaveUpError as error:
            self._inbox.put(error)
        except BaseException as error:
            self._inbox.put(Fault(f"renewing failed: {type(error).__name__}: {error}", traceback.format_exc()))
            raise

    def stop(self) -> None:
        """No more renewals."""
        self._is_over = True
        self._is_woken.set()

    def renew_often(self) -> None:
        """Now, and every `ASK_S` from now on: a word of the service is awaited, which not all parts of it need to know yet."""
        self._interval_s_max = ASK_S
        self._is_woken.set()

    def _interval_s(self) -> float:
        session = self._session()
        if session is None:
            return min(self._interval_s_max, 1.0)
        return min(self._interval_s_max, session.lease_s / 3, ASK_S if session.watched else float("inf"))

    def _is_due(self, session: Session) -> bool:
        is_hurried = self._interval_s_max < float("inf")
        return (
            is_hurried or bool(self._held(session.epoch)) or time.monotonic() - session.stepped_at > session.lease_s / 3
        )

    def _renew(self, session: Session) -> None:
        held = self._held(session.epoch)
        tails = self._live.read(session.watched)
        try:
            answer = self._ask(session, render_renewal(held, tails), render_renewal(held))
        except SessionEndedError:
            self._inbox.put(SessionOver(session))
            return
        session.lease_s = answer.lease_s
        session.watched = answer.watched
        if answer.token is not None:
            session.token = answer.token
        self._inbox.put(Renewed(session, answer, held))

    def _ask(self, session: Session, body: bytes, without: bytes) -> Renewal:
        """`without`: the same as one of before takes it that stands beside the service that spoke last."""
        try:
            return self._caller.call(protocol.RENEW, body, parse_renewal, session=session)
        except RefusedError:
            if body == without:
                raise
            return self._caller.call(protocol.RENEW, without, parse_renewal, session=session)


@dataclass(frozen=True)
class SessionOver:
    """A renewal was told that the session is over."""

    session: Session


@dataclass(frozen=True)
class Renewed:
    """A renewal was answered. `held`: what it had named."""

    session: Session
    answer: Renewal
    held: "Sequence[tuple[str, int]]"
