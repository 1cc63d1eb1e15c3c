"""What can be asked of a site for single workers, for how long does it stand, and what came of it?

A worker is named by its number within its cluster, its proc. The words are HTCondor's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

ORDER_S = 300.0
"""Seconds for which an order stands: what nobody has carried out by then is not done any more, for it would come as a surprise."""
KEPT_S = 86_400.0
"""Seconds for which an order and what came of it can be looked at."""
WAITING_MAX = 20
"""Orders of one taskforce that may wait to be carried out."""
PROCS_MAX = 1000
"""Workers that one order may name; all of them are named by none."""
LOG_BYTES_MAX = 64 << 10
"""Of each text: the end of it."""
LOGS_MAX = 8
"""Texts of one worker."""


class OrderAction(StrEnum):
    """What is to be done."""

    HOLD = "hold"  # it ends what it has in hand, leaves, and is not started again until it is released
    RELEASE = "release"
    REMOVE = "remove"  # it ends what it has in hand and leaves for good
    LOGS = "logs"  # what it wrote is to be brought; nothing changes


PAST: Mapping[OrderAction, str] = {
    OrderAction.HOLD: "held",
    OrderAction.RELEASE: "released",
    OrderAction.REMOVE: "removed",
    OrderAction.LOGS: "looked at",
}
"""What has been done with a worker, for sentences."""


class OrderState(StrEnum):
    """How it stands with an order."""

    WAITING = "waiting"  # for the site's agent
    DONE = "done"
    FAILED = "failed"  # the agent could not; `error` says why
    EXPIRED = "expired"  # no agent carried it out in time


@dataclass(frozen=True)
class WorkerLog:
    """A text that a worker, or its pool, wrote.

    Args:
        name: which, in a word: `stderr`, say.
        text: its end, at most `LOG_BYTES_MAX` bytes of it.
        size_bytes: all of it.
    """

    name: str
    text: str
    size_bytes: int


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    Args:
        done: workers with whom it was done; others that were named had ended, or were in that state already.
        error: why nothing, or not all of it, was done; empty: all is well.
    """

    done: int = 0
    error: str = ""
    logs: Sequence[WorkerLog] = ()


@dataclass(frozen=True)
class WorkerOrder:
    """An order for workers of one taskforce.

    Args:
        procs: which; empty: all.
        reason: why, in the words of who asks.
        asked_at, answered_at: seconds since the epoch.
        outcome: None until it was carried out.
    """

    order_id: str
    taskforce_uuid: str
    action: OrderAction
    procs: tuple[int, ...]
    reason: str
    asked_by: str
    asked_at: float
    answered_at: float | None = None
    outcome: Outcome | None = None

    def find_state(self, now: float) -> OrderState:
        """How it stands. `now`: seconds since the epoch."""
        if self.outcome is not None:
            return OrderState.FAILED if self.outcome.error else OrderState.DONE
        return OrderState.WAITING if now < self.asked_at + ORDER_S else OrderState.EXPIRED


def render_procs(procs: Sequence[int]) -> str:
    """`worker 3`, `workers 0 to 2, 7`, `all workers`: for sentences; numbers that follow each other in one."""
    if not procs:
        return "all workers"
    named = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in find_spans(procs))
    return f"{'worker' if len(set(procs)) == 1 else 'workers'} {named}"


def find_spans(procs: Iterable[int]) -> list[tuple[int, int]]:
    """The first and the last of each run of numbers, in order."""
    spans: list[tuple[int, int]] = []
    for proc in sorted(set(procs)):
        if spans and proc == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], proc)
        else:
            spans.append((proc, proc))
    return spans
