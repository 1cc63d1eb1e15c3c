"""What does a queue's token say? Its claims, in the form that RabbitMQ reads ("rich authorization requests").

Source: mqs.md section 7.1; RFC 9396.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muster.domain.mq_profile import Rights, TokenStamp

ISSUER_PATH = "mqbroker-issuer"
TTL_S_MAX = 366 * 86_400.0
"""Seconds that a token lasts at most; 0 means this too."""
DEFAULT_EXCHANGE = "amq.default"


@dataclass(frozen=True)
class PublicKey:
    """An RSA key by which tokens are verified.

    Args:
        kid: SHA-512 of the public key file's bytes, 128 hex digits.
        n, e: modulus and exponent as a JWK has them (base64url).
    """

    kid: str
    n: str
    e: str


@dataclass(frozen=True)
class Broker:
    """The broker that people's programs use, and how its tokens are made out.

    Args:
        kind: e.g. `rabbitmq`.
        address: host, and optional `:port/vhost`.
        user: the name that programs log in with; the token is the password.
        resource_server_id, resource_server_type: what the broker calls itself; audience of the tokens and type of their details.
        issuer: of the tokens.
        ttl_s: seconds that a token is good for.
        renew_share: a token with less than this share of its life left is renewed when it is read.
    """

    kind: str
    address: str
    user: str
    resource_server_id: str
    resource_server_type: str
    issuer: str
    ttl_s: float
    renew_share: float

    @property
    def login_address(self) -> str:
        """As profiles show it: user, `@`, address."""
        return f"{self.user}@{self.address}"

    def make_stamp(self, kid: str, *, now: float) -> TokenStamp:
        """Of a token that is made now."""
        return TokenStamp(kid, now, now + self.ttl_s)


def limit_ttl(ttl_s: float) -> float:
    """Seconds that a token lasts when so many are set: 0, and more than the most, mean the most (as upstream)."""
    return min(ttl_s, TTL_S_MAX) or TTL_S_MAX


def join_issuer(base_url: str) -> str:
    """The issuer of a service with this address; a path of the address stays, with a final slash and without."""
    return f"{base_url.rstrip('/')}/{ISSUER_PATH}"


def render_claims(broker: Broker, stamp: TokenStamp, *, mqid: str, rights: Rights) -> Mapping[str, Any]:
    """The claims of the token of a queue. The same for the same arguments, in the same order: so is the token."""
    details = []
    if rights.on_queue:
        details.append(_render_detail(broker, f"queue:{mqid}", [action.value for action in rights.on_queue]))
    if rights.publishes:
        details.append(_render_detail(broker, f"exchange:{DEFAULT_EXCHANGE}", ["write"]))
    return {
        "iss": broker.issuer,
        "sub": broker.user,
        "aud": broker.resource_server_id,
        "iat": stamp.issued_at,
        "nbf": stamp.issued_at,
        "exp": stamp.expires_at,
        "authorization_details": details,
    }


def _render_detail(broker: Broker, resource: str, actions: list[str]) -> Mapping[str, Any]:
    return {
        "type": broker.resource_server_type,
        "locations": [f"cluster:{broker.resource_server_id}/{resource}"],
        "actions": actions,
    }
