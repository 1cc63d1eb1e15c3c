"""What travels between clients of the queue service and us? One struct a message, with exactly upstream's fields (mqs.md 4, 5)."""

from typing import Any

import msgspec

from muster.server.doors.mq_profiles import MQProfileObject


class OldReservation(msgspec.Struct):
    """POST /v0/mqs/workflows/{workflow_id}/mq-group/reservation: other fields may come along."""

    queue_aliases: list[str]
    public: list[str] = []


class Reservation(OldReservation, forbid_unknown_fields=True):
    """POST /v1/mqs/workflows/{workflow_id}/mq-group/reservation"""


class OldCriteria(msgspec.Struct):
    """When the group is activated before others; other fields may come along."""

    priority: int


class Criteria(OldCriteria, forbid_unknown_fields=True):
    """When the group is activated before others."""


class OldActivation(msgspec.Struct):
    """POST /v0/mqs/workflows/{workflow_id}/mq-group/activation: other fields may come along."""

    criteria: OldCriteria | None = None


class Activation(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/mqs/workflows/{workflow_id}/mq-group/activation. Older workflow services send the id too, which says nothing new."""

    criteria: Criteria | None = None
    workflow_id: Any = None


class MQGroupObject(msgspec.Struct):
    """mqs.md 5"""

    workflow_id: str
    timestamp: float
    criteria: dict[str, int] | None


class GroupAnswer(msgspec.Struct):
    """Answer to reservation and activation."""

    mqgroup: MQGroupObject
    mqprofiles: list[MQProfileObject]


class TryAgainLater(msgspec.Struct):
    """Answer to an activation for which there is no room (mqs.md 4.4): the workflow service asks again."""

    try_again_later: bool = True


class PublicAnswer(msgspec.Struct):
    """The public profiles of a workflow."""

    mqprofiles: list[MQProfileObject]


class KeyObject(msgspec.Struct):
    """A key as mqs.md 7.3 has it (RFC 7517, section 4)."""

    kid: str
    kty: str
    key_ops: list[str]
    n: str
    e: str


class KeySetObject(msgspec.Struct):
    """GET /mqbroker-issuer/.well-known/jwks.json (RFC 7517, section 5)"""

    keys: list[KeyObject]
