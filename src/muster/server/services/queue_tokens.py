"""Which token goes with a profile? Signed when it is read, from what is stored of it; a new one where the old one is used up.

RS256 gives the same signature for the same claims, so no token is kept, and yet it is the same until it is renewed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio.to_thread

from muster.domain.mq_profile import GroupedProfile
from muster.domain.queue_token import Broker, render_claims
from muster.server.ports.mq import SigningKey
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.publish_keys import find_signing_key


@dataclass(frozen=True)
class ShownProfile:
    """A profile with what goes with it.

    Args:
        broker: None: it is not activated, or there is no broker.
        token: None: as `broker`, or it is not for this caller, or the key that signed it is gone and its workflow has ended.
    """

    grouped: GroupedProfile
    broker: Broker | None
    token: str | None


@dataclass(frozen=True)
class Signer:
    """All it takes to make tokens."""

    broker: Broker
    key: SigningKey

    def renew(self, tx: Transaction, mqids: Collection[str]) -> Mapping[str, GroupedProfile]:
        """Give those of the profiles that need one a new token; returns all of them as they are then."""
        found = self._lock(tx, mqids)
        now, kid, share = tx.now(), self.key.public.kid, self.broker.renew_share
        due = [mqid for mqid, one in found.items() if one.needs_token(now=now, kid=kid, share=share)]
        return {**found, **self._stamp(tx, due, found)}

    def replace(self, tx: Transaction, mqids: Collection[str]) -> Mapping[str, GroupedProfile]:
        """Give every one of the profiles a new token."""
        return self._stamp(tx, mqids, self._lock(tx, mqids))

    @staticmethod
    def _lock(tx: Transaction, mqids: Collection[str]) -> Mapping[str, GroupedProfile]:
        groups = {one.group.workflow_id for one in tx.mq_groups.find(mqids).values()}
        for workflow_id in sorted(groups):
            tx.mq_groups.find_group(workflow_id, lock=True)
        return tx.mq_groups.find(mqids)  # as whoever held the lock before left them

    def _stamp(
        self, tx: Transaction, mqids: Collection[str], found: Mapping[str, GroupedProfile]
    ) -> Mapping[str, GroupedProfile]:
        if not mqids:
            return {}
        now = tx.now()
        stamp = self.broker.make_stamp(self.key.public.kid, now=now)
        tx.mq_groups.stamp(mqids, stamp)
        tx.published_keys.keep_until(self.key.public, stamp.expires_at, now=now, ttl_s=self.broker.ttl_s)
        return {mqid: replace(found[mqid], profile=replace(found[mqid].profile, stamp=stamp)) for mqid in mqids}

    async def sign(self, profiles: Sequence[GroupedProfile]) -> Sequence[str | None]:
        """The token of each. None: it has none, or the key that signed it is not at hand any more."""

        def sign_all() -> list[str | None]:
            return [self._sign(one) for one in profiles]

        return await anyio.to_thread.run_sync(sign_all)

    def _sign(self, one: GroupedProfile) -> str | None:
        stamp = one.profile.stamp
        if stamp is None or stamp.kid != self.key.public.kid:
            return None
        return self.key.sign(render_claims(self.broker, stamp, mqid=one.profile.mqid, rights=one.rights))


async def find_signer(parts: Parts) -> Signer | None:
    """None where no tokens are made: there is no broker, or there are no keys."""
    key = await find_signing_key(parts)
    return None if parts.broker is None or key is None else Signer(parts.broker, key)


async def show_with_tokens(parts: Parts, profiles: Sequence[GroupedProfile], *, now: float) -> Sequence[ShownProfile]:
    """The profiles with their tokens, renewed where that is due.

    Args:
        now: when the profiles were read, seconds since the epoch.
    """
    signer = await find_signer(parts) if profiles else None
    if signer is None:
        return show_without_tokens(parts, profiles)
    kid, share = signer.key.public.kid, signer.broker.renew_share
    due = [one.profile.mqid for one in profiles if one.needs_token(now=now, kid=kid, share=share)]
    if due:
        renewed = await parts.store.write(partial(signer.renew, mqids=due))
        parts.measures.tokens["queue"] += len(due)
        profiles = [renewed.get(one.profile.mqid, one) for one in profiles]
    tokens = await signer.sign(profiles)
    shown = show_without_tokens(parts, profiles)
    return [replace(one, token=token) for one, token in zip(shown, tokens, strict=True)]


def show_without_tokens(parts: Parts, profiles: Sequence[GroupedProfile]) -> Sequence[ShownProfile]:
    """The profiles as those see them for whom the tokens are not."""
    return [ShownProfile(one, parts.broker if one.group.activated_at is not None else None, None) for one in profiles]
