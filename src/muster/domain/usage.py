"""What did attempts take?"""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt took of its machine; None: not known, as of a worker of before, or of a container that is not the worker's child.

    Args:
        cpu_s: seconds of all its processes, user and system together.
        memory_bytes: at the largest.
        bytes_in: of the event's body.
        bytes_out: of its results.
    """

    cpu_s: float | None = None
    memory_bytes: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None


NO_USAGE = Usage()
"""Nothing is known."""


@dataclass(frozen=True)
class UsageSums:
    """What the attempts at a queue's events took together, those that are known of. Whole numbers, so that they add up exactly.

    Args:
        wall_us: microseconds that tasks ran.
        lost_us: those of them whose attempt did not end its event: it failed, was given back, or came second.
        measured_us: those of them of which the CPU time is known.
        cpu_us: microseconds of CPU, user and system together.
        bytes_in, bytes_out: of events' bodies and of results.
        memory_bytes: of the largest attempt.
    """

    wall_us: int = 0
    lost_us: int = 0
    measured_us: int = 0
    cpu_us: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    memory_bytes: int = 0

    def __add__(self, other: Self) -> "UsageSums":
        return UsageSums(
            self.wall_us + other.wall_us,
            self.lost_us + other.lost_us,
            self.measured_us + other.measured_us,
            self.cpu_us + other.cpu_us,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            max(self.memory_bytes, other.memory_bytes),
        )


NO_SUMS = UsageSums()
"""Of no attempts."""
