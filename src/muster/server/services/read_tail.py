"""What does a task print that is at work at an event?"""

from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.event_state import EventState
from muster.server.ports.store import Transaction
from muster.server.services.live_tails import Tail
from muster.server.services.parts import Parts
from muster.server.services.queue_access import require_owner


@dataclass(frozen=True)
class Look:
    """What there is to see of an event. `tail` None: nothing was brought yet."""

    state: EventState
    tail: Tail | None


async def look_at_tail(parts: Parts, caller: Caller, event: int) -> Look:
    """The newest output of the task that works at an event; its worker is asked for it as long as somebody looks.

    Raises NotFoundError; ForbiddenError for others than owner and operators; UnavailableError.
    """

    def look(tx: Transaction) -> EventState:
        row = tx.events.get(event)
        workflow = tx.workflows.get(tx.queues.get(row.queue).workflow_id)
        require_owner(caller, workflow.owner, what=f"workflow {workflow.workflow_id}", group=workflow.owner_group)
        return row.state

    state = await parts.store.read(look)
    is_over = state in (EventState.DONE, EventState.DEAD)
    return Look(state, parts.live_tails.find(event) if is_over else parts.live_tails.watch(event))
