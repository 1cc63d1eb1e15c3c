"""What shall upstream's agent start or stop next? Read only: it has no claims (wms.md 4.13, 4.15).

What one of our agents has claimed, and what stands at a location of ours, is not for it.
"""

from dataclasses import dataclass

from muster.domain.location import Agent
from muster.domain.workflow import TaskDirective, Taskforce
from muster.server.ports.store import Transaction, UpstreamAgent
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce


@dataclass(frozen=True)
class StartOffer:
    """A taskforce to start, with its task."""

    taskforce: WholeTaskforce
    directive: TaskDirective


async def find_start(parts: Parts, schedd: str) -> StartOffer | None:
    """The next taskforce to start at an access point; the same again until it is confirmed."""

    def look(tx: Transaction) -> StartOffer | None:
        found = tx.taskforces.find_startable(_upstream_at(parts, schedd), now=tx.now(), limit=1)
        if not found:
            return None
        directive = tx.workflows.get_directive(found[0].task_id)
        return StartOffer(read_one_taskforce(tx, found[0].taskforce_uuid), directive)

    return await parts.store.read(look)


async def find_stop(parts: Parts, schedd: str) -> WholeTaskforce | None:
    """The next taskforce to stop at an access point."""

    def look(tx: Transaction) -> WholeTaskforce | None:
        found = tx.taskforces.find_stoppable(_upstream_at(parts, schedd), now=tx.now(), limit=1)
        return read_one_taskforce(tx, found[0].taskforce_uuid) if found else None

    return await parts.store.read(look)


def is_for_upstream(parts: Parts, taskforce: Taskforce) -> bool:
    """May upstream's agent act on it? A location that is not known any more is nobody's of ours."""
    location = parts.locations.get(taskforce.location)
    return taskforce.claim_agent is None and (location is None or location.agent is Agent.UPSTREAM)


def _upstream_at(parts: Parts, schedd: str) -> UpstreamAgent:
    ours = sorted(name for name, location in parts.locations.items() if location.agent is Agent.MUSTER)
    return UpstreamAgent(schedd, ours)
