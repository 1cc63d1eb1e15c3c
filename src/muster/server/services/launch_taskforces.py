"""Which taskforces may be started now? Launch control lets them through, the most urgent workflow first (`muster.domain.admission`)."""

from collections.abc import Sequence
from functools import partial

from muster.domain.admission import Waiting
from muster.domain.taskforce_phase import Phase, PhaseEvent
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import LAUNCHER, Happened, advance_all
from muster.server.services.line import Line, Own, Passed, cut, leave_to_others, list_line
from muster.server.services.parts import Parts


async def launch_taskforces(parts: Parts) -> Passed:
    """One pass, some workflows a transaction."""
    line, own = await parts.store.look(_look)
    launched: list[int | None] = []
    for some in cut(own.those):
        moved = await parts.store.write(partial(_launch_some, those=some))
        parts.tally.launched += sum(filter(None, moved))
        launched += moved
    return Passed(sum(map(bool, launched)), launched.count(None), line.is_cut, own.left_s)


def _look(tx: Transaction) -> tuple[Line, Own]:
    """Who waits, and who of them is this service's to move on."""
    line = list_line(tx, Phase.PRE_LAUNCH)
    return line, leave_to_others(tx, line.those)


def _launch_some(tx: Transaction, *, those: Sequence[Waiting]) -> Sequence[int | None]:
    """How many taskforces of each moved; None: somebody else has the workflow in hand."""
    ids = [one.workflow_id for one in those]
    free, taskforces = tx.workflows.find_free(ids), tx.taskforces.list_of_workflows(ids)
    new = {one: [tf for tf in taskforces[one] if tf.phase is Phase.PRE_LAUNCH] for one in ids if one in free}
    launched = Happened(PhaseEvent.LAUNCHED, LAUNCHER)
    for taskforce in advance_all(tx, [(taskforce, launched) for those in new.values() for taskforce in those]):
        tx.wake(f"start:{taskforce.schedd}")
    return [len(new[one]) if one in new else None for one in ids]
