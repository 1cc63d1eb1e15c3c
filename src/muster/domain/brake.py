"""Who has stopped a workflow for a while, and when does it stop itself? The brake, as a table, and the watch that pulls it.

A braked workflow is active: events can be published, its account stands, but no event of it is begun. One that nearly always fails is
braked by its own attempts, so that a slip of the pen costs some hundred of them and not five of every event.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from muster.domain.reason import cut


class BrakeState(StrEnum):
    """How a workflow is stopped."""

    PAUSED = "paused"  # its workers stay, and wait
    DRAINED = "drained"  # its workers go when they have done what they have in hand


class BrakeEvent(StrEnum):
    """What can happen to the brake."""

    PAUSED = "paused"
    DRAINED = "drained"
    TRIPPED = "tripped"  # most of its last attempts failed
    RESUMED = "resumed"


S, E = BrakeState, BrakeEvent

TRANSITIONS: Mapping[tuple[BrakeState | None, BrakeEvent], BrakeState | None] = {
    (None, E.PAUSED): S.PAUSED,
    (None, E.DRAINED): S.DRAINED,
    (None, E.TRIPPED): S.PAUSED,
    (S.PAUSED, E.DRAINED): S.DRAINED,
    (S.PAUSED, E.RESUMED): None,
    (S.DRAINED, E.RESUMED): None,
}
"""Every pair that moves the brake; None: it is off. Any other pair leaves it as it is: who stopped it first is who is named."""

MUSTER = "muster"
"""Who is named where nobody did it."""
EVENTS_SHARE = 10
"""Of n attempts that are watched, failures of at least n / 10 events: a few events that always fail are no reason to stop the others."""


@dataclass(frozen=True)
class Brake:
    """A workflow is stopped.

    Args:
        at: since when, seconds since the epoch.
        by: who stopped it: a person's name, or `MUSTER`.
        reason: why, in words; may be empty where a person did it.
        fingerprint: of the most frequent failure, where those stopped it.
    """

    state: BrakeState
    at: float
    by: str
    reason: str = ""
    fingerprint: str | None = None

    @property
    def has_tripped(self) -> bool:
        """Did its own failures stop it?"""
        return self.fingerprint is not None


def next_brake(brake: Brake | None, event: BrakeEvent, *, at: float, by: str, reason: str = "") -> "Brake | None":
    """The brake after the event.

    Returns:
        The same object where the event changes nothing.
    """
    before = None if brake is None else brake.state
    if (before, event) not in TRANSITIONS:
        return brake
    after = TRANSITIONS[before, event]
    return None if after is None else Brake(after, at, by, reason)


@dataclass(frozen=True)
class BrakeRule:
    """When does a task stop its workflow?

    Args:
        attempts: how many of its last attempts are looked at; 0: it never does.
        share: of those, more than this share must have failed.
    """

    attempts: int
    share: float


@dataclass(frozen=True)
class Trip:
    """Most of a task's last attempts failed.

    Args:
        failed, of: so many of so many.
        events: of how many events.
        fingerprint, times: the most frequent cause, and how often it was that.
    """

    failed: int
    of: int
    events: int
    fingerprint: str
    times: int

    def render(self) -> str:
        """In a sentence."""
        cause = cut(self.fingerprint) or "without a text"
        most = "each time" if self.times == self.failed else f"{self.times} times"
        return f"{self.failed} of its last {self.of} attempts failed, {most}: {cause}"


class Watch:
    """The last attempts of one task. What it remembers is a sample where several services share the task's workers: each judges its own."""

    def __init__(self, rule: BrakeRule) -> None:
        self.rule = rule
        self._attempts: deque[tuple[int, str | None]] = deque()
        self._failed = 0

    def note(self, event: int, fingerprint: str | None) -> None:
        """An attempt at an event has ended. `fingerprint`: of its failure; None: it was no failure."""
        if not self.rule.attempts:
            return
        if len(self._attempts) == self.rule.attempts:
            _, oldest = self._attempts.popleft()
            self._failed -= oldest is not None
        self._attempts.append((event, fingerprint))
        self._failed += fingerprint is not None

    def judge(self) -> Trip | None:
        """Is it time to stop? Not before as many attempts have ended as the rule looks at."""
        of = len(self._attempts)
        if not of or of < self.rule.attempts or self._failed <= self.rule.share * of:
            return None
        events = {event for event, fingerprint in self._attempts if fingerprint is not None}
        if len(events) * EVENTS_SHARE < of:
            return None
        causes = Counter(fingerprint for _, fingerprint in self._attempts if fingerprint is not None)
        fingerprint, times = causes.most_common(1)[0]
        return Trip(self._failed, of, len(events), fingerprint, times)

    def forget(self) -> None:
        """Begin anew: the workflow was stopped, or its task mended."""
        self._attempts.clear()
        self._failed = 0
