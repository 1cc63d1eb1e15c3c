"""What came of one worker's try at one event?"""

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

_NOT_RUN = re.compile(r"(start|exit 12[67])(:|$)")
"""How a fingerprint begins then: a shell's status is 127 for a command that it does not find, 126 for one that is no program."""


class Outcome(StrEnum):
    """What a worker says of an attempt when it hands it in."""

    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"


class Verdict(StrEnum):
    """What the account makes of an attempt handed in."""

    DONE = "done"  # the first result: it counts (also the answer to the same attempt handed in again)
    LATE = "late"  # the lease had ended, the event was not done yet: it counts
    DUPLICATE = "duplicate"  # the event was done by another attempt: recorded, goes nowhere
    REQUEUED = "requeued"  # failed or released: the event waits again
    DEAD = "dead"  # failed for the last time: a dead letter
    STALE = "stale"  # a failure or release of a lease that had ended: nothing to do
    UNKNOWN = "unknown"  # no such attempt was ever given to this worker's taskforce: refused


class AttemptEnd(IntEnum):
    """How an attempt ended, as the attempt rows keep it."""

    FAILED = 1
    RELEASED = 2
    EXPIRED = 3
    LATE = 4
    DUPLICATE = 5
    ABANDONED = 6  # its worker died and had not come to it, as far as can be told: not counted


FAILED_ENDS = frozenset({AttemptEnd.FAILED, AttemptEnd.EXPIRED})
"""What counts as a failed attempt."""
DEATH_ENDS = frozenset({AttemptEnd.EXPIRED, AttemptEnd.ABANDONED})
"""How an attempt ends whose worker died."""


@dataclass(frozen=True)
class AttemptError:
    """Why an attempt failed.

    Args:
        text: the cause, as extracted from stderr; at most 4 KiB.
        fingerprint: the cause without paths, numbers and ids, by which failures are grouped; at most 200 characters.
        stdout_tail, stderr_tail: the last part of what the task wrote, at most 8 KiB each.
        exit_code: of the task; negative for a signal; None when it never ran or was stopped by us.
    """

    text: str
    fingerprint: str
    stdout_tail: str = ""
    stderr_tail: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class CauseOfDeath:
    """Events that are dead for the same cause.

    Args:
        fingerprint: of their last attempts.
        first_at, last_at: when the first and the last of them died, seconds since the epoch.
    """

    fingerprint: str
    events: int
    first_at: float
    last_at: float

    @property
    def is_of_command(self) -> bool:
        """Could the task's command not be run at all, as the worker, or the shell in the command, says? So it fails for every event."""
        return _NOT_RUN.match(self.fingerprint) is not None
