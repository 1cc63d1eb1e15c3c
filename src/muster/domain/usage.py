"""What did attempts take?"""

from dataclasses import dataclass


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
