"""What is there to see of queues on the broker? Groups and profiles; the token of a public one is for those whose workflow it is."""

from collections.abc import Sequence

from muster.domain.caller import Caller
from muster.domain.errors import ForbiddenError, NotFoundError
from muster.domain.mq_profile import GroupedProfile, Kind, MqGroup
from muster.domain.queue import Queue
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow, get_queue, owns
from muster.server.services.queue_tokens import ShownProfile, show_with_tokens, show_without_tokens


async def get_group(parts: Parts, workflow_id: str) -> MqGroup:
    """Raises NotFoundError."""
    group = await parts.store.look(lambda tx: tx.mq_groups.find_group(workflow_id))
    if group is None:
        raise NotFoundError(f"no group of queues of {workflow_id}")
    return group


async def get_profile(parts: Parts, mqid: str) -> ShownProfile:
    """With its token, public or not. Raises NotFoundError."""
    found, now = await parts.store.look(lambda tx: (tx.mq_groups.find([mqid]), tx.now()))
    if mqid not in found:
        raise NotFoundError(f"no queue {mqid}")
    [shown] = await show_with_tokens(parts, [found[mqid]], now=now)
    return shown


async def get_own_profile(parts: Parts, caller: Caller, workflow_id: str, alias: str) -> tuple[Queue, ShownProfile]:
    """A public queue of a workflow that is the caller's, with its token.

    Raises:
        NotFoundError: no such workflow, or no such queue of it.
        ForbiddenError: it is another user's, or the queue is not public.
    """

    def look(tx: Transaction) -> tuple[Queue, GroupedProfile, float]:
        get_owned_workflow(tx, caller, workflow_id, shared=parts.settings.shared_workflows)
        queue = get_queue(tx, workflow_id, alias)
        if not queue.is_public:
            raise ForbiddenError(f"queue {alias} is not public: only tasks reach it")
        found = tx.mq_groups.find([queue.queue_id])
        if queue.queue_id not in found:
            raise NotFoundError(f"queue {alias} of {workflow_id} has no place on the broker")
        return queue, found[queue.queue_id], tx.now()

    queue, profile, now = await parts.store.read(look)
    [shown] = await show_with_tokens(parts, [profile], now=now)
    return queue, shown


async def list_public_profiles(parts: Parts, caller: Caller, workflow_id: str) -> Sequence[ShownProfile]:
    """By position; none for a workflow that nobody knows. Tokens only for those who may have them."""

    def look(tx: Transaction) -> tuple[Sequence[GroupedProfile], str | None, float]:
        profiles = tx.mq_groups.list_of_workflow(workflow_id, only_public=True)
        is_ours = bool(profiles) and profiles[0].group.kind is not Kind.FOREIGN
        return profiles, tx.workflows.get(workflow_id).owner_group if is_ours else None, tx.now()

    profiles, owner_group, now = await parts.store.read(look)
    if profiles and not may_have_tokens(parts, caller, profiles[0].group, owner_group):
        return show_without_tokens(parts, profiles)
    return await show_with_tokens(parts, profiles, now=now)


def may_have_tokens(parts: Parts, caller: Caller, group: MqGroup, owner_group: str | None) -> bool:
    """May this person's programs use the public queues? Whose another service's workflows are, it knows alone: there any user may."""
    is_everybodys = group.kind is Kind.FOREIGN or parts.settings.shared_workflows
    return is_everybodys or owns(caller, group.owner, group=owner_group)
