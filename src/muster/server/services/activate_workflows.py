"""Whose queues are ready? New taskforces of active workflows go on to launch control, where there is room for them.

Queues live in the same database as the workflow, so they are ready as soon as it is stored, and let in; those on a broker are from
then on. What is let in first, and how much at once, `muster.domain.admission` says. Services on one database share the work: a
workflow that another one has in hand is passed over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from muster.domain.admission import order
from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.server.ports.store import Transaction
from muster.server.services.activate_queues import activate_own
from muster.server.services.advance_taskforce import ACTIVATOR, Happened, advance
from muster.server.services.find_room import find_obstacle_to, has_limits, take_turn
from muster.server.services.parts import Parts
from muster.worker.crash_points import reach

BATCH_MAX = 200
"""Workflows looked at in one pass."""
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
        return self.seen == BATCH_MAX and self.moved > 0


async def activate_workflows(parts: Parts) -> Round:
    """One pass, the most urgent first, some workflows a transaction."""

    def look(tx: Transaction) -> list[str]:
        waiting = tx.workflows.list_waiting(Phase.PRE_MQ_ACTIVATION, limit=BATCH_MAX)
        return [one.workflow_id for one in order(waiting, now=tx.now())]

    turns: list[Turn] = []
    for some in cut(await parts.store.read(look)):
        done = await parts.store.write(partial(_activate_some, parts=parts, workflow_ids=some))
        parts.tally.activated += done.count(Turn.MOVED)
        turns += done
        reach("server.activate.committed")
    return Round(len(turns), turns.count(Turn.MOVED), turns.count(Turn.IN_HAND))


def cut(workflow_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Into as many as share a transaction."""
    for start in range(0, len(workflow_ids), TOGETHER_MAX):
        yield workflow_ids[start : start + TOGETHER_MAX]


def _activate_some(tx: Transaction, *, parts: Parts, workflow_ids: Sequence[str]) -> list[Turn]:
    return [_activate(tx, parts, one) for one in workflow_ids]


def _activate(tx: Transaction, parts: Parts, workflow_id: str) -> Turn:
    if has_limits(parts):
        take_turn(tx)
    workflow = tx.workflows.find_free(workflow_id)
    if workflow is None:
        return Turn.IN_HAND
    taskforces = tx.taskforces.list_of_workflow(workflow_id)
    waiting = [one for one in taskforces if one.phase is Phase.PRE_MQ_ACTIVATION]
    if not waiting:
        return Turn.NOTHING
    if find_obstacle_to(tx, parts, workflow) is not None:
        _put_off(tx, [one.taskforce_uuid for one in waiting])
        return Turn.NO_ROOM
    context = "" if len(waiting) == len(taskforces) else AUTO_ADVANCED
    for taskforce in waiting:
        advance(tx, taskforce, Happened(PhaseEvent.ACTIVATED, ACTIVATOR, context))
    activate_own(tx, workflow)
    tx.wake("launch")
    reach("server.activate.moved")
    return Turn.MOVED


def _put_off(tx: Transaction, taskforce_uuids: list[str]) -> None:
    """Say so in their logs, once: they may wait for days."""
    logs = tx.taskforces.list_log(taskforce_uuids)
    told = {uuid for uuid, log in logs.items() if log and log[-1].context == TRY_AGAIN_LATER}
    for taskforce in tx.taskforces.find([uuid for uuid in taskforce_uuids if uuid not in told]).values():
        advance(tx, taskforce, Happened(PhaseEvent.ACTIVATION_DELAYED, ACTIVATOR, TRY_AGAIN_LATER))
