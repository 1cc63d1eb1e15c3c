"""Whose keys sign in these tests? Real RSA pairs, made once a run, written to files as an operator would; and who verifies."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from muster.domain.queue_token import Broker
from muster.server.adapters.key_files.pair import KeyFiles

BROKER = Broker(
    kind="rabbitmq",
    address="mq.example.org",
    user="user",
    resource_server_id="my-server",
    resource_server_type="my-type",
    issuer="https://h/sub/mqbroker-issuer",
    ttl_s=3600.0,
    renew_share=0.5,
)


@dataclass(frozen=True)
class Pem:
    """A pair as files have it."""

    public: bytes
    private: bytes

    @property
    def kid(self) -> str:
        return hashlib.sha512(self.public).hexdigest()


@cache
def pair(number: int) -> Pem:
    """The pair of that number; the same for the whole run."""
    return make_pair()


def make_pair(bits: int = 2048) -> Pem:
    key = rsa.generate_private_key(65537, bits)
    return Pem(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


@dataclass(frozen=True)
class Files:
    """The two files of an operator, in a folder."""

    folder: Path

    @property
    def public(self) -> Path:
        return self.folder / "public.pem"

    @property
    def private(self) -> Path:
        return self.folder / "private.pem"

    def write(self, pem: Pem) -> None:
        self.folder.mkdir(exist_ok=True)
        self.public.write_bytes(pem.public)
        self.private.write_bytes(pem.private)

    def open(self) -> KeyFiles:
        return KeyFiles(public=self.public, private=self.private)


def verify(token: str, key_set: Mapping[str, Any], *, now: float | None = None) -> Mapping[str, Any]:
    """The claims of a token that the published keys verify. Raises an error of joserfc, or AssertionError."""
    decoded = jwt.decode(token, KeySet.import_key_set(key_set), algorithms=["RS256"])  # type: ignore[arg-type]
    at = time.time() if now is None else now
    assert decoded.claims["nbf"] <= at < decoded.claims["exp"]
    return decoded.claims


def claims_of(token: str) -> Mapping[str, Any]:
    """What a token says, verified or not."""
    claims: Mapping[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return claims


def kid_of(token: str) -> str:
    header = jws.extract_compact(token.encode()).protected
    return str(header["kid"])
