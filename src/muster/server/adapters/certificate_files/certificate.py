"""With which certificate does the service show itself? The one in two PEM files, which may be exchanged while it runs.

Connections that stand go on; new ones get what the files hold since the last look. Files that do not go together (the one is
written, the other not yet) change nothing.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread
import structlog

from muster.domain.errors import Finding, InvalidError

log = structlog.get_logger(__name__)

RELOAD_S = 1.0
"""Seconds between two looks at the files."""
CERTIFICATE_FIELD, KEY_FIELD = "tls_certificate_file", "tls_key_file"
"""What the two files are called in the settings."""


def find_certificate(certificate: Path | None, key: Path | None) -> "CertificateFiles | None":
    """The certificate of these settings; None where none is set. Raises InvalidError: only one file is named, or they do not do."""
    if certificate is not None and key is not None:
        return CertificateFiles(certificate=certificate, key=key)
    if certificate is None and key is None:
        return None
    missing, other = (KEY_FIELD, "certificate") if key is None else (CERTIFICATE_FIELD, "key")
    raise InvalidError([Finding(missing, f"is not set, and the file of the {other} is: name both PEM files, or none")])


class CertificateFiles:
    """A TLS context that follows the files. Raises InvalidError when they do not do at the start."""

    def __init__(self, *, certificate: Path, key: Path) -> None:
        self._paths = {CERTIFICATE_FIELD: certificate, KEY_FIELD: key}
        self.context = _make_context()
        self._told = ""
        self._contents = self._read()
        self._load(self.context, self._contents)

    async def reload(self) -> None:
        """A pass: take what is in the files now, if it is another certificate with its key."""
        await anyio.to_thread.run_sync(self._reload)

    def _reload(self) -> None:
        try:
            contents = self._read()
            if contents == self._contents:
                return
            # On another context first: one that is given a certificate and then a wrong key is broken until it gets the right one.
            self._load(_make_context(), contents)
            self._load(self.context, contents)
        except InvalidError as error:
            if str(error) != self._told:  # once for each fault: it is looked at often
                self._told = str(error)
                log.warning("the certificate's files cannot be used; the one before goes on", reason=self._told)
            return
        self._contents, self._told = contents, ""
        log.info("the certificate is exchanged", file=str(self._paths[CERTIFICATE_FIELD]))

    def _read(self) -> tuple[bytes, ...]:
        findings, contents = [], []
        for field, path in self._paths.items():
            try:
                contents.append(path.read_bytes())
            except OSError as error:
                reason = f"{path} cannot be read: {error.strerror}. Name a PEM file that the service may read"
                findings.append(Finding(field, reason))
        if findings:
            raise InvalidError(findings)
        return tuple(contents)

    def _load(self, context: ssl.SSLContext, contents: tuple[bytes, ...]) -> None:
        """What was read, and not what may have been written since."""
        certificate, key = self._paths.values()
        try:
            with _in_memory(contents[0]) as chain, _in_memory(contents[1]) as secret:
                context.load_cert_chain(chain, secret, password=_refuse_encrypted)
        except (ssl.SSLError, ValueError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise InvalidError(
                [Finding(CERTIFICATE_FIELD, f"{certificate} and {key} are no certificate with its key (PEM): {reason}")]
            ) from None


def _make_context() -> ssl.SSLContext:
    """TLS 1.2 and newer, whatever the system's OpenSSL would allow."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A name under which OpenSSL, which reads files alone, finds this; nothing comes to a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _refuse_encrypted() -> str:
    """OpenSSL asks for the password of an encrypted key; without this, at the terminal."""
    raise ValueError("the key is encrypted; write it without a password")
