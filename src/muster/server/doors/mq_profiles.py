"""How does a queue on the broker look to EWMS clients? The one object that two of their doors show (mqs.md section 5)."""

import msgspec

from muster.server.services.queue_tokens import ShownProfile


class MQProfileObject(msgspec.Struct):
    """mqs.md 5, in upstream's order."""

    mqid: str
    workflow_id: str
    timestamp: float
    alias: str
    is_public: bool
    is_activated: bool
    auth_token: str | None
    broker_type: str | None
    broker_address: str | None


def render_profile(shown: ShownProfile) -> MQProfileObject:
    """A profile, with as much as may be seen of it."""
    profile, group, broker = shown.grouped.profile, shown.grouped.group, shown.broker
    return MQProfileObject(
        mqid=profile.mqid,
        workflow_id=group.workflow_id,
        timestamp=group.created_at,
        alias=profile.alias,
        is_public=profile.is_public,
        is_activated=group.activated_at is not None,
        auth_token=shown.token,
        broker_type=None if broker is None else broker.kind,
        broker_address=None if broker is None else broker.login_address,
    )
