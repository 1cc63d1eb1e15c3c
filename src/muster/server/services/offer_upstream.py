"""What shall upstream's agent start or stop next? Read only: it has no claims (wms.md 4.13, 4.15).

What one of our agents has claimed, and what stands at a location of ours, is not for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.location import Agent, Location
from muster.domain.mq_profile import GroupedProfile, Kind
from muster.domain.workflow import TaskDirective, Taskforce
from muster.server.ports.store import Transaction, UpstreamAgent
from muster.server.services.parts import Parts
from muster.server.services.queue_tokens import ShownProfile, show_with_tokens, show_without_tokens
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce


@dataclass(frozen=True)
class StartOffer:
    """A taskforce to start.

    Args:
        profiles: of its task's queues, where its workers reach them on the broker; each once, inputs first.
    """

    taskforce: WholeTaskforce
    profiles: Sequence[ShownProfile]


async def find_start(
    parts: Parts, schedd: str, collector: str | None = None, *, with_tokens: bool
) -> StartOffer | None:
    """The next taskforce to start at an access point; the same again until it is confirmed.

    Args:
        collector: None: whatever its location's is; else locations whose setting names another one are passed over.
        with_tokens: of its queues.
    """

    def look(tx: Transaction) -> tuple[WholeTaskforce, list[GroupedProfile], float] | None:
        now = tx.now()
        found = tx.taskforces.find_startable(_upstream_at(parts, schedd, collector), now=now, limit=1)
        if not found:
            return None
        taskforce = read_one_taskforce(tx, found[0].taskforce_uuid)
        return taskforce, _list_direct(tx, taskforce.directive), now

    seen = await parts.store.read(look)
    if seen is None:
        return None
    taskforce, profiles, now = seen
    if with_tokens:
        return StartOffer(taskforce, await show_with_tokens(parts, profiles, now=now))
    return StartOffer(taskforce, show_without_tokens(parts, profiles))


def _list_direct(tx: Transaction, directive: TaskDirective) -> list[GroupedProfile]:
    mqids = list(dict.fromkeys((*directive.input_queues, *directive.output_queues)))
    found = tx.mq_groups.find(mqids)
    return [found[mqid] for mqid in mqids if mqid in found and found[mqid].group.kind is Kind.DIRECT]


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
