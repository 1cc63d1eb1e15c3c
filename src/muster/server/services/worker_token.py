"""Who is this worker? Enrolment secrets of taskforces and tokens of workers' sessions: signed, never stored.

Both are HMAC-SHA256 under `Parts.worker_key`, so they are the same after any crash, on every replica, and checking one asks no
database (docs/decisions/0004). A token names its session, its taskforce and its expiry; whether the *session* still lives
is known to the statement that every call makes anyway.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from functools import lru_cache

from muster.domain.errors import UnauthenticatedError
from muster.domain.ids import TASKFORCE_UUID

_SECRET_USE = b"muster enrolment secret 1\0"
_TOKEN_USE = b"muster worker token 1\0"
_TOKEN_PREFIX = "mwk1"  # noqa: S105 - names the format of a token
_HEAD = struct.Struct(">qq")  # session, expiry in whole seconds since the epoch
_TOKEN_CHARS_MAX = 400
CHECKED_MAX = 1 << 15
"""Tokens whose signature was found good are not computed again at each call: so many of those used last."""
_SECRET_CHARS_MAX = 400


@dataclass(frozen=True)
class WorkerClaims:
    """What a worker's token says.

    Args:
        session: number of the session.
        taskforce_uuid: the taskforce whose leases it opens.
        expires_at: whole seconds since the epoch.
    """

    session: int
    taskforce_uuid: str
    expires_at: int


def enrolment_secret(key: bytes, taskforce_uuid: str) -> str:
    """The secret with which the workers of a taskforce enrol; the same whenever it is asked for.

    Args:
        key: `Parts.worker_key`.
    """
    mac = hmac.digest(key, _SECRET_USE + taskforce_uuid.encode(), "sha256")
    return "mes1." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def is_enrolment_secret(key: bytes, taskforce_uuid: str, secret: str) -> bool:
    """Is it the secret of that taskforce? Takes as long for a wrong one as for a right one."""
    if len(secret) > _SECRET_CHARS_MAX:
        return False
    return hmac.compare_digest(enrolment_secret(key, taskforce_uuid).encode(), secret.encode("utf-8", "replace"))


def make_token(key: bytes, claims: WorkerClaims) -> str:
    """Sign a worker's token: printable, without spaces, about 120 characters."""
    payload = _HEAD.pack(claims.session, claims.expires_at) + claims.taskforce_uuid.encode()
    mac = hmac.digest(key, _TOKEN_USE + payload, "sha256")
    return ".".join((_TOKEN_PREFIX, _encode(payload), _encode(mac)))


def parse_token(key: bytes, token: str, *, now_s: float) -> WorkerClaims:
    """Check a worker's token.

    Args:
        now_s: seconds since the epoch, by this service's clock.

    Raises:
        UnauthenticatedError: it is not a worker's token, was altered, was signed with another key, or has expired.
    """
    claims = _check(key, token)
    if now_s >= claims.expires_at:
        raise UnauthenticatedError("the worker's token has expired; enrol again")
    return claims


@lru_cache(maxsize=CHECKED_MAX)
def _check(key: bytes, token: str) -> WorkerClaims:
    """The claims of a token that was signed with the key, at any time. Raises UnauthenticatedError, which is not kept."""
    claims = _read(token)
    # The whole token is made again and compared, so that no second spelling of one passes.
    if claims is None or not hmac.compare_digest(make_token(key, claims).encode(), token.encode("utf-8", "replace")):
        raise UnauthenticatedError("this is not a worker's token of this service; enrol to get one")
    return claims


def is_half_spent(claims: WorkerClaims, *, now_s: float, ttl_s: float) -> bool:
    """Is less than half of a token's time left, so that it should be renewed?"""
    return claims.expires_at - now_s < ttl_s / 2


def _read(token: str) -> WorkerClaims | None:
    """The claims that a token makes, unchecked; None when it does not have the form of one."""
    if len(token) > _TOKEN_CHARS_MAX:
        return None
    prefix, _, rest = token.partition(".")
    text, _, mac = rest.partition(".")
    if prefix != _TOKEN_PREFIX or not mac:
        return None
    try:
        payload = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        session, expires_at = _HEAD.unpack_from(payload)
        taskforce_uuid = payload[_HEAD.size :].decode("ascii")
    except (UnicodeError, binascii.Error, struct.error):
        return None
    if TASKFORCE_UUID.fullmatch(taskforce_uuid) is None:
        return None
    return WorkerClaims(session, taskforce_uuid, expires_at)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
