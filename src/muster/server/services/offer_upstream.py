"""What shall upstream's agent start or stop next? Read only: it has no claims (wms.md 4.13, 4.15).

What one of our agents has claimed, and what stands at a location of ours, is not for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.location import Agent
from muster.domain.workflow import TaskDirective, Taskforce
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import WholeTaskforce, read_one_taskforce

CANDIDATES_MAX = 1000
"""Taskforces looked at behind those of our own at the same access point."""


@dataclass(frozen=True)
class StartOffer:
    """A taskforce to start, with its task."""

    taskforce: WholeTaskforce
    directive: TaskDirective


async def find_start(parts: Parts, schedd: str) -> StartOffer | None:
    """The next taskforce to start at an access point; the same again until it is confirmed."""

    def look(tx: Transaction) -> StartOffer | None:
        found = tx.taskforces.find_startable(
            [schedd],
            failures_max=parts.settings.submit_failures_max,
            claimed_by_others_than=None,
            now=tx.now(),
            limit=_limit(parts, schedd),
        )
        first = _first_of_upstream(parts, found)
        if first is None:
            return None
        directive = tx.workflows.get_directive(first.task_id)
        return StartOffer(read_one_taskforce(tx, first.taskforce_uuid), directive)

    return await parts.store.read(look)


async def find_stop(parts: Parts, schedd: str) -> WholeTaskforce | None:
    """The next taskforce to stop at an access point."""

    def look(tx: Transaction) -> WholeTaskforce | None:
        found = tx.taskforces.find_stoppable(
            [schedd],
            failures_max=parts.settings.submit_failures_max,
            claimed_by_others_than=None,
            now=tx.now(),
            limit=_limit(parts, schedd),
        )
        first = _first_of_upstream(parts, found)
        return None if first is None else read_one_taskforce(tx, first.taskforce_uuid)

    return await parts.store.read(look)


def is_for_upstream(parts: Parts, taskforce: Taskforce) -> bool:
    """May upstream's agent act on it? A location that is not known any more is nobody's of ours."""
    location = parts.locations.get(taskforce.location)
    return taskforce.claim_agent is None and (location is None or location.agent is Agent.UPSTREAM)


def _first_of_upstream(parts: Parts, found: Sequence[Taskforce]) -> Taskforce | None:
    return next((one for one in found if is_for_upstream(parts, one)), None)


def _limit(parts: Parts, schedd: str) -> int:
    shared = any(one.schedd == schedd and one.agent is Agent.MUSTER for one in parts.locations.values())
    return CANDIDATES_MAX if shared else 1
