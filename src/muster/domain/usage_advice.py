"""What could a task ask for instead, by what its attempts took? In sentences, and only where it is plain."""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.size import parse_size, render_size, round_up
from muster.domain.usage import UsageSums

ATTEMPTS_MIN = 10
"""Of fewer attempts nothing is concluded."""
MEASURED_US_MIN = 60 * 10**6
"""Of tasks that ran for less than a minute in all nothing is said about cores."""
SPARE = 1.3
"""So many times the most that was used should be asked for."""
_LOST_MAX = 0.2


@dataclass(frozen=True)
class Asked:
    """What the workers of a task ask for.

    Args:
        memory_bytes: for all that a worker has at work; 0: not known.
        slots: events at once.
    """

    n_cores: int = 1
    memory_bytes: int = 0
    slots: int = 1


def find_efficiency(sums: UsageSums, asked: Asked) -> float | None:
    """CPU time per time that cores were there for it, an attempt having its share of them; None where it is not known."""
    if sums.measured_us <= 0:
        return None
    return sums.cpu_us / (sums.measured_us * asked.n_cores / asked.slots)


def advise(sums: UsageSums, asked: Asked, *, attempts: int) -> Sequence[str]:
    """Sentences; none where there is nothing to say. `attempts`: how many there were."""
    if attempts < ATTEMPTS_MIN:
        return []
    advice = [_advise_memory(sums.memory_bytes * asked.slots, asked), _advise_cores(sums, asked)]
    if sums.lost_us > _LOST_MAX * sums.wall_us:
        advice.append(
            f"{sums.lost_us / sums.wall_us:.0%} of the time went into attempts that did not end their event: see the workflow's errors"
        )
    return [one for one in advice if one is not None]


def _advise_memory(most: int, asked: Asked) -> str | None:
    if not most or not asked.memory_bytes:
        return None
    at_once = f" ({asked.slots} at once)" if asked.slots > 1 else ""
    used = f"attempts used {render_size(most)} at most{at_once}, of {render_size(asked.memory_bytes)}"
    better = round_up(int(most * SPARE))
    if 2 * parse_size(better) <= asked.memory_bytes:
        return f"worker_memory could be {better}: {used}"
    if most > 0.95 * asked.memory_bytes:
        return f"worker_memory is tight, {better} would leave room: {used}"
    return None


def _advise_cores(sums: UsageSums, asked: Asked) -> str | None:
    if asked.n_cores < 2 or sums.measured_us < MEASURED_US_MIN:
        return None
    used = sums.cpu_us / sums.measured_us * asked.slots
    fewer = max(1, round(used * SPARE))
    if 2 * fewer > asked.n_cores:
        return None
    more = "" if asked.slots > 1 else ", or slots more"
    return f"n_cores could be {fewer}{more}: {used:.1f} of {asked.n_cores} cores were used on average"
