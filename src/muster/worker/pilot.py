"""How does a worker live? It enrols, keeps its slots full, hands results in at once, and ends when it is told to.

One thread decides here; it learns everything from its inbox: answers, renewals, ends of tasks, signals. What it works with is set up by
`crew`, what is in hand is kept by the `desk`, calls are made in other threads (`calls`), and how all of it ends says `ending`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Callable, Mapping, Optional

from muster.worker.calls import Call, Calls, Fault, Ready, Renewed, SessionOver
from muster.worker.child import ExecutionPointError
from muster.worker.chirp import Status
from muster.worker.crash_points import reach
from muster.worker.ending import Ending, Exit
from muster.worker.link import Address
from muster.worker.log_lines import LogLines
from muster.worker.marks import write_worked
from muster.worker.messages import Enrolled, Failure, Handed, StepAnswer, render_enrolment
from muster.worker.reaper import Reaper
from muster.worker.safekeeping import Safekeeping
from muster.worker.service import Caller, GaveUpError, Patience, RefusedError, Session, SessionEndedError
from muster.worker.settings import IDLE_S, Settings
from muster.worker.spool import Left, Spool

if TYPE_CHECKING:
    from muster.worker.crew import Crew

PARK_S = 20.0
"""Seconds that the service is asked to park a call."""


@dataclass(frozen=True)
class Signalled:
    """Somebody asks the worker to end."""

    name: str


class _Woken:
    """Look at the desk."""


class Pilot:
    """One worker from enrolment to its end. Its `inbox` may be put to from any thread, and from signal handlers."""

    def __init__(
        self,
        settings: Settings,
        *,
        address: Address,
        reaper: Reaper,
        log: LogLines,
        tell: Callable[[str], None] = lambda _status: None,
        version: str = "",
    ) -> None:
        """`tell`: says where the worker is (`chirp.Status`); may be called by any thread, and must not block."""
        self._settings = settings
        self._tell = tell
        self._where = Status.STARTED
        self._address = address
        self._reaper = reaper
        self._log = log
        self._version = version
        self.inbox: "SimpleQueue[object]" = SimpleQueue()
        self._patience = Patience(offline_s=settings.offline_s)
        self._calls = Calls(address, self._patience, log, self.inbox)
        self._session: Optional[Session] = None
        self._epoch = 0
        self._number = 0
        self._crew: Optional[Crew] = None
        self._ending = Ending(settings, calls=self._calls, patience=self._patience, reaper=reaper, log=log)
        spool = Spool(
            str(settings.workdir / "spool"),
            taskforce=settings.taskforce,
            bytes_max=settings.spool_mib << 20,
            log=log,
        )
        self._safe = Safekeeping(spool, calls=self._calls, patience=self._patience)
        self._is_ready = False
        self._has_leased = False
        self._has_worked = False
        self._idle_since: Optional[float] = None
        self._is_wake_due = False
        self._ask_at = 0.0
        self._empty_answers = 0

    def run(self) -> Exit:
        """Work until there is a reason to end."""
        self._enrol()
        import muster.worker.crew  # noqa: F401 - half of what a worker is made of, read while the service thinks

        try:
            while not self._ending.is_due(has_session=self._session is not None):
                now = time.monotonic()
                idle_until = self._note_idleness(now)
                self._listen(_earlier(_earlier(self._send(now), self._safe.look(now)), idle_until))
                self._tell_where()
        finally:
            self._safe.keep_all()
        how = self._ending.close(self._session, self.inbox)
        if n_kept := self._safe.n_kept:
            how = Exit(how.status, f"{how.why}; attempts on disk that were not handed in: {n_kept}")
        return how

    @property
    def counts(self) -> Mapping[str, int]:
        """How many attempts ended how."""
        return dict(self._crew.desk.counts) if self._crew is not None else {}

    def _note_idleness(self, now: float) -> Optional[float]:
        """End when there was nothing to do for as long as a setting says. Returns when that would be."""
        idle_s, crew = self._settings.idle_s, self._crew
        if not idle_s or crew is None or not self._is_ready or self._ending.has_begun:
            return None
        if crew.desk.has_any():
            self._idle_since = None
            return None
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since >= idle_s:
            self._ending.stop(Exit(0, f"no event for {idle_s:g} s ({IDLE_S})"), is_abort=False)
        return self._idle_since + idle_s

    def _tell_where(self) -> None:
        """Say where the worker is, when that has changed."""
        desk = self._crew.desk if self._crew is not None else None
        if self._ending.has_begun:
            where = Status.PENDING if desk is not None and desk.n_working() else self._where
        elif self._has_leased:
            where = Status.TASKING
        else:
            where = Status.AWAITING if self._is_ready else self._where
        if where != self._where:
            self._where = where
            self._tell(where)

    # -- what comes in -------------------------------------------------------------------------------------------------

    def _listen(self, again_at: Optional[float]) -> None:
        """Wait for something to happen, until then at most, and take note of it."""
        due = [moment for moment in (again_at, self._ending.deadline) if moment is not None]
        wait_s = max(0.0, min(due) - time.monotonic()) if due else None
        try:
            message = self.inbox.get(timeout=wait_s)
            while True:
                self._note(message)
                message = self.inbox.get_nowait()
        except Empty:
            pass
        self._ending.note_time(time.monotonic())

    def _note(self, message: object) -> None:
        if isinstance(message, _Woken):
            self._is_wake_due = False
        elif isinstance(message, Call):
            self._note_call(message)
        elif isinstance(message, Renewed):
            self._note_renewed(message)
        elif isinstance(message, SessionOver):
            self._begin_again(message.session)
        elif isinstance(message, Signalled):
            self._ending.note_signal(message.name)
        elif isinstance(message, Fault):
            if message.trace:
                self._log.tell("fault", why=message.why, trace=message.trace[-4000:])
            self._ending.stop(Exit(1, message.why), is_abort=True)
        elif isinstance(message, GaveUpError):
            self._ending.note_silence(message)
        elif isinstance(message, Ready):
            self._is_ready = True

    def _note_call(self, call: Call) -> None:
        self._calls.note_over(call)
        if isinstance(call.error, SessionEndedError):
            self._hand_in_again(call)
            if call.session is not None and call.kind == "step":
                self._begin_again(call.session)
        elif isinstance(call.error, RefusedError):
            self._note_refused(call, call.error)
        elif isinstance(call.error, GaveUpError):
            self._hand_in_again(call)
            self._ending.note_silence(call.error)
        elif isinstance(call.answer, Enrolled):
            self._note_enrolled(call.answer)
        elif isinstance(call.answer, StepAnswer):
            self._note_step(call, call.answer)

    def _note_step(self, call: Call, answer: StepAnswer) -> None:
        now, took_s, crew = time.monotonic(), call.took_s, self._crew
        if crew is not None and took_s < 1.0 and (answer.leases or not call.wait_s):
            crew.pace.note_call(took_s)
        if crew is not None:
            crew.desk.note_handed_in(call.finished)
            self._safe.let_go(call.finished)
            self._note_work(call)
        for verdict in answer.verdicts:
            if verdict not in ("done", "requeued"):
                self._log.tell("verdict", verdict=verdict)
        if answer.leases and call.session is self._session and crew is not None and self._session is not None:
            reach("worker.lease.answered")
            self._empty_answers = 0
            self._has_leased = True
            crew.desk.put(answer.leases, epoch=self._session.epoch, is_stopping=self._ending.has_begun)
        elif not answer.leases and not call.is_superseded and call.want:
            self._rest(now, took_s, call.wait_s, answer.come_back_s)
        self._note_hold(is_held=answer.is_held)
        self._ending.note_word(answer.stop)

    def _note_work(self, call: Call) -> None:
        """Leave a word, once, that this start was good for something: however it ends, its site goes on starting this worker."""
        if not self._has_worked and any(one.outcome != "released" for one in call.finished):
            self._has_worked = True
            write_worked(str(self._settings.workdir), self._settings.start, self._log)

    def _note_hold(self, *, is_held: bool) -> None:
        """The workflow is stopped for a while, or this host rests: what waits here could be begun by mistake."""
        if is_held and self._crew is not None:
            self._crew.desk.give_back_ready()

    def _rest(self, now: float, took_s: float, wait_s: float, come_back_s: Optional[float]) -> None:
        """Nothing came. When to ask again?"""
        if come_back_s is not None:
            self._ask_at = now + come_back_s
        elif took_s < wait_s - 1:
            # It was neither parked for long nor told when to come back: a service that is about to stop, say.
            self._empty_answers = min(self._empty_answers + 1, 6)
            self._ask_at = now + 0.02 * 2.0**self._empty_answers

    def _note_renewed(self, message: Renewed) -> None:
        if message.session is not self._session or self._crew is None:
            return
        names = set(message.answer.lost)
        if lost := [one for one in message.held if one[0] in names]:
            self._log.tell("leases lost", count=len(lost))
            self._crew.desk.lose(lost)
        self._note_hold(is_held=message.answer.is_held)
        self._ending.note_word(message.answer.stop)

    def _note_refused(self, call: Call, error: RefusedError) -> None:
        if call.kind == "enrol":
            self._ending.note_enrolment_refused(error)
        elif call.kind == "step" and self._crew is not None:
            self._log.tell("call refused", status=error.status, attempts=len(call.finished))
            if len(call.finished) > 1 or any(one.has_extras for one in call.finished):
                self._crew.desk.hand_in_again(call.finished, alone=True)
            elif call.finished and isinstance(call.finished[0], Left):
                self._log.tell("a result on disk is refused", why=str(error), event=call.finished[0].event)
                self._crew.desk.note_handed_in(call.finished)
                self._safe.let_go(call.finished)
            elif call.finished and call.finished[0].outcome == "done":
                self._crew.desk.hand_in_again([_as_refused(call.finished[0], error)], alone=True)
            else:
                self._ending.stop(Exit(1, str(error)), is_abort=True)

    def _hand_in_again(self, call: Call) -> None:
        if call.finished and self._crew is not None:
            self._crew.desk.hand_in_again(call.finished)

    # -- sessions ------------------------------------------------------------------------------------------------------

    def _enrol(self) -> None:
        settings = self._settings
        self._calls.enrol(
            render_enrolment(
                taskforce=settings.taskforce,
                secret=settings.secret,
                cluster=settings.cluster,
                proc=settings.proc,
                start=settings.start,
                host=settings.host,
                site=settings.site,
                version=self._version,
            )
        )

    def _begin_again(self, session: Session) -> None:
        """A session is over: enrol once more, unless that was done already, or we were told to end."""
        if session is not self._session:
            return
        self._session = None
        self._log.tell("session ended", epoch=session.epoch)
        if self._crew is not None:
            self._crew.desk.forget_ready()
        if not self._ending.is_cut_off:
            self._enrol()

    def _note_enrolled(self, enrolled: Enrolled) -> None:
        self._epoch += 1
        self._number = 0
        self._ask_at = 0.0
        self._session = Session(
            self._epoch,
            enrolled.token,
            enrolled.lease_s,
            takes_usage=enrolled.takes_usage,
            takes_output=enrolled.takes_output,
            takes_isolation=enrolled.takes_isolation,
        )
        self._log.tell("enrolled", session=enrolled.session, epoch=self._epoch, task=enrolled.task.task_id)
        if self._crew is None and not self._ending.has_begun:
            self._start_crew(enrolled)

    def _start_crew(self, enrolled: Enrolled) -> None:
        from muster.worker.courier import Courier
        from muster.worker.crew import start_crew
        from muster.worker.outfit import CannotWorkError

        try:
            self._crew = self._ending.crew = start_crew(
                enrolled,
                self._settings,
                reaper=self._reaper,
                caller=Caller(self._address, self._patience, self._log),
                courier=Courier(
                    self._address,
                    session=lambda: self._session,
                    patience=self._patience,
                    bytes_max=enrolled.file_bytes_max,
                    log=self._log,
                ),
                session=lambda: self._session,
                wake=self._wake,
                on_init=lambda: self._tell(Status.INIT),
                inbox=self.inbox,
                log=self._log,
            )
            self._safe.begin(self._crew.desk)
        except CannotWorkError as error:
            self._ending.stop(Exit(error.status, str(error)), is_abort=True)
        except ExecutionPointError as error:
            self._ending.stop(Exit(1, str(error)), is_abort=True)

    def _wake(self) -> None:
        if not self._is_wake_due:
            self._is_wake_due = True
            self.inbox.put(_Woken())

    # -- what goes out -------------------------------------------------------------------------------------------------

    def _send(self, now: float) -> Optional[float]:
        """Make a step if one is due. Returns when to look again, though nothing happens before."""
        session, crew, is_stopping = self._session, self._crew, self._ending.has_begun
        if session is None or crew is None or not self._calls.has_room():
            return None
        steps = [call for call in self._calls.under_way if call.kind == "step" and not call.is_superseded]
        for call in steps:
            free_at = _free_at(call, crew.pace.round_trip_s)
            if free_at is None or free_at > now:
                return free_at
        may_ask = self._is_ready and now >= self._ask_at
        errand = crew.desk.plan(now, is_asking=bool(steps), may_ask=may_ask, is_stopping=is_stopping)
        # What was handed in with a call that is parked is answered when that ends: the next one ends it.
        is_over = is_stopping and any(call.wait_s for call in steps)
        if not errand.is_due and not is_over:
            due = [errand.again_at] if errand.again_at is not None else []
            if not is_stopping and self._is_ready and not steps and self._ask_at > now:
                due.append(self._ask_at)
            return min(due, default=None)
        for call in steps:
            call.is_superseded = True
        self._number += 1
        want = errand.want if self._is_ready else 0
        wait_s = PARK_S if want else 0.0
        self._calls.step(session, self._number, errand.finished, want=want, wait_s=wait_s, isolation=crew.isolation)
        return now  # there may be more than one call holds


def _earlier(first: Optional[float], second: Optional[float]) -> Optional[float]:
    """The earlier of two moments; None is never."""
    return min((moment for moment in (first, second) if moment is not None), default=None)


def _free_at(call: Call, round_trip_s: float) -> Optional[float]:
    """From when on may a call be taken for parked, so that the next one may be made? None: not before its answer."""
    caller = call.caller
    if caller is None or caller.is_troubled or not call.wait_s:
        return None
    return caller.sent_at + max(0.005, 3 * round_trip_s)


def _as_refused(handed: Handed, error: RefusedError) -> Handed:
    """The service will not have a result: then that is the attempt's error."""
    failure = Failure(text=f"task failed: the result was refused: {error}"[:4000], fingerprint="result refused")
    return Handed(handed.event, handed.fence, "failed", failure=failure, wall_s=handed.wall_s)
