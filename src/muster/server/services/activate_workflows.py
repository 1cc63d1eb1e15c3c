"""Whose queues are ready? New taskforces of active workflows go on to launch control, where there is room for them.

Queues live in the same database as the workflow, so they are ready as soon as it is stored, and let in; those on a broker are from
then on. What is let in first, and how much at once, `muster.domain.admission` and `room` say. Services on one database share the work: a
workflow that another one has in hand, or is to take first (`muster.domain.sharing`), is passed over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import get_args

from muster.domain.admission import Waiting
from muster.domain.room import Obstacle, Resource
from muster.domain.standing import Standings
from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.domain.workflow import Taskforce
from muster.server.ports.store import Transaction
from muster.server.services.activate_queues import activate_own
from muster.server.services.advance_taskforce import ACTIVATOR, Happened, advance_all
from muster.server.services.explain_room import find_standing
from muster.server.services.find_room import Usher, has_limits, judge_line, take_turn
from muster.server.services.line import Own, Passed, cut, leave_to_others, list_line
from muster.server.services.parts import Parts
from muster.worker.crash_points import reach

STANDING_S = 3.0
"""Seconds between two looks at who stands still: a person has to do something about it, and it takes the longer the more there is."""
AUTO_ADVANCED = "Auto-advanced because workflow has already been mq-activated."
TRY_AGAIN_LATER = "MQS responded with 'try_again_later' signal"
"""The log's words are upstream's (wms.md section 8)."""


class Outcome(Enum):
    """What came of a workflow's turn."""

    MOVED = auto()
    IN_HAND = auto()  # somebody else has it at the moment: another service, or a report about it
    NOTHING = auto()  # another service has had it
    NO_ROOM = auto()


@dataclass(frozen=True)
class _Look:
    """Who waits.

    Args:
        own: those that would be let in, or are to be told that they are not, and are this service's to take on.
        is_cut: there may be more.
        refused: why those are not let in for whom there is no room.
        standing: who keeps what they want and stands still; None: that was not looked for now.
        at: when it was, seconds since the epoch.
    """

    line: Sequence[Waiting]
    own: Own
    is_cut: bool
    refused: Mapping[str, Obstacle]
    standing: Mapping[Resource, Standings] | None = None
    at: float = 0.0


async def activate_workflows(parts: Parts) -> Passed:
    """One pass, the most urgent first, some workflows a transaction."""
    look = await parts.store.read(partial(_look, parts=parts))
    parts.refused.obstacles = look.refused
    if look.standing is not None:
        parts.refused.standing, parts.refused.standing_at = look.standing, look.at
    waiting = {one.workflow_id: one for one in look.line}
    outcomes: list[Outcome] = []
    for some in cut(look.own.those):
        work = partial(
            _activate_some, parts=parts, those=[one.workflow_id for one in some], line=list(waiting.values())
        )
        done = await parts.store.write(work)
        for one, outcome in done.items():
            if outcome is Outcome.MOVED:
                del waiting[one]
                parts.tally.activated += 1
        outcomes += done.values()
        reach("server.activate.committed")
    return Passed(outcomes.count(Outcome.MOVED), outcomes.count(Outcome.IN_HAND), look.is_cut, look.own.left_s)


def _look(tx: Transaction, *, parts: Parts) -> _Look:
    """Judged as in what writes, but without its turn: where nothing is to be done, nobody waits for that."""
    if not has_limits(parts):
        line = list_line(tx, Phase.PRE_MQ_ACTIVATION)
        return _Look(line.those, leave_to_others(tx, line.those), line.is_cut, {})
    judged = judge_line(tx, parts)
    refused = {one: obstacle for one, obstacle in judged.obstacles.items() if obstacle is not None}
    untold = tx.taskforces.find_untold(list(refused), phase=Phase.PRE_MQ_ACTIVATION, context=TRY_AGAIN_LATER)
    idle = set(refused) - untold
    worth = [one for one in judged.line if one.workflow_id not in idle]
    standing = _find_standing(tx, parts, {one.what for one in refused.values()})
    return _Look(judged.line, leave_to_others(tx, worth), judged.is_cut, refused, standing, tx.now())


def _find_standing(
    tx: Transaction, parts: Parts, wanted: Collection[Resource | None]
) -> Mapping[Resource, Standings] | None:
    """Who keeps some of what somebody was refused for; one look at each, for all owners. None: what was found last will do."""
    last, whats = parts.refused, [what for what in get_args(Resource) if what in wanted]
    if 0 <= tx.now() - last.standing_at < STANDING_S and all(what in last.standing for what in whats):
        return None
    return {what: find_standing(tx, parts, what) for what in whats}


def _activate_some(
    tx: Transaction, *, parts: Parts, those: Sequence[str], line: Sequence[Waiting]
) -> Mapping[str, Outcome]:
    """What came of each.

    Args:
        line: all that wait, of whom those before them may have room kept.
    """
    obstacles: Mapping[str, Obstacle | None] = {}
    if has_limits(parts):
        take_turn(tx)
        obstacles = Usher(tx, parts).judge(line)
    workflows, taskforces = tx.workflows.find_free(those), tx.taskforces.list_of_workflows(those)
    new = {one: [tf for tf in taskforces[one] if tf.phase is Phase.PRE_MQ_ACTIVATION] for one in those}

    def judge(one: str) -> Outcome:
        if one not in workflows:
            return Outcome.IN_HAND
        if not new[one]:
            return Outcome.NOTHING
        return Outcome.MOVED if obstacles.get(one) is None else Outcome.NO_ROOM

    outcomes = {one: judge(one) for one in those}
    moved = [one for one, outcome in outcomes.items() if outcome is Outcome.MOVED]
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
    _put_off(
        tx, [taskforce for one, outcome in outcomes.items() if outcome is Outcome.NO_ROOM for taskforce in new[one]]
    )
    if moved:
        activate_own(tx, [workflows[one] for one in moved])
        tx.wake("launch")
        reach("server.activate.moved")
    return outcomes


def _put_off(tx: Transaction, taskforces: Sequence[Taskforce]) -> None:
    """Say so in their logs, once: they may wait for days."""
    logs = tx.taskforces.list_log([one.taskforce_uuid for one in taskforces]) if taskforces else {}
    told = {uuid for uuid, log in logs.items() if any(one.context == TRY_AGAIN_LATER for one in log)}
    delayed = Happened(PhaseEvent.ACTIVATION_DELAYED, ACTIVATOR, TRY_AGAIN_LATER)
    advance_all(tx, [(one, delayed) for one in taskforces if one.taskforce_uuid not in told])
