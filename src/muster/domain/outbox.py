"""What do we tell the world when something changes?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    """How far a reader of the outbox has come; (0, 0) is the beginning. Compared by commit order, then by number."""

    transaction: int = 0
    number: int = 0
