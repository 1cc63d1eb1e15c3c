"""How is a taskforce tried again that was held? Somebody who mended what was wrong says so, as `condor_release` does of a job."""

from dataclasses import replace

from muster.domain.caller import Caller
from muster.domain.taskforce_phase import ENDING, Phase
from muster.domain.workflow import PhaseLogEntry, Taskforce
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import USER
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce

RELEASED = "Released, to be tried again, by {name}."


async def release_taskforce(parts: Parts, caller: Caller, uuid: str) -> WholeTaskforce:
    """Have a held taskforce tried again, with as many tries as a new one; one that is not held stays as it is.

    Raises:
        NotFoundError: there is no such taskforce.
        ForbiddenError: it is another user's.
    """

    def work(tx: Transaction) -> WholeTaskforce:
        workflow_id = tx.taskforces.get(uuid).workflow_id
        get_owned_workflow(tx, caller, workflow_id, lock=True, shared=parts.settings.shared_workflows)
        taskforce = tx.taskforces.get(uuid)  # as it is now that nobody else changes it
        if taskforce.held_reason is not None:
            _release(tx, caller, taskforce)
        return read_one_taskforce(tx, uuid)

    return await parts.store.write(work)


def _release(tx: Transaction, caller: Caller, taskforce: Taskforce) -> None:
    # Whoever held it has said its last word: said once more, that must not hold it again.
    fence = taskforce.claim_fence + 1
    tried = replace(taskforce, held_reason=None, submit_failures=0, remove_failures=0, claim_fence=fence)
    if taskforce.phase is Phase.PENDING_STARTER:
        # Nothing was placed, so it is nobody's: an agent that asked before it failed there, and waits, names it still as in its hands.
        tried = replace(tried, claim_agent=None, claim_until=None)
    tx.taskforces.update(tried)
    entry = PhaseLogEntry(taskforce.phase, tx.now(), False, None, USER, RELEASED.format(name=caller.name))
    tx.taskforces.append_log(taskforce.taskforce_uuid, entry)
    tx.wake(f"{'stop' if taskforce.phase in ENDING else 'start'}:{taskforce.schedd}")
    tx.wake(f"workflow:{taskforce.workflow_id}")
