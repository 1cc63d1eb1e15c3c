"""How does a worker live? It enrols, keeps its slots full, hands results in at once, and ends when it is told to.

One thread decides here; it learns everything from its inbox: answers, renewals, ends of tasks, signals. Tasks run in the slots' threads
(`slots`), calls are made in others (`calls`), what is in hand is kept by the `desk`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import List, Mapping, Optional

from muster.worker.calls import Call, Calls, Fault, Renewed, Renewer, SessionOver
from muster.worker.child import ExecutionPointError
from muster.worker.command import Command, CommandError, Variables
from muster.worker.crash_points import reach
from muster.worker.desk import Desk
from muster.worker.folders import Folders, data_folder
from muster.worker.link import Address
from muster.worker.log_lines import LogLines
from muster.worker.messages import Enrolled, Failure, Handed, StepAnswer, render_enrolment
from muster.worker.pace import Pace
from muster.worker.plain import Workshop
from muster.worker.reaper import Reaper
from muster.worker.service import Caller, GaveUpError, Patience, RefusedError, Session, SessionEndedError
from muster.worker.settings import Settings
from muster.worker.slots import Preparation, Ready, Slot, make_runtime

PARK_S = 20.0
"""Seconds that the service is asked to park a call."""
FINAL_S = 5.0
"""Seconds to hand in the last results, and to leave, when the service does not answer."""
JOIN_S = 20.0
NO_RUNTIME_STATUS = 3


@dataclass(frozen=True)
class Exit:
    """How the worker ends: exit status, and why in one line."""

    status: int
    why: str


@dataclass(frozen=True)
class Signalled:
    """Somebody asks the worker to end."""

    name: str


class _Woken:
    """Look at the desk."""


class Pilot:
    """One worker from enrolment to its end. Its `inbox` may be put to from any thread, and from signal handlers."""

    def __init__(
        self, settings: Settings, *, address: Address, reaper: Reaper, log: LogLines, version: str = ""
    ) -> None:
        self._settings = settings
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
        self._desk: Optional[Desk] = None
        self._pace: Optional[Pace] = None
        self._slots: List[Slot] = []
        self._folders: Optional[Folders] = None
        self._renewer: Optional[Renewer] = None
        self._is_ready = False
        self._is_wake_due = False
        self._ask_at = 0.0
        self._empty_answers = 0
        self._exit: Optional[Exit] = None
        self._deadline: Optional[float] = None
        self._is_abort = False
        self._n_signals = 0
        self._is_told = False

    def run(self) -> Exit:
        """Work until there is a reason to end."""
        self._enrol()
        while not self._is_over():
            again_at = self._send(time.monotonic())
            self._listen(again_at)
        return self._end()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many attempts ended how."""
        return dict(self._desk.counts) if self._desk is not None else {}

    # -- what comes in -------------------------------------------------------------------------------------------------

    def _listen(self, again_at: Optional[float]) -> None:
        """Wait for something to happen, until then at most, and take note of it."""
        due = [moment for moment in (again_at, self._deadline) if moment is not None]
        wait_s = max(0.0, min(due) - time.monotonic()) if due else None
        try:
            message = self.inbox.get(timeout=wait_s)
            while True:
                self._note(message)
                message = self.inbox.get_nowait()
        except Empty:
            pass
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            self._cancel_all()

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
            # A second one means now; a first one after the service's word is the same wish from another side.
            self._n_signals += 1
            self._stop(Exit(0, f"asked to end by {message.name}"), is_abort=self._n_signals > 1)
        elif isinstance(message, Fault):
            if message.trace:
                self._log.tell("fault", why=message.why, trace=message.trace[-4000:])
            self._stop(Exit(1, message.why), is_abort=True)
        elif isinstance(message, GaveUpError):
            self._give_up(message)
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
            self._give_up(call.error)
        elif isinstance(call.answer, Enrolled):
            self._note_enrolled(call.answer)
        elif isinstance(call.answer, StepAnswer):
            self._note_step(call, call.answer)

    def _note_step(self, call: Call, answer: StepAnswer) -> None:
        now, took_s = time.monotonic(), call.took_s
        if self._pace is not None and took_s < 1.0 and (answer.leases or not call.wait_s):
            self._pace.note_call(took_s)
        for verdict in answer.verdicts:
            if verdict not in ("done", "requeued"):
                self._log.tell("verdict", verdict=verdict)
        if answer.leases and call.session is self._session and self._desk is not None and self._session is not None:
            reach("worker.lease.answered")
            self._empty_answers = 0
            self._desk.put(answer.leases, epoch=self._session.epoch, is_stopping=self._exit is not None)
        elif not answer.leases and not call.is_superseded and call.want:
            self._rest(now, took_s, call.wait_s, answer.come_back_s)
        self._note_stop(answer.stop)

    def _rest(self, now: float, took_s: float, wait_s: float, come_back_s: Optional[float]) -> None:
        """Nothing came. When to ask again?"""
        if come_back_s is not None:
            self._ask_at = now + come_back_s
        elif took_s < wait_s - 1:
            # It was neither parked for long nor told when to come back: a service that is about to stop, say.
            self._empty_answers = min(self._empty_answers + 1, 6)
            self._ask_at = now + 0.02 * 2.0**self._empty_answers

    def _note_renewed(self, message: Renewed) -> None:
        if message.session is not self._session or self._desk is None:
            return
        names = set(message.answer.lost)
        if lost := [one for one in message.held if one[0] in names]:
            self._log.tell("leases lost", count=len(lost))
            self._desk.lose(lost)
        self._note_stop(message.answer.stop)

    def _note_stop(self, word: Optional[str]) -> None:
        if word is not None:
            self._is_told = True
            self._stop(Exit(0, f"told to {word}"), is_abort=word == "abort")

    def _note_refused(self, call: Call, error: RefusedError) -> None:
        if call.kind == "enrol":
            is_ended = error.status == 403 and error.code == "taskforce-ended"
            self._is_told = True  # there is no session to be had
            why = "the taskforce has ended" if is_ended else f"enrolment refused: {error}"
            self._stop(Exit(0 if is_ended else 1, why), is_abort=True)
        elif call.kind == "step" and self._desk is not None:
            self._log.tell("call refused", status=error.status, attempts=len(call.finished))
            if len(call.finished) > 1:
                self._desk.hand_in_again(call.finished, alone=True)
            elif call.finished and call.finished[0].outcome == "done":
                self._desk.hand_in_again([_as_refused(call.finished[0], error)], alone=True)
            else:
                self._stop(Exit(1, str(error)), is_abort=True)

    def _hand_in_again(self, call: Call) -> None:
        if call.finished and self._desk is not None:
            self._desk.hand_in_again(call.finished)

    def _give_up(self, error: GaveUpError) -> None:
        if self._exit is None:
            self._patience.limit(FINAL_S)
            self._stop(Exit(1, f"no service for {self._settings.offline_s:g} s: {error}"), is_abort=True)
        self._is_told = True  # no use in enrolling

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
        if self._desk is not None:
            self._desk.forget_ready()
        if not self._is_told:
            self._enrol()

    def _note_enrolled(self, enrolled: Enrolled) -> None:
        self._epoch += 1
        self._number = 0
        self._ask_at = 0.0
        self._session = Session(self._epoch, enrolled.token, enrolled.lease_s)
        self._log.tell("enrolled", session=enrolled.session, epoch=self._epoch, task=enrolled.task.task_id)
        if self._desk is None and self._exit is None:
            try:
                self._open(enrolled)
            except ExecutionPointError as error:
                self._stop(Exit(1, str(error)), is_abort=True)

    def _open(self, enrolled: Enrolled) -> None:
        """The first time: set up the desk and the slots."""
        plan, settings = enrolled.task, self._settings
        image = plan.image or plan.init_image
        if image:
            why = f"no container runtime here: {image!r} cannot run; leave the image empty to run a plain command"
            self._stop(Exit(NO_RUNTIME_STATUS, why), is_abort=True)
            return
        try:
            command = Command(plan.args)
        except CommandError as error:
            self._stop(Exit(1, str(error)), is_abort=True)
            return
        self._folders = folders = Folders(
            settings.workdir,
            input_dir=settings.input_dir,
            failures_kept=settings.failures_kept,
            keep_all=settings.keep_task_files,
        )
        helper = folders.write_helper()
        variables = Variables(os.environ, plan.env, n_cores=plan.n_cores, data_hub=folders.data_hub, helper=helper)
        program = command.find_program(variables.path)
        shop = Workshop(
            plan, command, program, variables, folders, self._reaper, helper, settings.task_start_s, self._log
        )
        self._pace = Pace(slots=plan.slots, batch=settings.batch or enrolled.batch)
        self._desk = desk = Desk(self._pace, slots=plan.slots, wake=self._wake)
        prepare = Preparation(shop, os.environ).run
        for number in range(plan.slots):
            slot = Slot(number, desk=desk, runtime=make_runtime(shop), prepare=prepare, inbox=self.inbox, log=self._log)
            self._slots.append(slot)
            slot.start()
        self._renewer = Renewer(
            Caller(self._address, self._patience, self._log),
            session=lambda: self._session,
            held=desk.held,
            inbox=self.inbox,
        )
        self._renewer.start()

    def _wake(self) -> None:
        if not self._is_wake_due:
            self._is_wake_due = True
            self.inbox.put(_Woken())

    # -- what goes out -------------------------------------------------------------------------------------------------

    def _send(self, now: float) -> Optional[float]:
        """Make a step if one is due. Returns when to look again, though nothing happens before."""
        session, desk = self._session, self._desk
        if session is None or desk is None or not self._calls.has_room():
            return None
        steps = [call for call in self._calls.under_way if call.kind == "step" and not call.is_superseded]
        for call in steps:
            free_at = self._free_at(call)
            if free_at is None or free_at > now:
                return free_at
        may_ask = self._is_ready and now >= self._ask_at
        errand = desk.plan(now, is_asking=bool(steps), may_ask=may_ask, is_stopping=self._exit is not None)
        if not errand.is_due:
            due = [errand.again_at] if errand.again_at is not None else []
            if self._exit is None and self._is_ready and not steps and self._ask_at > now:
                due.append(self._ask_at)
            return min(due, default=None)
        for call in steps:
            call.is_superseded = True
        self._number += 1
        want = errand.want if self._is_ready else 0
        self._calls.step(session, self._number, errand.finished, want=want, wait_s=PARK_S if want else 0.0)
        return now  # there may be more than one call holds

    def _free_at(self, call: Call) -> Optional[float]:
        """From when on may a call be taken for parked, so that the next one may be made? None: not before its answer."""
        caller = call.caller
        if caller is None or caller.is_troubled or not call.wait_s:
            return None
        round_trip_s = self._pace.round_trip_s if self._pace is not None else 0.0
        return caller.sent_at + max(0.005, 3 * round_trip_s)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _stop(self, how: Exit, *, is_abort: bool) -> None:
        """Begin to end, or hurry. The first reason counts, a fault always."""
        if self._exit is None or (how.status and not self._exit.status):
            self._exit = how
            self._log.tell("stopping", why=how.why, abort=is_abort)
        if self._desk is not None:
            self._desk.give_back_ready()
        if is_abort and not self._is_abort:
            self._is_abort = True
            self._cancel_all()
        elif not is_abort and self._deadline is None and not self._is_abort:
            self._deadline = time.monotonic() + self._settings.grace_s

    def _cancel_all(self) -> None:
        if self._desk is not None:
            self._desk.cancel_all()

    def _is_over(self) -> bool:
        """Nothing is at work, and all that could be handed in is."""
        if self._exit is None:
            return False
        if self._desk is None:
            return True
        if self._desk.n_working():
            return False
        self._patience.limit_once(FINAL_S)
        if not self._patience.has_left():
            return True
        is_handing_in = any(call.finished for call in self._calls.under_way)
        has_way = self._session is not None or any(call.kind == "enrol" for call in self._calls.under_way)
        return not is_handing_in and (self._desk.n_finished() == 0 or not has_way)

    def _end(self) -> Exit:
        """Stop everything, leave, and see that nothing is left."""
        how = self._exit or Exit(1, "ended without a reason")
        if self._renewer is not None:
            self._renewer.stop()
        if self._desk is not None:
            self._desk.close()
        data = data_folder(self._settings.workdir)
        if self._is_abort:
            self._reaper.kill_everything(data)
        end = time.monotonic() + JOIN_S
        for slot in self._slots:
            slot.join(max(0.0, end - time.monotonic()))
        if left := self._reaper.kill_everything(data):
            how = Exit(1, f"processes {', '.join(map(str, left[:20]))} would not die")
        self._leave(how.why)
        if self._folders is not None:
            self._folders.close()
        return how

    def _leave(self, why: str) -> None:
        if self._session is None or not self._calls.has_room():
            return
        self._patience.limit_once(FINAL_S)
        leaving = self._calls.leave(self._session, why[:200])
        end = time.monotonic() + FINAL_S
        while leaving in self._calls.under_way and (wait_s := end - time.monotonic()) > 0:
            try:
                message = self.inbox.get(timeout=wait_s)
            except Empty:
                return
            if isinstance(message, Call):
                self._calls.note_over(message)


def _as_refused(handed: Handed, error: RefusedError) -> Handed:
    """The service will not have a result: then that is the attempt's error."""
    failure = Failure(text=f"task failed: the result was refused: {error}"[:4000], fingerprint="result refused")
    return Handed(handed.event, handed.fence, "failed", failure=failure, wall_s=handed.wall_s)
