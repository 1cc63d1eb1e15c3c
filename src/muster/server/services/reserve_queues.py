"""How do queues get their group and profiles? With the workflow, where it is ours; by reservation, where another service has it.

A workflow has one group. A service that was not answered reserves again, perhaps in another order; it is given what there is (mqs.md 4.3).
The group of a workflow of ours goes when that is removed; that of another service's stays, for nobody says when its workflow has ended.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import structlog

from muster.domain import ids
from muster.domain.caller import Caller
from muster.domain.errors import UnavailableError
from muster.domain.mq_profile import Direction, GroupedProfile, Kind, MqGroup, MqProfile, find_direction
from muster.domain.queue import Queue
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.queue_tokens import ShownProfile, show_with_tokens

log = structlog.get_logger(__name__)

_TRIES = 2
"""A group of ours may be removed before it is read. Then the service is given a new one, as if it had asked a moment later."""


@dataclass(frozen=True)
class ShownGroup:
    """A group with its profiles, by position."""

    group: MqGroup
    profiles: Sequence[ShownProfile]


def insert_group(tx: Transaction, workflow: Workflow, queues: Iterable[Queue], *, is_direct: bool) -> None:
    """Store the group of a workflow of ours, which is stored with it. Positions are the queues' numbers."""
    kind = Kind.DIRECT if is_direct else Kind.BRIDGED
    profiles = [
        MqProfile(
            mqid=queue.queue_id,
            position=queue.number,
            alias=queue.alias,
            is_public=queue.is_public,
            direction=find_direction(is_input=queue.is_input, is_output=queue.is_output),
        )
        for queue in queues
    ]
    tx.mq_groups.insert_first(MqGroup(workflow.workflow_id, workflow.created_at, workflow.owner, kind), profiles)


async def reserve_queues(
    parts: Parts, caller: Caller, workflow_id: str, *, aliases: Sequence[str], public: Collection[str]
) -> ShownGroup:
    """Store the group of another service's workflow, or give the one that there is, of whatever aliases.

    Args:
        aliases: one queue each; one that stands there twice has two.
        public: the aliases that people may reach; others are passed over.

    Raises:
        UnavailableError: the group that there was has gone meanwhile, and the one after it, too.
    """

    def reserve(tx: Transaction) -> tuple[MqGroup, Sequence[GroupedProfile], float, bool]:
        now = tx.now()
        profiles = [
            MqProfile(
                mqid=ids.make_queue_id(random=parts.random(20)),
                position=position,
                alias=alias,
                is_public=alias in public,
                direction=Direction.BOTH,
            )
            for position, alias in enumerate(aliases)
        ]
        for _ in range(_TRIES):
            is_new = tx.mq_groups.insert(MqGroup(workflow_id, now, caller.name, Kind.FOREIGN), profiles)
            group = tx.mq_groups.find_group(workflow_id, lock=True)  # else its profiles could go before they are read
            if group is not None:
                return group, tx.mq_groups.list_of_workflow(workflow_id), now, is_new
        raise UnavailableError(f"the queues of {workflow_id} were removed while they were reserved: reserve them again")

    group, profiles, now, is_new = await parts.store.write(reserve)
    if not is_new:
        _tell_difference(workflow_id, aliases, public, profiles)
    return ShownGroup(group, await show_with_tokens(parts, profiles, now=now))


def _tell_difference(
    workflow_id: str, aliases: Sequence[str], public: Collection[str], stored: Sequence[GroupedProfile]
) -> None:
    wanted = Counter((alias, alias in public) for alias in aliases)
    if wanted != Counter((one.profile.alias, one.profile.is_public) for one in stored):
        log.warning(
            "a reservation contradicts the one before; that one holds", workflow_id=workflow_id, aliases=list(aliases)
        )
