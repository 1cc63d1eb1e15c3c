"""What does the server need to keep of queues on a broker? Groups, profiles, and the keys by which their tokens are verified."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from muster.domain.mq_profile import GroupedProfile, MqGroup, MqProfile, TokenStamp
from muster.domain.queue_token import PublicKey


class MqGroups(Protocol):
    """Rows of groups and profiles."""

    def insert(self, group: MqGroup, profiles: Sequence[MqProfile]) -> bool:
        """False, and nothing is written, when the workflow has a group. One in flight elsewhere is waited for."""

    def insert_first(self, group: MqGroup, profiles: Sequence[MqProfile]) -> None:
        """The same for a workflow that is stored in this transaction, so that nobody has given it a group yet."""

    def find_group(self, workflow_id: str, *, lock: bool = False) -> MqGroup | None:
        """With `lock` nobody else changes the group or its profiles until the commit."""

    def list_of_workflow(self, workflow_id: str, *, only_public: bool = False) -> Sequence[GroupedProfile]:
        """By position."""

    def find(self, mqids: Collection[str]) -> Mapping[str, GroupedProfile]:
        """Those of the named that exist."""

    def list_activations(self, workflow_ids: Collection[str]) -> Mapping[str, float]:
        """When each group was activated, seconds since the epoch; without those that are not, or have no group."""

    def count_in_use(self, *, now: float) -> Mapping[str, int]:
        """Queues of other services' groups that have a token which is good, by the groups' owner; without those that have none."""

    def activate(self, workflow_id: str, *, criteria: Mapping[str, int] | None, at: float) -> None:
        """Mark a group activated, and keep the criteria. One activated before keeps its time and takes the criteria."""

    def activate_new(self, criteria: Mapping[str, Mapping[str, int]], *, at: float) -> None:
        """As `activate`, by workflow id and at least one, but those activated before are left as they are."""

    def stamp(self, mqids: Collection[str], stamp: TokenStamp) -> None:
        """Give each of the profiles a new token."""

    def settle(self, upstream_locations: Collection[str]) -> None:
        """Give its kind to every group that a migration made: direct where a taskforce is at one of these locations."""


class PublishedKeys(Protocol):
    """Rows of public keys. A key is current, or expires: then when the last token that it signed does, or later."""

    def list_published(self, *, now: float) -> Sequence[PublicKey]:
        """The current one and those that have not expired, in the order in which they came."""

    def make_current(self, key: PublicKey, *, now: float, ttl_s: float) -> None:
        """Publish a key until another one takes its place; one that expires already does not any more. Every other that was
        current is kept for `ttl_s` from now, and longer where its tokens last longer. Any number of services may do so at once.
        """

    def keep_until(self, key: PublicKey, until: float, *, now: float, ttl_s: float) -> None:
        """A token that expires then is signed with this key: it stays published for as long. One that is not there is made current."""

    def delete_expired(self, *, now: float) -> int: ...


class SigningKey(Protocol):
    """A private key that signs tokens, with its public half."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The token of these claims (JWT, RS256): the same text for the same claims. Takes about a millisecond of a processor."""


class QueueKeys(Protocol):
    """Where the pair of keys comes from. It may change at any time, while the service runs."""

    async def find_current(self, *, reads: bool = False) -> SigningKey | None:
        """The pair as it is now: the last one that could be used. None: there was none yet.

        With `reads` the source is read whatever it says of its last change. Cheap without, when nothing has changed.
        """
