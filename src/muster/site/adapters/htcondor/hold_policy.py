"""What becomes of a worker that HTCondor holds? It is released after a while, given up after several times, or left to who held it.

Source of the codes: the manual of HTCondor 25, "Job ClassAd attributes", HoldReasonCode.
"""

from dataclasses import dataclass
from enum import Enum

from muster.domain import pool_defaults
from muster.domain.backoff import next_delay

BY_HAND, SPOOLING = 1, 16
LEFT_CODES = frozenset({BY_HAND, SPOOLING})
"""Somebody held it on purpose, and will release it."""
PAUSED_SUBCODE, LACKING_SUBCODE = 78, 79
"""Subcodes of BY_HAND where the agent did it: it is down on purpose; files that a worker needs are lost (`lacking`)."""
TIME_CODES = frozenset({46, 47})
"""`allowed_job_duration` and `allowed_execute_duration`: it has had its time, and makes room for others."""


class Verdict(Enum):
    """What is to be done."""

    LEAVE = "leave"  # somebody held it on purpose, and will release it
    RELEASE = "release"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class HoldPolicy:
    """When held workers go on.

    Args:
        holds_max: times that one may be held for trouble, before it is given up.
        first_s, delay_s_max: the pause before it is released, the first time; doubled with each time, up to the other.
    """

    holds_max: int = pool_defaults.STARTS_MAX
    first_s: float = pool_defaults.RESTART_S
    delay_s_max: float = pool_defaults.RESTART_S_MAX

    def judge(self, *, code: int, n_holds: int, held_s: float) -> tuple[Verdict, float]:
        """What is to be done, and in how many seconds.

        Args:
            code: HoldReasonCode.
            n_holds: times that it was held, this one too.
            held_s: since when.
        """
        if code in LEFT_CODES:
            return Verdict.LEAVE, 0.0
        if code in TIME_CODES:
            return Verdict.RELEASE, 0.0
        if n_holds > self.holds_max:
            return Verdict.GIVE_UP, 0.0
        delay_s = next_delay(n_holds, first_s=self.first_s, delay_s_max=self.delay_s_max, jitter=1.0)
        return Verdict.RELEASE, max(0.0, delay_s - held_s)
