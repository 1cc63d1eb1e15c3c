"""Who waits to be moved on, and is the next pass due at once? What passes over those who wait have in common."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from muster.domain.admission import Waiting, order
from muster.domain.taskforce_phase import Phase
from muster.server.ports.store import Transaction

LINE_MAX = 200
"""Workflows that one look sees."""
OF_EACH_MAX = 50
"""Of one owner."""
TOGETHER_MAX = 16
"""Workflows of one transaction: a commit costs as much as moving one, and others must not wait for long."""

OTHERS_FIRST_S = 1.0
"""For so long a new workflow is left to the service whose share it is in; then whoever comes first takes it."""


@dataclass(frozen=True)
class Line:
    """Those who wait, the most urgent first. `is_cut`: there may be more."""

    those: Sequence[Waiting]
    is_cut: bool


@dataclass(frozen=True)
class Passed:
    """What came of one pass.

    Args:
        moved: workflows that moved.
        in_hand: those that somebody else had; nobody rings when they are free again.
        is_cut: not all were looked at.
        left_s: seconds until one that was left to another service is anybody's; None: none was.
    """

    moved: int
    in_hand: int
    is_cut: bool
    left_s: float | None = None

    @property
    def is_worth_another(self) -> bool:
        """May there be more, behind those that were looked at?"""
        return self.is_cut and self.moved > 0


def list_line(tx: Transaction, phase: Phase, *, without: Collection[str] = ()) -> Line:
    """The workflows that have taskforces in a phase. `without`: those of these owners."""
    those = tx.workflows.list_waiting(phase, limit=LINE_MAX, of_each=OF_EACH_MAX, without=without)
    most = max(Counter(one.owner for one in those).values(), default=0)
    return Line(order(those, now=tx.now()), is_cut=len(those) >= LINE_MAX or most >= OF_EACH_MAX)


@dataclass(frozen=True)
class Own:
    """Those of some workflows that are this service's to take on. `left_s`: as of `Passed`."""

    those: Sequence[Waiting]
    left_s: float | None = None


def leave_to_others(tx: Transaction, those: Sequence[Waiting]) -> Own:
    """Without what another service is to take first: else the one that happens to look first takes nearly all that come at once."""
    if not those:
        return Own(those)
    share, now = tx.get_share(), tx.now()
    # One from a time to come is anybody's, too: the clock was set back.
    left = {one for one in those if abs(now - one.since) < OTHERS_FIRST_S and not share.has(one.workflow_id)}
    first = min((one.since for one in left), default=None)
    return Own([one for one in those if one not in left], None if first is None else first + OTHERS_FIRST_S - now)


def cut(those: Sequence[Waiting]) -> Iterator[Sequence[Waiting]]:
    """Into as many as share a transaction."""
    for start in range(0, len(those), TOGETHER_MAX):
        yield those[start : start + TOGETHER_MAX]
