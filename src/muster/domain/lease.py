"""Which events may one call lease together? New ones as many as it likes; one that was tried before goes alone.

A worker that dies takes a batch with it, and nobody can say which event of the batch killed it. Alone, an event answers only for itself
(docs/decisions/0012).
"""

from collections.abc import Sequence


def goes_alone(attempts: int, *, limit: int) -> bool:
    """Must an event be the only one of its lease? `attempts`: how often it was tried; `limit`: how often it may be."""
    return attempts > 0 or limit == 1


def count_together(attempts: Sequence[int], *, limit: int, has_some: bool) -> tuple[int, bool]:
    """How much of the head of a queue does one call lease?

    Args:
        attempts: how often each event at the head was tried, in order.
        limit: how often an event of the queue may be tried.
        has_some: the call has leased something already.

    Returns:
        How many events, and whether the call leases no more after them, from whatever queue.
    """
    for place, tried in enumerate(attempts):
        if goes_alone(tried, limit=limit):
            return (place if place or has_some else 1), True
    return len(attempts), False
