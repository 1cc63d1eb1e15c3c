"""Which of its locations does the agent ask for? Those that the service gives it; the others are tried again now and then.

One name that the service does not know must not keep the agent from the rest: it may be mistyped, or be named to the service later.
"""

import re
from collections.abc import Sequence

import anyio
import structlog

from muster.domain.errors import Finding

log = structlog.get_logger("muster.site")

LOOK_AGAIN_S = 60.0
"""Seconds after which what the service refused is tried again; it can change only with a new start of the service."""
_FIELD = re.compile(r"locations\[([0-9]+)\]")


class Places:
    """The agent's locations (at least one), and what the service said of them."""

    def __init__(self, locations: Sequence[str]) -> None:
        self._locations = list(locations)
        self._refused: frozenset[str] = frozenset()
        self.look_again_at = float("-inf")
        """A reading of the clock."""

    def choose(self) -> list[str]:
        """What to ask for: all of them when it is time to try those again that were refused; else the others, perhaps none."""
        if anyio.current_time() >= self.look_again_at:
            return self._locations.copy()
        return [one for one in self._locations if one not in self._refused]

    def take_refusal(self, asked: Sequence[str], findings: Sequence[Finding]) -> bool:
        """The service refused a claim for what was asked. False: not because of its locations, or not of them alone."""
        found = [_FIELD.fullmatch(one.field) for one in findings]
        named = [int(one[1]) for one in found if one is not None]
        if not named or len(named) < len(findings) or max(named) >= len(asked):
            return False
        faults = {asked[number]: one.reason for number, one in zip(named, findings, strict=True)}
        self._refused = self._refused.difference(asked).union(faults)
        self.look_again_at = anyio.current_time() + LOOK_AGAIN_S
        served = [one for one in self._locations if one not in self._refused]
        log.error(
            "locations of MUSTER_SITE_LOCATIONS are not served"
            if served
            else "no location of MUSTER_SITE_LOCATIONS is served",
            error="; ".join(faults.values()),
            refused=list(faults),
            served=served,
            again_in_s=LOOK_AGAIN_S,
        )
        return True

    def take_answer(self, asked: Sequence[str]) -> None:
        """The service gave what was asked for."""
        if found := sorted(self._refused.intersection(asked)):
            self._refused = self._refused.difference(asked)
            log.info("locations are served now", locations=found)
