"""Does the service show its certificate, exchange it while it runs, and tell errors in the status line there too?"""

import contextlib
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from harness.certificates import Authority, Certificate
from harness.waiting import wait_for
from muster.domain.errors import InvalidError
from muster.server.adapters.certificate_files.certificate import CertificateFiles, find_certificate
from muster.server.app import serve
from muster.settings.parts import ServerSettings

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


@dataclass
class Tls:
    """The files of a service's certificate, and who vouches for it."""

    folder: Path
    authority: Authority

    def write(self, certificate: Certificate | None = None) -> tuple[Path, Path]:
        return (certificate or self.authority.issue(HOST)).write(self.folder / "tls")

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.authority.certificate.decode())


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path, Authority())


@asynccontextmanager
async def running(tls: Tls) -> AsyncIterator[str]:
    """The URL of a service with these files."""
    certificate, key = tls.folder / "tls/certificate.pem", tls.folder / "tls/key.pem"
    chosen = ServerSettings(
        database_url=f"sqlite:///{tls.folder / 'muster.db'}",
        token_file=tls.folder / "token",
        tls_certificate_file=certificate,
        tls_key_file=key,
    )
    urls: list[str] = []
    is_ready = anyio.Event()

    def tell(url: str) -> None:
        urls.append(url)
        is_ready.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(partial(serve, chosen, on_ready=tell, handle_signals=False))
            await is_ready.wait()
            yield urls[0]
            group.cancel_scope.cancel()


def ask(
    url: str, context: ssl.SSLContext, *paths: str, headers: Mapping[str, str] = {}
) -> list[tuple[int, str, bytes]]:
    """Status, reason phrase and body of each, over one connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)
    answers = []
    try:
        for path in paths:
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            answers.append((answer.status, answer.reason, answer.read()))
    finally:
        connection.close()
    return answers


def shown(url: str, context: ssl.SSLContext) -> str:
    """Which certificate a new connection is shown, as its serial number."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        certificate: Any = connection.sock.getpeercert()
        return str(certificate["serialNumber"])
    finally:
        connection.close()


async def in_thread(call: Any, *arguments: Any, **named: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(call, *arguments, **named))


async def test_it_answers_over_tls_with_reason_phrases(tls: Tls) -> None:
    tls.write()
    async with running(tls) as url:
        assert url.startswith("https://127.0.0.1:")
        token = (tls.folder / "token").read_text().strip()
        answers = await in_thread(
            ask,
            url,
            tls.client(),
            "/healthz",
            "/v1/mqs/mq-profiles/a0",
            "/mqbroker-issuer/.well-known/jwks.json",
            headers={"authorization": f"Bearer {token}"},
        )

    assert [(status, reason) for status, reason, _ in answers] == [
        (200, "OK"),
        (404, "MQProfile not found"),
        (200, "OK"),
    ]
    assert json.loads(answers[1][2]) == {"code": 404, "error": "MQProfile not found"}


async def test_who_does_not_know_the_authority_is_not_taken_in(tls: Tls) -> None:
    tls.write()
    async with running(tls) as url:
        with pytest.raises(ssl.SSLCertVerificationError):
            await in_thread(ask, url, ssl.create_default_context(), "/healthz")
        with pytest.raises((http.client.HTTPException, OSError)):
            await in_thread(_ask_plainly, url)
        assert (await in_thread(ask, url, tls.client(), "/healthz"))[0][0] == 200


def _ask_plainly(url: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
    finally:
        connection.close()


async def test_a_new_certificate_is_shown_without_a_restart_and_connections_go_on(tls: Tls) -> None:
    tls.write()
    async with running(tls) as url:
        context = tls.client()
        parts = urlsplit(url)
        kept = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=20)
        first = await in_thread(shown, url, context)
        assert await in_thread(_status, kept) == 200

        certificate, key = tls.folder / "tls/certificate.pem", tls.folder / "tls/key.pem"
        new = tls.authority.issue(HOST)
        certificate.write_bytes(new.certificate)  # for a moment the two do not go together
        assert await in_thread(shown, url, context) == first
        key.write_bytes(new.key)
        await in_thread(wait_for, lambda: shown(url, context) != first, "the new certificate is shown", deadline_s=30)
        assert await in_thread(_status, kept) == 200
        kept.close()


def _status(connection: http.client.HTTPSConnection) -> int:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    return answer.status


# -- files ---------------------------------------------------------------------------------------------------------------


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The serial number of the certificate that the server shows, without a network between them."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    for _ in range(3):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    certificate: Any = theirs.getpeercert()
    return str(certificate["serialNumber"])


async def test_files_that_do_not_go_together_change_nothing(tls: Tls) -> None:
    certificate, key = tls.write()
    files = CertificateFiles(certificate=certificate, key=key)
    first = shake_hands(files.context, tls.client())
    for spoil in (
        lambda: key.write_bytes(tls.authority.issue(HOST).key),
        lambda: key.write_bytes(b"no key"),
        key.unlink,
        certificate.unlink,
    ):
        spoil()
        await files.reload()
        assert shake_hands(files.context, tls.client()) == first
    tls.write()
    await files.reload()
    assert shake_hands(files.context, tls.client()) != first


def test_what_is_wrong_at_the_start_is_told(tls: Tls) -> None:
    certificate, key = tls.write()
    other = tls.authority.issue(HOST)

    def faults() -> dict[str, str]:
        with pytest.raises(InvalidError) as refused:
            find_certificate(certificate, key)
        return {one.field: one.reason for one in refused.value.findings}

    key.write_bytes(other.key)
    assert "are no certificate with its key" in faults()["tls_certificate_file"]
    key.write_bytes(_encrypt(other.key))
    assert "the key is encrypted" in faults()["tls_certificate_file"]
    key.unlink()
    assert "cannot be read: No such file" in faults()["tls_key_file"]
    certificate.unlink()
    assert set(faults()) == {"tls_certificate_file", "tls_key_file"}


def _encrypt(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize(("given", "missing"), [("certificate", "tls_key_file"), ("key", "tls_certificate_file")])
def test_one_file_alone_is_refused(tmp_path: Path, given: str, missing: str) -> None:
    named = {"certificate": None, "key": None, given: tmp_path / "file.pem"}
    with pytest.raises(InvalidError) as refused:
        find_certificate(**named)
    assert [one.field for one in refused.value.findings] == [missing]


def test_without_files_there_is_none() -> None:
    assert find_certificate(None, None) is None
