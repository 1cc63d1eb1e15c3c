"""Which pair of keys signs queue tokens now? The one in two PEM files, which may be exchanged while the service runs (mqs.md 7.3).

What is in the files counts, not when they were written: a pair that was put back is noticed like a new one. A pair is taken when both
halves can be read and belong to each other; until then the pair before signs on. So it does not matter in which order they are written.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from joserfc import jws
from joserfc.jwk import RSAKey

from muster.domain.errors import Finding, InvalidError
from muster.domain.queue_token import PublicKey

log = structlog.get_logger(__name__)

ALGORITHM = "RS256"
BITS_MIN = 2048
"""Of an RSA key: RFC 7518, section 3.3."""
FILE_BYTES_MAX = 64 << 10
PUBLIC_FIELD, PRIVATE_FIELD = "broker_public_key_file", "broker_private_key_file"
"""What the two files are called in the settings."""
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)
_MAKE_PUBLIC = "make it with `openssl pkey -in <private key file> -pubout`"
_MAKE_PRIVATE = "make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`"


@dataclass(frozen=True)
class Pair:
    """See `muster.server.ports.mq.SigningKey`."""

    public: PublicKey
    private: RSAKey

    def sign(self, claims: Mapping[str, Any]) -> str:
        header = {"alg": ALGORITHM, "kid": self.public.kid, "typ": "JWT"}
        return jws.serialize_compact(header, msgspec.json.encode(claims), self.private, algorithms=[ALGORITHM])


def parse_pair(public: bytes, private: bytes) -> Pair:
    """The pair of these files' contents. Raises InvalidError with a finding for each half that is not what it should be."""
    findings: list[Finding] = []
    verifying, signing = _import_public(public, findings), _import_private(private, findings)
    if verifying is None or signing is None:
        raise InvalidError(findings)
    if verifying.public_numbers() != signing.public_key().public_numbers():
        reason = f"is not the public half of the key in the private key's file: {_MAKE_PUBLIC}"
        raise InvalidError([Finding(PUBLIC_FIELD, reason)])
    key = RSAKey.import_key(signing)
    said = key.as_dict(private=False)
    return Pair(PublicKey(hashlib.sha512(public).hexdigest(), str(said["n"]), str(said["e"])), key)


def _import_public(content: bytes, findings: list[Finding]) -> RSAPublicKey | None:
    try:
        key = load_pem_public_key(content)
    except _UNREADABLE:
        key = None
    if isinstance(key, RSAPublicKey):
        return key if _is_long_enough(key.key_size, PUBLIC_FIELD, findings) else None
    findings.append(Finding(PUBLIC_FIELD, f"does not hold an RSA public key in PEM form: {_MAKE_PUBLIC}"))
    return None


def _import_private(content: bytes, findings: list[Finding]) -> RSAPrivateKey | None:
    try:
        key = load_pem_private_key(content, password=None)
    except _UNREADABLE:
        key = None
    if isinstance(key, RSAPrivateKey):
        return key if _is_long_enough(key.key_size, PRIVATE_FIELD, findings) else None
    reason = f"does not hold an RSA private key in PEM form, not encrypted: {_MAKE_PRIVATE}"
    findings.append(Finding(PRIVATE_FIELD, reason))
    return None


def _is_long_enough(bits: int, field: str, findings: list[Finding]) -> bool:
    if bits < BITS_MIN:
        findings.append(Finding(field, f"holds a key of {bits} bits; it must have at least {BITS_MIN}"))
    return bits >= BITS_MIN


class KeyFiles:
    """See `muster.server.ports.mq.QueueKeys`."""

    def __init__(self, *, public: Path, private: Path) -> None:
        self._paths = {PUBLIC_FIELD: public, PRIVATE_FIELD: private}
        self._contents: tuple[bytes, bytes] | None = None
        self._marks: tuple[object, ...] | None = None
        self._pair: Pair | None = None
        self._told = ""
        self._lock = anyio.Lock()

    async def find_current(self, *, reads: bool = False) -> Pair | None:
        if reads or self._marks != self._look():
            async with self._lock:
                await self._look_again(reads=reads)
        return self._pair

    async def get_current(self) -> Pair:
        """The pair as it is now. Raises InvalidError with everything that is wrong with the files."""
        async with self._lock:
            return await self._reload()

    async def check(self) -> None:
        """Raises InvalidError with everything that is wrong with the files; takes none of them."""
        parse_pair(*await anyio.to_thread.run_sync(self._read))

    async def _look_again(self, *, reads: bool) -> None:
        """Whoever had the lock before may have read what we came to read."""
        if not reads and self._marks == self._look():
            return
        try:
            await self._reload()
        except InvalidError as error:
            self._tell(str(error))

    async def _reload(self) -> Pair:
        marks = self._look()  # before the contents are read: what changes later is seen at the next look
        try:
            contents = await anyio.to_thread.run_sync(self._read)
            if contents != self._contents or self._pair is None:
                pair = await anyio.to_thread.run_sync(partial(parse_pair, *contents))
                log.info("the pair of keys for queue tokens is taken", kid=pair.public.kid)
                self._contents, self._pair, self._told = contents, pair, ""
        finally:
            self._marks = marks
        return self._pair

    def _look(self) -> tuple[object, ...]:
        """What the file system says of the files: another value when they have changed. Two calls, of microseconds."""
        marks: list[object] = []
        for path in self._paths.values():
            try:
                found = os.stat(path)  # noqa: PTH116 - by the time a Path has done it, it could be read
            except OSError as error:
                marks.append(error.errno)
            else:
                marks.append((found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        return tuple(marks)

    def _read(self) -> tuple[bytes, bytes]:
        """Both files. Raises InvalidError, naming each that cannot be read."""
        findings, contents = [], []
        for field, path in self._paths.items():
            try:
                with path.open("rb") as file:
                    contents.append(file.read(FILE_BYTES_MAX))
            except OSError as error:
                reason = f"{path} cannot be read: {error.strerror}. Name a PEM file that the service may read"
                findings.append(Finding(field, reason))
        if findings:
            raise InvalidError(findings)
        public, private = contents
        return public, private

    def _tell(self, fault: str) -> None:
        """Once for each fault: it is looked at often."""
        if fault != self._told:
            self._told = fault
            signs_on = None if self._pair is None else self._pair.public.kid
            log.warning("the key files for queue tokens cannot be used", reason=fault, signs_on=signs_on)
