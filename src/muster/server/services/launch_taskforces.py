"""Which taskforces may be started now? Launch control lets them through, the most urgent workflow first (`muster.domain.admission`)."""

from collections.abc import Sequence
from functools import partial

from muster.domain.admission import order
from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.server.ports.store import Transaction
from muster.server.services.activate_workflows import BATCH_MAX, Round, cut
from muster.server.services.advance_taskforce import LAUNCHER, Happened, advance
from muster.server.services.parts import Parts


async def launch_taskforces(parts: Parts) -> Round:
    """One pass, some workflows a transaction."""

    def look(tx: Transaction) -> list[str]:
        waiting = tx.workflows.list_waiting(Phase.PRE_LAUNCH, limit=BATCH_MAX)
        return [one.workflow_id for one in order(waiting, now=tx.now())]

    launched: list[int | None] = []
    for some in cut(await parts.store.read(look)):
        moved = await parts.store.write(partial(_launch_some, workflow_ids=some))
        parts.tally.launched += sum(filter(None, moved))
        launched += moved
    return Round(len(launched), sum(map(bool, launched)), launched.count(None))


def _launch_some(tx: Transaction, *, workflow_ids: Sequence[str]) -> list[int | None]:
    return [_launch(tx, one) for one in workflow_ids]


def _launch(tx: Transaction, workflow_id: str) -> int | None:
    """How many taskforces moved; None: somebody else has the workflow in hand."""
    if tx.workflows.find_free(workflow_id) is None:
        return None
    waiting = [one for one in tx.taskforces.list_of_workflow(workflow_id) if one.phase is Phase.PRE_LAUNCH]
    for taskforce in waiting:
        advance(tx, taskforce, Happened(PhaseEvent.LAUNCHED, LAUNCHER))
        tx.wake(f"start:{taskforce.schedd}")
    return len(waiting)
