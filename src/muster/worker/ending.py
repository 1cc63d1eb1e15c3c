"""How does a worker end? For a reason: the first counts, a fault always. Its tasks get their time, then it leaves, and nothing is left.

It may be asked to (a signal), be told to (the service), or be unable to go on. A second signal hurries: what is at work is stopped then.
How long tasks may go on says the service, where it wants the end; where only a signal does, the worker's own setting.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Optional

from muster.worker.calls import Call, Calls
from muster.worker.log_lines import LogLines
from muster.worker.messages import Stop
from muster.worker.protocol import UNHURRIED_S
from muster.worker.reaper import Reaper
from muster.worker.service import GaveUpError, Patience, RefusedError, Session
from muster.worker.settings import Settings

if TYPE_CHECKING:
    from muster.worker.crew import Crew

FINAL_S = 5.0
"""Seconds to hand in the last results, and to leave, when the service does not answer."""
JOIN_S = 20.0


@dataclass(frozen=True)
class Exit:
    """How the worker ends: exit status, and why in one line."""

    status: int
    why: str


class Ending:
    """The end of one worker, from the first word of it. For the pilot's thread. `crew` is set once there is one."""

    def __init__(self, settings: Settings, *, calls: Calls, patience: Patience, reaper: Reaper, log: LogLines) -> None:
        self._settings = settings
        self._calls = calls
        self._patience = patience
        self._reaper = reaper
        self._log = log
        self.crew: Optional[Crew] = None
        self.deadline: Optional[float] = None
        """When tasks that are still at work are stopped (monotonic)."""
        self.is_cut_off = False
        """There is no session to be had any more: no use in enrolling."""
        self._how: Optional[Exit] = None
        self._began: Optional[float] = None
        self._is_unhurried = False
        self._is_abort = False
        self._is_cancelled = False
        self._n_signals = 0

    @property
    def has_begun(self) -> bool:
        """No more events are wanted."""
        return self._how is not None

    # -- reasons -------------------------------------------------------------------------------------------------------

    def stop(self, how: Exit, *, is_abort: bool, grace_s: Optional[float] = None) -> None:
        """Begin to end, or hurry.

        Args:
            is_abort: tasks are stopped now, else after their grace.
            grace_s: their grace as the service says; None: the worker's own, unless the service has said one. Either counts from the first
                reason to end, as the pool counts it.
        """
        if self._is_unhurried:
            self._began = self.deadline = None
            self._is_unhurried = False
        if self._began is None:
            self._began = time.monotonic()
        if self._how is None or (how.status and not self._how.status):
            self._how = how
            self._log.tell("stopping", why=how.why, abort=is_abort)
        if self.crew is not None:
            self.crew.desk.give_back_ready()
        if is_abort and not self._is_abort:
            self._is_abort = True
            self._cancel_all()
        elif not self._is_cancelled and (self.deadline is None or grace_s is not None):
            self.deadline = self._began + (self._settings.grace_s if grace_s is None else grace_s)

    def note_signal(self, name: str) -> None:
        """Somebody asks. A second signal means now; a first one after the service's word is the same wish from another side.

        The service is asked whether the end is its wish: the pool of a finished workflow signals at once, and it may come first.
        """
        self._n_signals += 1
        self.stop(Exit(0, f"asked to end by {name}"), is_abort=self._n_signals > 1)
        if self.crew is not None and self.crew.desk.n_working():
            self.crew.renewer.renew_often()

    def note_word(self, word: Optional[Stop]) -> None:
        """What the service says of stopping."""
        if word is None:
            return
        is_unhurried = word.grace_s >= UNHURRIED_S
        if is_unhurried and self.has_begun:
            return  # for another reason: that has said how long
        self.is_cut_off = not is_unhurried  # what is let go may take days to end, and can have a session all that time
        self.stop(Exit(0, f"told to {word.how}"), is_abort=word.how == "abort", grace_s=word.grace_s)
        self._is_unhurried = is_unhurried

    def note_enrolment_refused(self, error: RefusedError) -> None:
        """The service will have nothing of this worker."""
        self.is_cut_off = True
        is_ended = error.status == 403 and error.code == "taskforce-ended"
        why = "the taskforce has ended" if is_ended else f"enrolment refused: {error}"
        self.stop(Exit(0 if is_ended else 1, why), is_abort=True)

    def note_silence(self, error: GaveUpError) -> None:
        """The service has not answered for as long as it was given."""
        if self._how is None:
            self._patience.limit(FINAL_S)
            self.stop(Exit(1, f"no service for {self._settings.offline_s:g} s: {error}"), is_abort=True)
        self.is_cut_off = True

    def note_time(self, now: float) -> None:
        """The tasks' grace may be over."""
        if self.deadline is not None and now >= self.deadline:
            self._cancel_all()

    def _cancel_all(self) -> None:
        self._is_cancelled = True
        self.deadline = None
        if self.crew is not None:
            self.crew.desk.cancel_all()

    # -- the end -------------------------------------------------------------------------------------------------------

    def is_due(self, *, has_session: bool) -> bool:
        """Nothing is at work, and all that could be handed in is."""
        if self._how is None:
            return False
        if self.crew is None:
            return True
        if self.crew.desk.n_working():
            return False
        self._patience.limit_once(FINAL_S)
        if not self._patience.has_left():
            return True
        under_way = self._calls.under_way
        has_way = has_session or any(call.kind == "enrol" for call in under_way)
        is_handing_in = any(call.finished for call in under_way)
        return not is_handing_in and (self.crew.desk.n_finished() == 0 or not has_way)

    def close(self, session: Optional[Session], inbox: "SimpleQueue[object]") -> Exit:
        """Stop everything, leave, and see that nothing is left."""
        how = self._how or Exit(1, "ended without a reason")
        crew = self.crew
        if crew is not None:
            crew.renewer.stop()
            crew.desk.close()
            crew.stop_preparing()
        if self._is_abort:
            self._reaper.kill_everything()
        end = time.monotonic() + JOIN_S
        for slot in crew.slots if crew is not None else ():
            slot.join(max(0.0, end - time.monotonic()))
        if left := self._reaper.kill_everything():
            how = Exit(1, f"processes {', '.join(map(str, left[:20]))} would not die")
        if session is not None and self._calls.has_room():
            self._leave(session, how.why, inbox)
        if crew is not None:
            crew.folders.close()
        return how

    def _leave(self, session: Session, why: str, inbox: "SimpleQueue[object]") -> None:
        self._patience.limit_once(FINAL_S)
        leaving = self._calls.leave(session, why[:200])
        end = time.monotonic() + FINAL_S
        while leaving in self._calls.under_way and (wait_s := end - time.monotonic()) > 0:
            try:
                message = inbox.get(timeout=wait_s)
            except Empty:
                return
            if isinstance(message, Call):
                self._calls.note_over(message)
