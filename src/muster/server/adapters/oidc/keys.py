"""Which keys does an issuer publish that a token may be signed with, and is this one signed with one of them?

Source: RFC 7517 (key sets), RFC 7518 sections 3.3 and 3.4 (key sizes).
"""

import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64decode

from muster.server.adapters.oidc.token import ALGORITHMS, HEADER_CHARS_MAX, TOKEN_CHARS_MAX, UncheckedToken

RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
"""A longer key would take longer to check with than a request may cost."""
KEYS_MAX = 100
_OF_TYPE = {"RSA": frozenset({"RS256", "RS512"}), "EC": frozenset({"ES256"})}


@dataclass(frozen=True)
class PublicKey:
    """One key of an issuer.

    Args:
        algorithms: what it may sign.
    """

    kid: str | None
    algorithms: frozenset[str]
    key: RSAKey | ECKey


class _Registry(jws.JWSRegistry):
    """What joserfc takes: our algorithms and sizes, and headers that say more than it knows."""

    max_header_length = HEADER_CHARS_MAX
    max_payload_length = TOKEN_CHARS_MAX
    max_signature_length = RSA_BITS_MAX // 6 + 2


_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


def read_keys(published: Mapping[str, object]) -> tuple[Sequence[PublicKey], Sequence[str]]:
    """The keys of a key set that tokens may be signed with, and why the others are not among them.

    Raises ValueError when it is no key set.
    """
    found = published.get("keys")
    if not isinstance(found, list):
        raise ValueError("it has no list of keys")  # noqa: TRY004 - of what was read, not of an argument
    keys, refusals = [], []
    for one in found[:KEYS_MAX]:
        try:
            keys.append(_read_key(one))
        except (JoseError, ValueError, TypeError) as error:
            kid = one.get("kid") if isinstance(one, dict) else None
            refusals.append(f"{str(kid)[:100]}: {error}")
    return keys, refusals


def find_keys(keys: Iterable[PublicKey], *, kid: str | None, algorithm: str) -> Sequence[PublicKey]:
    """The keys that a token may be signed with that says so; a token that names none may where there is just one."""
    fitting = [one for one in keys if algorithm in one.algorithms]
    if kid is None:
        return fitting if len(fitting) == 1 else []
    return [one for one in fitting if one.kid == kid]


def is_signed(token: UncheckedToken, keys: Iterable[PublicKey]) -> bool:
    """Is the token signed with one of the keys?"""
    return any(_is_signed_with(token, one) for one in keys)


def _is_signed_with(token: UncheckedToken, published: PublicKey) -> bool:
    try:
        jws.deserialize_compact(token.text, published.key, registry=_REGISTRY)
    except (JoseError, ValueError):
        return False
    return True


def _read_key(jwk: object) -> PublicKey:
    """Raises JoseError, ValueError, TypeError: it is none that we take."""
    if not isinstance(jwk, dict):
        raise TypeError("is no object")
    type_, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(type_, str) or type_ not in _OF_TYPE:
        raise ValueError("is of a type that signs no token here")
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("is not for signatures")
    algorithms = _OF_TYPE[type_] if algorithm is None else _OF_TYPE[type_] & {algorithm}
    if not algorithms:
        raise ValueError("is for an algorithm that is not taken")
    if kid is not None and not isinstance(kid, str):
        raise TypeError("has a name (`kid`) that is no text")
    # Only what is public of it, also when the issuer publishes more.
    return PublicKey(kid, algorithms, _import_rsa(jwk) if type_ == "RSA" else _import_ec(jwk))


def _import_rsa(jwk: Mapping[str, object]) -> RSAKey:
    modulus, exponent = jwk.get("n"), jwk.get("e")
    if not isinstance(modulus, str) or not isinstance(exponent, str):
        raise TypeError("has no modulus and exponent")
    bits = int.from_bytes(_decode(modulus), "big").bit_length()
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise ValueError(f"has {bits} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken")
    return RSAKey.import_key({"kty": "RSA", "n": modulus, "e": exponent})


def _import_ec(jwk: Mapping[str, object]) -> ECKey:
    curve, x, y = jwk.get("crv"), jwk.get("x"), jwk.get("y")
    if curve != "P-256" or not isinstance(x, str) or not isinstance(y, str):
        raise ValueError("is not of the curve P-256")
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})


def _decode(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text.encode())
    except binascii.Error:
        raise ValueError("has a number that is not base64url") from None
