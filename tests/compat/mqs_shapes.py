"""What do the answers of the queue service look like, field by field?

Source: mqs.md sections 4, 5 and 7.3. Section 11 lists no difference of `/v0` in an answer, so one set of shapes holds for
both.
"""

from typing import Annotated, Literal

from msgspec import Meta

from compat.exact import Exact

QueueId = Annotated[str, Meta(pattern="^a[0-9a-f]{20}$")]
KeyId = Annotated[str, Meta(pattern="^[0-9a-f]{128}$")]
Base64Url = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$")]


class Criteria(Exact):
    priority: int


class MQGroupObject(Exact):
    workflow_id: str
    timestamp: float
    criteria: Criteria | None


class MQProfileObject(Exact):
    mqid: QueueId
    workflow_id: str
    timestamp: float
    alias: str
    is_public: bool
    is_activated: bool
    auth_token: str | None
    broker_type: str | None
    broker_address: str | None

    def __post_init__(self) -> None:
        connection = (self.auth_token, self.broker_type, self.broker_address)
        if not self.is_activated and connection != (None, None, None):
            raise ValueError("a profile that is not activated has no token and no broker")
        if (self.broker_type is None) != (self.broker_address is None):
            raise ValueError("a broker has a type and an address")
        if self.broker_address is not None and not all(self.broker_address.partition("@")):
            raise ValueError("a broker's address is <user>@<host>")


class Reserved(Exact):
    """The answer of a reservation, and of an activation."""

    mqgroup: MQGroupObject
    mqprofiles: list[MQProfileObject]


class PublicProfiles(Exact):
    mqprofiles: list[MQProfileObject]


class JsonWebKey(Exact):
    kid: KeyId
    kty: Literal["RSA"]
    key_ops: list[Literal["verify"]]
    n: Base64Url
    e: Base64Url


class JsonWebKeys(Exact):
    keys: list[JsonWebKey]
