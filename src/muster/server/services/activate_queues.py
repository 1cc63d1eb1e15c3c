"""When can queues be used? From the activation of their group: by the activator, where the workflow is ours; else as its service says.

Nobody is called for it: what profiles and tokens are made of stands in our database (mqs.md 4.4).
"""

from collections.abc import Mapping, Sequence

from muster.domain.errors import NotFoundError
from muster.domain.mq_profile import GroupedProfile, Kind, MqGroup
from muster.domain.workflow import PRIORITY_DEFAULT, Workflow
from muster.server.ports.store import Transaction
from muster.server.services.find_room import find_obstacle_to_group, has_limits, take_turn
from muster.server.services.parts import Parts
from muster.server.services.queue_tokens import find_signer, show_with_tokens
from muster.server.services.reserve_queues import ShownGroup

NO_PROFILES = "No MQProfiles found for workflow id"


def activate_own(tx: Transaction, workflows: Sequence[Workflow]) -> None:
    """Activate the groups of workflows of ours, at least one. Those that are active stay as they are."""
    tx.mq_groups.activate_new({one.workflow_id: {"priority": one.priority} for one in workflows}, at=tx.now())


async def activate_queues(parts: Parts, workflow_id: str, criteria: Mapping[str, int] | None) -> ShownGroup | None:
    """Activate a group as its service says, with new tokens each time; tokens made before stay good. A group of ours is left as it is.

    Returns:
        None: there is no room for it now, and nothing was changed.

    Raises:
        NotFoundError: there is no such group, or it has no queue.
    """
    signer = await find_signer(parts)

    def activate(tx: Transaction) -> tuple[MqGroup, Sequence[GroupedProfile], float] | None:
        if has_limits(parts):
            take_turn(tx)
        group = tx.mq_groups.find_group(workflow_id, lock=True)
        profiles = tx.mq_groups.list_of_workflow(workflow_id)
        if group is None or not profiles:
            raise NotFoundError(NO_PROFILES)
        if group.kind is not Kind.FOREIGN:
            return group, profiles, tx.now()
        priority = PRIORITY_DEFAULT if criteria is None else criteria["priority"]
        if find_obstacle_to_group(tx, parts, group, profiles, priority=priority) is not None:
            return None
        tx.mq_groups.activate(workflow_id, criteria=criteria, at=tx.now())
        if signer is not None:
            signer.replace(tx, [one.profile.mqid for one in profiles])
        changed = tx.mq_groups.find_group(workflow_id)
        assert changed is not None, "it is locked"
        return changed, tx.mq_groups.list_of_workflow(workflow_id), tx.now()

    activated = await parts.store.write(activate)
    if activated is None:
        return None
    group, profiles, now = activated
    if signer is not None and group.kind is Kind.FOREIGN:
        parts.measures.tokens["queue"] += len(profiles)
    return ShownGroup(group, await show_with_tokens(parts, profiles, now=now))
