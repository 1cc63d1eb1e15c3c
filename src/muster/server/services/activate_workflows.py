"""Whose queues are ready? New taskforces of active workflows go on to launch control, where there is room for them.

Queues live in the same database as the workflow, so they are ready as soon as it is stored, and let in; those on a broker are from
then on. What is let in first, and how much at once, `muster.domain.admission` and `room` say. Services on one database share the work: a
workflow that another one has in hand is passed over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from muster.domain.admission import Waiting
from muster.domain.room import Kept
from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.domain.workflow import Taskforce
from muster.server.ports.store import Transaction
from muster.server.services.activate_queues import activate_own
from muster.server.services.advance_taskforce import ACTIVATOR, Happened, advance_all
from muster.server.services.find_room import LINE_MAX, Usher, has_limits, list_line, take_turn
from muster.server.services.parts import Parts
from muster.worker.crash_points import reach

TOGETHER_MAX = 16
"""Workflows of one transaction: a commit costs as much as moving one, and others must not wait for long."""
AUTO_ADVANCED = "Auto-advanced because workflow has already been mq-activated."
TRY_AGAIN_LATER = "MQS responded with 'try_again_later' signal"
"""The log's words are upstream's (wms.md section 8)."""


class Turn(Enum):
    """What came of a workflow's turn."""

    MOVED = auto()
    IN_HAND = auto()  # somebody else has it at the moment: another service, or a report about it
    NOTHING = auto()  # another service has had it
    NO_ROOM = auto()


@dataclass(frozen=True)
class Round:
    """What came of one pass.

    Args:
        seen: workflows that were looked at.
        moved: those of them that moved.
        in_hand: those that somebody else had; nobody rings when they are free again.
    """

    seen: int
    moved: int
    in_hand: int

    @property
    def is_worth_another(self) -> bool:
        """May there be more, behind those that were looked at?"""
        return self.seen == LINE_MAX and self.moved > 0


async def activate_workflows(parts: Parts) -> Round:
    """One pass, the most urgent first, some workflows a transaction."""
    turns: list[Turn] = []
    kept: tuple[Kept, ...] = ()
    for some in cut(await parts.store.read(list_line)):
        done, kept = await parts.store.write(partial(_activate_some, parts=parts, line=some, kept=kept))
        parts.tally.activated += done.count(Turn.MOVED)
        turns += done
        reach("server.activate.committed")
    return Round(len(turns), turns.count(Turn.MOVED), turns.count(Turn.IN_HAND))


def cut(line: Sequence[Waiting]) -> Iterator[Sequence[Waiting]]:
    """Into as many as share a transaction."""
    for start in range(0, len(line), TOGETHER_MAX):
        yield line[start : start + TOGETHER_MAX]


def _activate_some(
    tx: Transaction, *, parts: Parts, line: Sequence[Waiting], kept: tuple[Kept, ...]
) -> tuple[Sequence[Turn], tuple[Kept, ...]]:
    """What came of each, and for whom room is kept from now on."""
    usher = None
    if has_limits(parts):
        take_turn(tx)
        usher = Usher(tx, parts, line, kept=kept)
    ids = [one.workflow_id for one in line]
    workflows, taskforces = tx.workflows.find_free(ids), tx.taskforces.list_of_workflows(ids)
    new = {one: [tf for tf in taskforces[one] if tf.phase is Phase.PRE_MQ_ACTIVATION] for one in ids}
    turns = {one.workflow_id: _judge(usher, one, is_new=bool(new[one.workflow_id])) for one in line}
    turns |= {one: Turn.IN_HAND for one in ids if one not in workflows}
    moved = [one for one, turn in turns.items() if turn is Turn.MOVED]
    advance_all(
        tx,
        [
            (
                taskforce,
                Happened(
                    PhaseEvent.ACTIVATED, ACTIVATOR, "" if len(new[one]) == len(taskforces[one]) else AUTO_ADVANCED
                ),
            )
            for one in moved
            for taskforce in new[one]
        ],
    )
    _put_off(tx, [taskforce for one, turn in turns.items() if turn is Turn.NO_ROOM for taskforce in new[one]])
    if moved:
        activate_own(tx, [workflows[one] for one in moved])
        tx.wake("launch")
        reach("server.activate.moved")
    return list(turns.values()), kept if usher is None else usher.room.kept


def _judge(usher: Usher | None, one: Waiting, *, is_new: bool) -> Turn:
    """Its turn, if nobody else has it in hand."""
    if not is_new:
        return Turn.NOTHING
    return Turn.MOVED if usher is None or usher.let_in(one) is None else Turn.NO_ROOM


def _put_off(tx: Transaction, taskforces: Sequence[Taskforce]) -> None:
    """Say so in their logs, once: they may wait for days."""
    logs = tx.taskforces.list_log([one.taskforce_uuid for one in taskforces]) if taskforces else {}
    told = {uuid for uuid, log in logs.items() if log and log[-1].context == TRY_AGAIN_LATER}
    delayed = Happened(PhaseEvent.ACTIVATION_DELAYED, ACTIVATOR, TRY_AGAIN_LATER)
    advance_all(tx, [(one, delayed) for one in taskforces if one.taskforce_uuid not in told])
