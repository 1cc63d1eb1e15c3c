"""How is an outage told without drowning the log? Each trouble once a minute, with how often it came meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import structlog

from muster.domain.errors import MusterError
from muster.site.ports.standing import Trouble

log = structlog.get_logger("muster.site")

RECENT_S = 90.0
"""Seconds for which a trouble counts as one that is not over: all are tried again sooner."""


@dataclass
class TroubleLog:
    """Tells of errors that are retried. Texts are known up to `known_max`; more are all one trouble."""

    interval_s: float = 60.0
    known_max: int = 1000
    now: Callable[[], float] = time.time
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)
    _recent: dict[str, Trouble] = field(default_factory=dict)

    def tell(self, doing: str, error: MusterError) -> None:
        """Log that `doing` failed and will be tried again, unless that was said within the last minute."""
        self._note(doing, str(error))
        text = f"{doing}: {error}"
        now = anyio.current_time()
        if len(self._told) >= self.known_max:  # what has passed makes room for what is new
            self._told = {one: told for one, told in self._told.items() if now - told[0] < self.interval_s}
        key = text if text in self._told or len(self._told) < self.known_max else "more"
        told_at, silent = self._told.get(key, (float("-inf"), 0))
        if now - told_at < self.interval_s:
            self._told[key] = (told_at, silent + 1)
            return
        log.warning("trying again", doing=doing, error=str(error), kind=type(error).__name__, times_since=silent + 1)
        self._told[key] = (now, 0)

    def list_recent(self, now: float) -> list[Trouble]:
        """What did not work lately, the last one first. `now`: seconds since the epoch.

        What is far ahead of it is from before the clock was set back; what goes on is met again.
        """
        for doing in [doing for doing, one in self._recent.items() if abs(now - one.last_at) > RECENT_S]:
            del self._recent[doing]
        return sorted(self._recent.values(), key=lambda one: -one.last_at)

    def _note(self, doing: str, error: str) -> None:
        now = self.now()
        if (known := self._recent.pop(doing, None)) is None and len(self._recent) >= self.known_max:
            return
        is_same = known is not None and known.error == error and abs(now - known.last_at) <= RECENT_S
        first_at, times = (known.first_at, known.times) if known is not None and is_same else (now, 0)
        self._recent[doing] = Trouble(doing, error, first_at, now, times + 1)
