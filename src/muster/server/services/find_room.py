"""Is there room for what wants to be let in? Measured and judged in the transaction that lets it in, against the limits of the settings.

What workflows of ours use ends with them. Of another service's workflow nothing tells the end (mqs.md section 8): its queues are in use for
as long as a token of theirs is good, which is renewed while somebody reads their profiles.
"""

from collections.abc import Sequence

from muster.domain.admission import Limit, Use, find_obstacle
from muster.domain.mq_profile import GroupedProfile, MqGroup
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts

_ADMISSION = "admission"


def has_limits(parts: Parts) -> bool:
    """Is anything held back at all?"""
    return not (parts.settings.limit.is_none and parts.settings.owner_limit.is_none)


def take_turn(tx: Transaction) -> None:
    """Before anything is locked or measured that is to be let in: two services that count at once would let in one too many."""
    tx.take_turn(_ADMISSION)


def find_obstacle_to(tx: Transaction, parts: Parts, workflow: Workflow) -> str | None:
    """Why a workflow of ours that waits is not let in, as half a sentence; None: there is room."""
    if not has_limits(parts):
        return None
    uses = tx.workflows.measure_use(workflow.workflow_id, workflow.owner)
    foreign = _measure_foreign(tx, parts, workflow.owner)
    return find_obstacle(
        uses.wanted,
        own=uses.own + foreign[0],
        every=uses.every + foreign[1],
        own_limit=parts.settings.owner_limit,
        limit=parts.settings.limit,
    )


def find_obstacle_to_group(
    tx: Transaction, parts: Parts, group: MqGroup, profiles: Sequence[GroupedProfile]
) -> str | None:
    """The same of a group of another service's, of which only the queues are known. One that is in use has its room."""
    limit, own_limit = Limit(queues=parts.settings.limit.queues), Limit(queues=parts.settings.owner_limit.queues)
    now = tx.now()
    is_in_use = any(one.profile.stamp is not None and one.profile.stamp.expires_at > now for one in profiles)
    if is_in_use or (limit.is_none and own_limit.is_none):
        return None
    uses = tx.workflows.measure_use(group.workflow_id, group.owner)
    foreign = _measure_foreign(tx, parts, group.owner)
    return find_obstacle(
        Use(queues=len(profiles)),
        own=uses.own + foreign[0],
        every=uses.every + foreign[1],
        own_limit=own_limit,
        limit=limit,
    )


def _measure_foreign(tx: Transaction, parts: Parts, owner: str) -> tuple[Use, Use]:
    """What other services' groups use: those of one owner, and all."""
    if parts.settings.limit.queues is None and parts.settings.owner_limit.queues is None:
        return Use(), Use()
    own, every = tx.mq_groups.count_in_use(owner, now=tx.now())
    return Use(queues=own), Use(queues=every)
