"""When do attempts go to disk, and when are they let go? Once the service is silent, and once it has answered for them.

As long as it answers nothing is written: what it has confirmed is safe there, and the way from one event to the next stays short.
"""

from __future__ import annotations

from typing import Optional, Sequence

from muster.worker.calls import Calls
from muster.worker.desk import Desk
from muster.worker.messages import Handed
from muster.worker.service import Patience
from muster.worker.spool import Left, Spool

SILENT_S = 1.0
"""Seconds without a good answer after which attempts go to disk."""
LATE_S = 5.0
"""The same for a call that hangs, over the time for which it was to be parked."""


class Safekeeping:
    """Sees to it that attempts survive this worker while nobody takes them. For the pilot's thread. `desk` is set once there is one."""

    def __init__(self, spool: Spool, *, calls: Calls, patience: Patience) -> None:
        self._spool = spool
        self._calls = calls
        self._patience = patience
        self._left: Sequence[Left] = spool.read()
        self.desk: Optional[Desk] = None

    @property
    def n_kept(self) -> int:
        """How many attempts are on disk."""
        return len(self._spool)

    def begin(self, desk: Desk) -> None:
        """There is a desk: what former starts have left comes first."""
        self.desk = desk
        desk.hand_in_left(self._left)
        self._left = ()

    def look(self, now: float) -> Optional[float]:
        """Put on disk what has waited too long. Returns when to look again, though nothing happens before."""
        desk = self.desk
        if desk is None:
            return None
        flying = [call for call in self._calls.under_way if call.finished]
        if not flying and not desk.n_finished():
            return None
        due = [call.made_at + call.wait_s + LATE_S for call in flying]
        if self._patience.troubled_at is not None:
            due.append(self._patience.troubled_at + SILENT_S)
        due_at = min(due, default=None)
        is_silent = due_at is not None and now >= due_at
        desk.watch(is_watched=is_silent)
        if not is_silent:
            return due_at
        self.keep_all()
        return self._spool.again_at

    def keep_all(self) -> None:
        """Put on disk what the service has not answered for."""
        if self.desk is None:
            return
        waiting = [one for call in self._calls.under_way for one in call.finished] + self.desk.list_finished()
        self._spool.keep([one for one in waiting if one.outcome != "released"])
        self.desk.hold(is_held=self._spool.is_full)

    def let_go(self, finished: Sequence[Handed]) -> None:
        """The service has answered for these, or will have nothing of them."""
        if self.desk is not None and self.n_kept:
            self._spool.let_go(finished)
            self.desk.hold(is_held=self._spool.is_full)
