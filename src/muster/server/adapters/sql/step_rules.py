"""What may a step hold, and how are its parts written down? What both databases' engines share."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict

from muster.domain.attempt import AttemptError, Outcome
from muster.domain.errors import TooLargeError
from muster.server.ports.queue_engine import Finished, Step

WANT_MAX = 4096
"""Events that one step leases, at most."""
RESULTS_MAX = (1 << 15) - 1
"""Events that one result list may become: results times output queues (a 16-bit column counts them)."""
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


def check_session(holder: int, lease_s: float) -> None:
    """Raises ValueError for a session number or a lease that cannot be."""
    if not 0 <= holder < _INT64:
        raise ValueError(f"holder {holder} is not in 0..2^63-1")
    if not (math.isfinite(lease_s) and lease_s >= 0):
        raise ValueError(f"a lease of {lease_s} s")


def may_exist(event: int, fence: int) -> bool:
    """Could an attempt have these numbers? Others reach no database: they would not fit its columns."""
    return 0 <= event < _INT64 and 0 < fence < _INT32


def clean_wall_s(finished: Finished) -> float:
    """The time the task ran; 0 where a worker's clock made no sense."""
    return finished.wall_s if math.isfinite(finished.wall_s) and finished.wall_s > 0 else 0.0


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
