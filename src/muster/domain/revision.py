"""How was a task mended after it was submitted? Revisions: what they change, and the task as it is by each of them.

What was submitted is revision 1, and stays as it was: clients of EWMS go on seeing it. Each attempt was made by a worker of one revision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FIRST = 1
REVISIONS_MAX = 100
"""Of one task, what was submitted not counted."""
REVISABLE = frozenset(
    {
        *("task_image", "task_args", "task_env", "init_image", "init_args", "init_env"),
        *("timeout_s", "warm", "max_events", "infile_ext", "outfile_ext", "output", "slots"),
        *("brake_attempts", "brake_share"),
    }
)
"""Fields of a task that a revision may change. The others are its queues', or say where it runs."""


@dataclass(frozen=True)
class Revision:
    """One revision of a task.

    Args:
        number: 2 and higher, in their order.
        at: seconds since the epoch.
        by: who made it.
        reason: why, in words; may be empty.
        changes: field of the task → its value from then on.
        worker_config, pilot_config: whole, from then on; None: as before.
    """

    number: int
    at: float
    by: str
    reason: str
    changes: Mapping[str, Any]
    worker_config: Mapping[str, Any] | None = None
    pilot_config: Mapping[str, Any] | None = None


def merge_changes(revisions: Sequence[Revision], *, up_to: int) -> dict[str, Any]:
    """What differs from what was submitted, by revision `up_to`."""
    merged: dict[str, Any] = {}
    for one in revisions:
        if one.number <= up_to:
            merged |= one.changes
    return merged


def find_config(revisions: Sequence[Revision], name: str, *, up_to: int) -> Mapping[str, Any] | None:
    """The `worker_config` or `pilot_config` in force by revision `up_to`; None: what was submitted."""
    found = (getattr(one, name) for one in reversed(revisions) if one.number <= up_to)
    return next((config for config in found if config is not None), None)
