"""How is an outage told without drowning the log? Each trouble once a minute, with how often it came meanwhile."""

from dataclasses import dataclass, field

import anyio
import structlog

from muster.domain.errors import MusterError

log = structlog.get_logger("muster.site")


@dataclass
class TroubleLog:
    """Tells of errors that are retried. Texts are known up to `known_max`; more are all one trouble."""

    interval_s: float = 60.0
    known_max: int = 1000
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)

    def tell(self, doing: str, error: MusterError) -> None:
        """Log that `doing` failed and will be tried again, unless that was said within the last minute."""
        text = f"{doing}: {error}"
        key = text if text in self._told or len(self._told) < self.known_max else "more"
        now = anyio.current_time()
        told_at, silent = self._told.get(key, (float("-inf"), 0))
        if now - told_at < self.interval_s:
            self._told[key] = (told_at, silent + 1)
            return
        log.warning("trying again", doing=doing, error=str(error), kind=type(error).__name__, times_since=silent + 1)
        self._told[key] = (now, 0)
