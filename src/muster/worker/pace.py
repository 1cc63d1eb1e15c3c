"""How many events should a worker have in hand? Enough that no slot waits for the service, few enough that others get their share.

Long tasks: one for each slot. Short ones: what is worked off in a fifth of a second.
"""

from __future__ import annotations

from typing import Optional

AHEAD_S = 0.2
"""Work to have in hand ahead of each slot."""
AHEAD_MAX = 256
"""Events that a worker has in hand ahead of its slots, at most."""
SHORT_S = 0.002
SHORT_BATCHES = 4
"""Tasks shorter than `SHORT_S` are taken in batches that many times as large."""
_WAITING_SHARE = 0.02
"""One event ahead when the way to the service and back takes more than this share of a task."""
_LONG_S = 10.0
"""Tasks of that length wait for nothing that matters: never an event ahead."""


class Pace:
    """Learns how long tasks and calls take. For one thread at a time."""

    def __init__(self, *, slots: int, batch: int) -> None:
        """`batch`: events to ask for at once, for each slot, unless the tasks are short."""
        self._slots = slots
        self._batch = batch
        self._task_s: Optional[float] = None
        self.round_trip_s = 0.002

    def note_task(self, wall_s: float) -> None:
        """A task took that long. Longer ones count more: having too much in hand is worse than too little."""
        if self._task_s is None:
            self._task_s = wall_s
        else:
            self._task_s += (wall_s - self._task_s) * (0.5 if wall_s > self._task_s else 0.1)

    def note_stuck(self, wall_s: float) -> None:
        """Every task at work has taken at least that long."""
        self._task_s = max(self._task_s or 0.0, wall_s)

    def note_call(self, seconds: float) -> None:
        """A call that was not parked took that long."""
        self.round_trip_s += (min(seconds, 1.0) - self.round_trip_s) * 0.1

    @property
    def ahead(self) -> int:
        """Events to have in hand beside those at work."""
        if self._task_s is None:
            return 0
        task_s = max(self._task_s, 1e-6)
        each = int(AHEAD_S / task_s)
        if each == 0 and task_s < _LONG_S and self.round_trip_s > _WAITING_SHARE * task_s:
            each = 1
        batch = self._batch * (SHORT_BATCHES if task_s < SHORT_S else 1)
        return min(each * self._slots, batch * self._slots, AHEAD_MAX)
