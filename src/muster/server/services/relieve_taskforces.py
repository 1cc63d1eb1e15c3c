"""How do workers go that did nothing wrong? Those that are up when they have nothing in hand, and nobody starts the others any more."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from muster.domain.errors import ConflictError
from muster.domain.location import list_upstreams
from muster.domain.taskforce_phase import ENDING, Phase, PhaseEvent
from muster.domain.workflow import Taskforce, Workflow
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import DEACTIVATOR, Happened, advance_all
from muster.server.services.parts import Parts

LIVE_AT_ONCE = 1000
"""Taskforces of which one statement counts the workers."""


def let_go(tx: Transaction, taskforces: Sequence[Taskforce], *, context: str) -> int:
    """Workers that are up go by themselves once they have nothing in hand; a taskforce of which none is up is called off, or removed.

    Args:
        taskforces: of a workflow that is locked; those that are ending, or were let go, stay as they are.
        context: why, for the logs.

    Returns how many that changed.
    """
    staying = [one for one in taskforces if one.phase not in ENDING and one.let_go_at is None]
    placed = [one for one in staying if one.phase is Phase.CONDOR_SUBMIT]
    live = _count_live(tx, [one.taskforce_uuid for one in placed])
    # One that waits in a pool's queue would only start to hear that it is to go; held there, it would never leave.
    up = [one for one in placed if live.get(one.taskforce_uuid)]
    if up:
        tx.taskforces.update(*(replace(one, let_go_at=tx.now()) for one in up))
    happened = Happened(PhaseEvent.DEACTIVATED, DEACTIVATOR, context)
    others = [(one, happened) for one in staying if one not in up]
    for one in advance_all(tx, others, claim_until=None, held_reason=None):
        tx.wake(f"stop:{one.schedd}")
        tx.wake(f"start:{one.schedd}")
    return len(staying)


def _count_live(tx: Transaction, taskforce_uuids: Sequence[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(taskforce_uuids), LIVE_AT_ONCE):
        found |= tx.holders.count_live_of(taskforce_uuids[start : start + LIVE_AT_ONCE])
    return found


def require_ours(tx: Transaction, parts: Parts, workflow: Workflow) -> None:
    """Raises ConflictError: upstream's agent runs its workers, which read from the broker and hear nothing of us."""
    taskforces = tx.taskforces.list_of_workflow(workflow.workflow_id)
    upstreams = list_upstreams(parts.locations)
    if places := sorted({one.location for one in taskforces if one.location in upstreams}):
        raise ConflictError(
            f"the workers of {workflow.workflow_id} at {', '.join(places)} are started by upstream's agent, and read from the "
            "broker: they can be stopped for good (`muster workflow abort`), not for a while, and not be given another task"
        )
