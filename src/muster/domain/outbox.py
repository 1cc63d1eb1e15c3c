"""What do we tell the world when something changes, and how far has a listener come?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLACE = re.compile(r"(?:([0-9a-f]{1,8})-)?([0-9a-f]{1,16})\.([0-9a-f]{1,16})(\.end)?")


@dataclass(frozen=True)
class Notice:
    """One change of one object, told at least once and in order for each object.

    Args:
        subject: id of the workflow it belongs to.
        kind: e.g. `workflow.created`, `workflow.ended`, `workflow.reopened`, `taskforce.phase`, `queue.closed`.
        data: what changed; JSON values only.
    """

    subject: str
    kind: str
    at: float
    data: Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Cursor:
    """How far a reader of the outbox has come; zeros are the beginning. Compared by era, by commit order, then by number.

    Args:
        era: which life of the database: a restored one begins a new one, in which the numbers of transactions may begin anew.
    """

    era: int = 0
    transaction: int = 0
    number: int = 0


BEGINNING = Cursor()


@dataclass(frozen=True)
class Place:
    """How far somebody has come who listens to one workflow.

    Args:
        cursor: of the last notice told.
        is_end: told was also that the workflow is over and that this is all.
    """

    cursor: Cursor
    is_end: bool = False


def render_place(place: Place) -> str:
    """The place as text that travels as the id of a message. It means nothing to who carries it: `1f4.2a`, at the end `1f4.2a.end`, and
    `1-1f4.2a` in a later era than the first.
    """
    era = f"{place.cursor.era:x}-" if place.cursor.era else ""
    return f"{era}{place.cursor.transaction:x}.{place.cursor.number:x}{'.end' if place.is_end else ''}"


def parse_place(text: str) -> Place | None:
    """Read a place; None when the text is none."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    cursor = Cursor(int(match[1] or "0", 16), int(match[2], 16), int(match[3], 16))
    if max(cursor.transaction, cursor.number) >= 1 << 63 or cursor.era >= 1 << 31:
        return None
    return Place(cursor, is_end=match[4] is not None)
