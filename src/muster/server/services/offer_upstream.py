"""What shall upstream's agent start or stop next? Read only: it has no claims (wms.md 4.13, 4.15).

What one of our agents has claimed, and what stands at a location of ours, is not for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from muster.domain.caller import Caller, Role
from muster.domain.location import Agent, Location
from muster.domain.mq_profile import GroupedProfile, Kind
from muster.domain.workflow import TaskDirective, Taskforce
from muster.server.ports.store import Transaction, UpstreamAgent
from muster.server.services.note_asking import note_asking
from muster.server.services.parts import Parts
from muster.server.services.queue_tokens import ShownProfile, show_with_tokens, show_without_tokens
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce


@dataclass(frozen=True)
class Offer:
    """A taskforce to start or to stop.

    Args:
        profiles: of its task's queues, where its workers reach them on the broker; each once, inputs first.
    """

    taskforce: WholeTaskforce
    profiles: Sequence[ShownProfile]


async def find_start(parts: Parts, schedd: str, collector: str | None = None, *, with_tokens: bool) -> Offer | None:
    """The next taskforce to start at an access point; the same again until it is confirmed.

    Args:
        collector: None: whatever its location's is; else locations whose setting names another one are passed over.
        with_tokens: of its queues.
    """

    def look(tx: Transaction) -> WholeTaskforce | None:
        found = tx.taskforces.find_startable(_upstream_at(parts, schedd, collector), now=tx.now(), limit=1)
        return read_one_taskforce(tx, found[0].taskforce_uuid) if found else None

    return await _complete(parts, look, with_queues=True, with_tokens=with_tokens)


async def find_stop(
    parts: Parts, schedd: str, collector: str | None = None, *, with_queues: bool, with_tokens: bool
) -> Offer | None:
    """The next taskforce to stop at an access point; arguments as of `find_start`."""

    def look(tx: Transaction) -> WholeTaskforce | None:
        found = tx.taskforces.find_stoppable(_upstream_at(parts, schedd, collector), now=tx.now(), limit=1)
        return read_one_taskforce(tx, found[0].taskforce_uuid) if found else None

    return await _complete(parts, look, with_queues=with_queues, with_tokens=with_tokens)


async def find_offered(parts: Parts, taskforce_uuid: str, *, with_queues: bool, with_tokens: bool) -> Offer | None:
    """A taskforce as it is offered, whatever its phase. Raises NotFoundError."""

    def look(tx: Transaction) -> WholeTaskforce | None:
        return read_one_taskforce(tx, taskforce_uuid)

    return await _complete(parts, look, with_queues=with_queues, with_tokens=with_tokens)


async def _complete(
    parts: Parts,
    look: Callable[[Transaction], WholeTaskforce | None],
    *,
    with_queues: bool,
    with_tokens: bool,
) -> Offer | None:
    """What was found, with its task's queues where they are wanted."""

    def read(tx: Transaction) -> tuple[WholeTaskforce, list[GroupedProfile], float] | None:
        taskforce = look(tx)
        if taskforce is None:
            return None
        return taskforce, _list_direct(tx, taskforce.directive) if with_queues else [], tx.now()

    seen = await parts.store.read(read)
    if seen is None:
        return None
    taskforce, profiles, now = seen
    if with_tokens:
        return Offer(taskforce, await show_with_tokens(parts, profiles, now=now))
    return Offer(taskforce, show_without_tokens(parts, profiles))


def _list_direct(tx: Transaction, directive: TaskDirective) -> list[GroupedProfile]:
    mqids = list(dict.fromkeys((*directive.input_queues, *directive.output_queues)))
    found = tx.mq_groups.find(mqids)
    return [found[mqid] for mqid in mqids if mqid in found and found[mqid].group.kind is Kind.DIRECT]


async def note_agent(parts: Parts, caller: Caller, schedd: str) -> None:
    """Write down that upstream's agent asks for work. A person who looks is not it; a schedd where no location stands is not kept."""
    is_served = any(one.schedd == schedd and one.agent is Agent.UPSTREAM for one in parts.locations.values())
    if is_served and Role.SYSTEM_TMS in caller.roles:
        await note_asking(parts.store, parts.noted, Agent.UPSTREAM, [schedd], "")


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
