"""What may a step hold, and how are its parts written down? What both databases' engines share."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import NamedTuple

from muster.domain.attempt import AttemptError, Outcome
from muster.domain.errors import TooLargeError
from muster.domain.usage import NO_USAGE
from muster.server.ports.queue_engine import Body, Finished, Step

WANT_MAX = 4096
"""Events that one step leases, at most."""
RESULTS_MAX = (1 << 15) - 1
"""Events that one result list may become: results times output queues (a 16-bit column counts them)."""
_SECONDS_MAX = 9e8
_BYTES_MAX = 1 << 48
"""Of one attempt: a step's ten thousand of them add up to less than 2^63 microseconds, or bytes."""
_INT32 = 1 << 31
_INT64 = 1 << 63

RETRY_TOPIC = "retry"

ENDED_EXPIRED = "expired"
"""`holder.ended` of a session that the reaper ended."""


def check_step(step: Step) -> None:
    """Refuse what no database could store, before it reaches a transaction that others share.

    Raises ValueError for numbers out of range, TooLargeError for more results than can be counted.
    """
    if not 1 <= step.call < _INT64:
        raise ValueError(f"call {step.call} is not in 1..2^63-1")
    if step.want < 0:
        raise ValueError(f"want {step.want} is negative")
    check_session(step.holder, step.lease_s)
    for finished in step.finished:
        if len(finished.results) * max(1, len(step.outputs)) > RESULTS_MAX:
            raise TooLargeError(f"one attempt may make {RESULTS_MAX} events at most")
        if finished.results and finished.outcome is not Outcome.DONE:
            raise ValueError(f"an attempt that is {finished.outcome.value} has no results")
        if finished.is_final and finished.outcome is not Outcome.FAILED:
            raise ValueError(f"an attempt that is {finished.outcome.value} is no final failure")
        if finished.targets:
            _check_targets(finished, step.outputs)


def _check_targets(finished: Finished, outputs: Sequence[int]) -> None:
    if len(finished.targets) != len(finished.results):
        raise ValueError(f"{len(finished.results)} results with {len(finished.targets)} targets")
    if not {None, *outputs}.issuperset(finished.targets):
        raise ValueError("a result goes to a queue that is none of the outputs")


def list_new(finished: Finished, outputs: Sequence[int]) -> list[tuple[Body, int]]:
    """The events that an attempt's results become: each body, with its queue. `outputs`: each once."""
    if not finished.targets:  # as nearly always
        return [(body, queue) for body in finished.results for queue in outputs]
    pairs = zip(finished.results, finished.targets, strict=True)
    return [(body, queue) for body, target in pairs for queue in (outputs if target is None else (target,))]


def check_session(holder: int, lease_s: float) -> None:
    """Raises ValueError for a session number or a lease that cannot be."""
    if not 0 <= holder < _INT64:
        raise ValueError(f"holder {holder} is not in 0..2^63-1")
    if not (math.isfinite(lease_s) and lease_s >= 0):
        raise ValueError(f"a lease of {lease_s} s")


def may_exist(event: int, fence: int) -> bool:
    """Could an attempt have these numbers? Others reach no database: they would not fit its columns."""
    return 0 <= event < _INT64 and 0 < fence < _INT32


class Taken(NamedTuple):
    """What an attempt took, as its row keeps it; None: not known."""

    wall_us: int
    cpu_us: int | None
    memory_bytes: int | None
    bytes_in: int | None
    bytes_out: int

    @property
    def wall_s(self) -> float:
        """The same in seconds."""
        return self.wall_us / 1e6


def measure(finished: Finished) -> Taken:
    """What a worker says that an attempt took, within bounds: what makes no sense is nothing, or as much as can be added up."""
    usage = finished.usage
    bytes_out = 0
    for body in finished.results:  # every event passes here: a sum of a generator takes four times as long
        bytes_out += len(body.data)
    if usage is NO_USAGE:
        return Taken(_count_us(finished.wall_s), None, None, None, bytes_out)
    cpu_s, memory_bytes, bytes_in = usage.cpu_s, usage.memory_bytes, usage.bytes_in
    return Taken(
        _count_us(finished.wall_s),
        None if cpu_s is None else _count_us(cpu_s),
        memory_bytes if memory_bytes is None or 0 <= memory_bytes <= _BYTES_MAX else _BYTES_MAX,
        bytes_in if bytes_in is None or 0 <= bytes_in <= _BYTES_MAX else _BYTES_MAX,
        bytes_out,
    )


def _count_us(seconds: float) -> int:
    """Whole microseconds; 0 where a worker's clock made no sense."""
    if 0 < seconds < _SECONDS_MAX:
        return int(seconds * 1e6 + 0.5)
    return int(_SECONDS_MAX * 1e6) if 0 < seconds < math.inf else 0


def clean_text(text: str) -> str:
    """Text that both databases can keep: no NUL, no lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def render_error(error: AttemptError | None) -> tuple[str | None, str | None]:
    """Fingerprint and JSON of an attempt's error, as the attempt rows keep them."""
    if error is None:
        return None, None
    # ASCII: a NUL or a lone surrogate in it is written as an escape, so every text can be kept as it came.
    return clean_text(error.fingerprint), json.dumps(asdict(error), ensure_ascii=True, separators=(",", ":"))


def name_topics(queues: Iterable[int], *, has_delayed: bool = False) -> list[str]:
    """The topics of queues that have new events, and of events that wait for their next attempt (`ports.waking`)."""
    return [*(f"queue:{number}" for number in sorted(queues)), *([RETRY_TOPIC] if has_delayed else ())]
