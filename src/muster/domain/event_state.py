"""Which state of a queue's event follows which happening? The life of an event, as a table.

Each event is in exactly one of four states; `published = waiting + in work + done + dead`. The stores move rows in
statements of their own (SQL); the engines' contract suite and its model hold them to this table, and walk all of it.
"""

from collections.abc import Mapping
from enum import StrEnum


class EventState(StrEnum):
    """Where an event is."""

    WAITING = "waiting"
    IN_WORK = "in_work"
    DONE = "done"
    DEAD = "dead"


class Happening(StrEnum):
    """What can happen to an event. `current` and `late` say whether the lease named is the one in force."""

    LEASED = "leased"
    FINISHED = "finished"  # a result under the current lease
    FINISHED_LATE = "finished-late"  # a result under a lease that had ended
    FAILED = "failed"  # an attempt failed, others are left
    FAILED_FINALLY = "failed-finally"  # the last attempt failed
    RELEASED = "released"  # given back, not counted
    EXPIRED = "expired"  # the lease ran out, attempts are left
    EXPIRED_FINALLY = "expired-finally"
    REPLAYED = "replayed"


S, H = EventState, Happening

TRANSITIONS: Mapping[tuple[EventState, Happening], EventState] = {
    (S.WAITING, H.LEASED): S.IN_WORK,
    (S.WAITING, H.FINISHED_LATE): S.DONE,
    (S.IN_WORK, H.FINISHED): S.DONE,
    (S.IN_WORK, H.FINISHED_LATE): S.DONE,
    (S.IN_WORK, H.FAILED): S.WAITING,
    (S.IN_WORK, H.FAILED_FINALLY): S.DEAD,
    (S.IN_WORK, H.RELEASED): S.WAITING,
    (S.IN_WORK, H.EXPIRED): S.WAITING,
    (S.IN_WORK, H.EXPIRED_FINALLY): S.DEAD,
    (S.DEAD, H.FINISHED_LATE): S.DONE,
    (S.DEAD, H.REPLAYED): S.WAITING,
}
"""Every pair that moves an event. Any other pair leaves it where it is; a second result is recorded as a duplicate."""


def next_state(state: EventState, happening: Happening) -> EventState | None:
    """The state after the happening, or None where it changes nothing."""
    return TRANSITIONS.get((state, happening))
