"""Is this text a token that may be looked into, and do its claims hold now? Checks of one JWT that need no key.

What a token says of the key to check it with is never followed, be it a key, an address or a certificate in its header. Only the keys that
its issuer publishes count, chosen by `kid`. Source: RFC 7515, 7519, 8725; wms.md section 3 (algorithms, claims, leeway).
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from muster.domain.errors import UnauthenticatedError

ALGORITHMS = frozenset({"RS256", "RS512", "ES256"})
LEEWAY_S = 60.0
TIME_MAX = 2**40
"""Seconds since the epoch that a clock can mean."""
TOKEN_CHARS_MAX = 16_384
HEADER_CHARS_MAX = 2_048
_REFUSED = ("b64", "crit", "jku", "jwk", "x5c", "x5u")
"""Parameters of a header that would change how the token is read, or say what to check it with."""
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""A token with another `typ` was made for something else, say a logout (RFC 8725, section 3.11)."""


@dataclass(frozen=True)
class UncheckedToken:
    """What a token says; nobody has checked its signature.

    Args:
        kid: which key it says it is signed with; None: it does not say.
    """

    text: str
    algorithm: str
    kid: str | None
    claims: Mapping[str, object]


def parse_token(text: str) -> UncheckedToken:
    """Read a compact JWS whose payload is a JSON object. Raises UnauthenticatedError."""
    if len(text) > TOKEN_CHARS_MAX:
        raise UnauthenticatedError(f"the token is longer than {TOKEN_CHARS_MAX} characters")
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii() or len(parts[0]) > HEADER_CHARS_MAX:
        raise UnauthenticatedError("the token is not a signed JWT (three parts with dots between them)")
    header = _decode(parts[0], "header")
    algorithm, kid, type_ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise UnauthenticatedError(f"the token is not signed by one of: {', '.join(sorted(ALGORITHMS))}")
    if refused := [one for one in _REFUSED if one in header]:
        raise UnauthenticatedError(f"the token's header has {', '.join(refused)}, which is not taken")
    if type_ is not None and (not isinstance(type_, str) or type_.lower() not in _TYPES):
        raise UnauthenticatedError("the token is of another type than an access token (`typ` of its header)")
    if kid is not None and not isinstance(kid, str):
        raise UnauthenticatedError("the token names its key (`kid`) by something that is no text")
    return UncheckedToken(text, algorithm, kid, _decode(parts[1], "payload"))


def get_text(claims: Mapping[str, object], name: str) -> str:
    """A claim that is required and a text. Raises UnauthenticatedError."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise UnauthenticatedError(f"the token has no `{name}` that is a text")
    return value


def check_claims(claims: Mapping[str, object], *, audiences: frozenset[str], now_s: float) -> float:
    """Do times and audience hold?

    Args:
        audiences: one of them must be in `aud`; none: it is not looked at.
        now_s: seconds since the epoch.

    Returns:
        When the token expires, in seconds since the epoch.

    Raises:
        UnauthenticatedError: they do not, or `exp`, `iat` or `sub` is missing.
    """
    get_text(claims, "sub")
    expires_s, issued_s = _get_time(claims, "exp"), _get_time(claims, "iat")
    if now_s >= expires_s + LEEWAY_S:
        raise UnauthenticatedError("the token has expired: get a new one")
    begins_s = issued_s if claims.get("nbf") is None else max(issued_s, _get_time(claims, "nbf"))
    if begins_s > now_s + LEEWAY_S:
        raise UnauthenticatedError("the token is not good yet (`iat` or `nbf` lies ahead): is a clock wrong?")
    if audiences and audiences.isdisjoint(_list_audiences(claims)):
        raise UnauthenticatedError(
            f"the token is not for this service: `aud` must have {' or '.join(sorted(audiences))}"
        )
    return expires_s


def _get_time(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if (
        isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < TIME_MAX
    ):  # nor is "not a number" one
        raise UnauthenticatedError(f"the token has no `{name}` in seconds since the epoch")
    return float(value)


def _list_audiences(claims: Mapping[str, object]) -> list[str]:
    value = claims.get("aud")
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _decode(part: str, what: str) -> dict[str, object]:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars="-_", validate=True)
        return msgspec.json.decode(raw, type=dict[str, object])
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError):
        raise UnauthenticatedError(f"the token's {what} is no JSON object in base64url") from None
