"""How long does an event wait after a failed attempt before it is tried again? (docs/decisions/0014)"""

from muster.domain.backoff import next_delay

PAUSE_S_MAX = 300.0
"""Pauses double up to here; a first pause that is longer stays as it is."""


def next_pause(attempts: int, *, retry_s: float) -> float:
    """Seconds from the end of an attempt that failed, or whose worker died, to the next one; 0: at once.

    No jitter: events that failed together come back to a queue, from which workers take them as they can.

    Args:
        attempts: counted so far, 1 or more.
        retry_s: the first pause, a setting of the task.
    """
    return next_delay(attempts, first_s=retry_s, delay_s_max=max(PAUSE_S_MAX, retry_s), jitter=1.0)
