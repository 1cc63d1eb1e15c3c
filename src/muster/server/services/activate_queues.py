"""When can queues be used? From the activation of their group: by the activator, where the workflow is ours; else as its service says.

Nobody is called for it: what profiles and tokens are made of stands in our database (mqs.md 4.4).
"""

from collections.abc import Mapping, Sequence

from muster.domain.errors import NotFoundError
from muster.domain.mq_profile import GroupedProfile, Kind, MqGroup
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction
from muster.server.services.find_room import find_obstacle_to_group, has_limits, take_turn
from muster.server.services.parts import Parts
from muster.server.services.queue_tokens import find_signer, show_with_tokens
from muster.server.services.reserve_queues import ShownGroup

NO_PROFILES = "No MQProfiles found for workflow id"


def activate_own(tx: Transaction, workflow: Workflow) -> None:
    """Activate the group of a workflow of ours. One that is active stays as it is."""
    tx.mq_groups.activate_new(workflow.workflow_id, criteria={"priority": workflow.priority}, at=tx.now())


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
        if find_obstacle_to_group(tx, parts, group, profiles) is not None:
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
