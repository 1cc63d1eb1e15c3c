"""For how long is what kept? Rules by age and state; what goes, goes with its count, so that the account still adds up.

Only what has come to its end is ever removed by a rule: nothing that waits or is in work, and no active workflow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from muster.domain.asking import KEPT_S

GONE_S = KEPT_S
"""A site whose agent has not asked for work for so many seconds does not come back: nobody will say what became of its workers."""
UNCONFIRMED_S = 86_400.0
"""Seconds after the end of its workflow within which a site says that it has started workers, if it has."""


class Kept(StrEnum):
    """What a rule is about."""

    WORKFLOWS = "workflows"  # ended ones, with everything of them
    EVENTS = "events"  # that are done, with their attempts
    DEAD_LETTERS = "dead_letters"
    BODIES = "bodies"  # of events that are done
    ATTEMPTS = "attempts"  # of events that are done, other than the one that ended it
    NOTICES = "notices"  # what streams tell of
    ANSWERS = "answers"  # to requests with an Idempotency-Key


@dataclass(frozen=True)
class Rules:
    """How long each is kept, seconds; what is not named is kept for ever.

    Args:
        kept_s: from the end of a workflow, of an event, of an attempt; from when a notice or an answer was written.
        grace_s: results that nobody has consumed keep their workflow for so much longer.
    """

    kept_s: Mapping[Kept, float] = field(default_factory=dict)
    grace_s: float = 0.0

    def find_cut(self, kept: Kept, *, now: float) -> float | None:
        """What came to its end before this goes (seconds since the epoch); None: nothing does."""
        seconds = self.kept_s.get(kept)
        return None if seconds is None else now - seconds

    def find_end_of_grace(self, ended_at: float) -> float | None:
        """When a workflow that ended then may go although there are results that nobody has consumed; None: never."""
        seconds = self.kept_s.get(Kept.WORKFLOWS)
        return None if seconds is None else ended_at + seconds + self.grace_s


@dataclass(frozen=True)
class KeptBack:
    """A workflow whose time is over, and why it is still kept."""

    workflow_id: str
    reason: str
