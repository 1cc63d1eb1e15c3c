"""What shall upstream's agent start or stop next? Read only: it has no claims (wms.md 4.13, 4.15).

What one of our agents has claimed, and what stands at a location of ours, is not for it.
"""

from muster.domain.location import Agent, Location
from muster.domain.workflow import Taskforce
from muster.server.ports.store import Transaction, UpstreamAgent
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce


async def find_start(parts: Parts, schedd: str, collector: str | None = None) -> WholeTaskforce | None:
    """The next taskforce to start at an access point; the same again until it is confirmed.

    Args:
        collector: None: whatever its location's is; else locations whose setting names another one are passed over.
    """

    def look(tx: Transaction) -> WholeTaskforce | None:
        found = tx.taskforces.find_startable(_upstream_at(parts, schedd, collector), now=tx.now(), limit=1)
        return read_one_taskforce(tx, found[0].taskforce_uuid) if found else None

    return await parts.store.read(look)


async def find_stop(parts: Parts, schedd: str, collector: str | None = None) -> WholeTaskforce | None:
    """The next taskforce to stop at an access point; arguments as of `find_start`."""

    def look(tx: Transaction) -> WholeTaskforce | None:
        found = tx.taskforces.find_stoppable(_upstream_at(parts, schedd, collector), now=tx.now(), limit=1)
        return read_one_taskforce(tx, found[0].taskforce_uuid) if found else None

    return await parts.store.read(look)


def is_for_upstream(parts: Parts, taskforce: Taskforce) -> bool:
    """May upstream's agent act on it? A location that is not known any more is nobody's of ours."""
    location = parts.locations.get(taskforce.location)
    return taskforce.claim_agent is None and (location is None or location.agent is Agent.UPSTREAM)


def _upstream_at(parts: Parts, schedd: str, collector: str | None) -> UpstreamAgent:
    others = sorted(
        name
        for name, location in parts.locations.items()
        if location.agent is Agent.MUSTER or _is_elsewhere(location, collector)
    )
    return UpstreamAgent(schedd, others)


def _is_elsewhere(location: Location, collector: str | None) -> bool:
    return collector is not None and location.collector not in (None, collector)
