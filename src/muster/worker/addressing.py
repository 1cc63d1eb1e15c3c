"""Which of its task's output queues does a result go to? To all of them, or to the one that the task names beside it."""

from __future__ import annotations

import json
from typing import List, Sequence

from muster.worker.messages import TaskPlan
from muster.worker.results import ResultError, read_regular

TO = ".to"
"""What the file is called, behind the output file's name, that names queues: one alias for all results, or one a line for each."""
NAMES_BYTES_MAX = 1 << 17


def read_names(outfile: str) -> List[str]:
    """The names that a task left beside its output; empty where it left none. Raises ResultError."""
    what = f"the file of extension {TO}"
    data = read_regular(f"{outfile}{TO}", what, bytes_max=NAMES_BYTES_MAX)
    if data is None:
        return []
    try:
        return [line.strip() for line in data.decode().splitlines()]
    except UnicodeDecodeError:
        raise ResultError(f"{what} is no UTF-8") from None


def address(results: Sequence[bytes], names: Sequence[str], plan: TaskPlan) -> Sequence[bytes]:
    """Results as messages carry them, each with the queue that it goes to.

    Args:
        results: rendered by `results`.
        names: one for all of them, or one for each; an empty one: to all queues. None at all: the same.

    Raises ResultError: another number of names, or a queue that the task has not.
    """
    if not any(names):
        return results
    if len(names) == 1:
        names = [*names] * len(results)
    if len(names) != len(results):
        hint = "; several results need MUSTER_TASK_OUTPUT=lines" if len(results) == 1 else ""
        raise ResultError(
            f"{len(names)} output queues are named for {_count(results)} (task.to, or the file of extension {TO}): name one for all "
            f"results, or one for each, where empty lines of the output count for nothing{hint}"
        )
    check_names(names, plan)
    return [
        result[:-1] + b',"to":' + json.dumps(name).encode() + b"}" if name else result
        for result, name in zip(results, names)
    ]


def check_names(names: Sequence[str], plan: TaskPlan) -> None:
    """Raises ResultError: a queue that the task has not."""
    for name in names:
        if name and name not in plan.outputs:
            raise ResultError(_tell(name, plan))


def _count(results: Sequence[bytes]) -> str:
    return f"{len(results)} result{'' if len(results) == 1 else 's'}"


def _tell(name: str, plan: TaskPlan) -> str:
    if not plan.knows_outputs:
        return f"the result is for the queue {name[:100]!r}, and this service, of an older version, sends results to all output queues"
    known = ", ".join(plan.outputs) or "none"
    return f"the result is for the queue {name[:100]!r}, which is no output queue of the task; it has: {known}"
