"""Does the service show its certificate, exchange it while it runs, and tell errors in the status line there too?"""

import contextlib
import http.client
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
import pytest
from structlog.testing import capture_logs

from harness.certificates import Authority, Certificate
from harness.stack import MUSTER, clean_environment
from harness.waiting import wait_for
from muster.client.asynchronous import AsyncClient
from muster.client.patience import Patience
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.stream import NoticeView
from muster.client.synchronous import Client
from muster.domain.errors import InvalidError, UnavailableError
from muster.server.adapters.certificate_files.certificate import CertificateFiles, find_certificate
from muster.server.app import serve
from muster.settings.parts import LocationSettings, ServerSettings

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
AT_ONCE = Patience(first_s=0, later_s=0)
NEW = NewWorkflow(
    tasks=[NewTask(cluster_locations=["local"], task_image="", task_args="true", input_queue_aliases=["in"])],
    public_queue_aliases=["in"],
)


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
        locations={"local": LocationSettings(schedd="local")},
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


async def test_clients_and_the_command_line_speak_with_it_and_streams_come_through(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls.write()
    authority = tls.authority.write(tls.folder / "ca.pem")
    async with running(tls) as url:
        token = (tls.folder / "token").read_text().strip()
        async with AsyncClient(url, token, patience=AT_ONCE) as client:
            with pytest.raises(
                UnavailableError, match=r"is not trusted: .*name the file of its authority \(PEM\) by SSL_CERT_FILE$"
            ):
                await client.whoami()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        async with AsyncClient(url, token) as client:
            workflow = (await client.submit_workflow(NEW)).workflow_id
            listed = await in_thread(_list_workflows, url, tls.folder / "token", authority)
            told: list[str] = []
            async with contextlib.aclosing(client.stream(workflow)) as stream:
                async for one in stream:
                    told.append(one.kind if isinstance(one, NoticeView) else type(one).__name__)
                    if told[-1] == "workflow.created":
                        await client.close_queue(workflow, "in")
                    elif told[-1] == "queue.closed":
                        await client.abort_workflow(workflow)

    assert [one["workflow_id"] for one in listed["workflows"]] == [workflow]
    assert [one for one in told if one.startswith(("workflow", "queue"))] == [
        "workflow.created",
        "queue.closed",
        "workflow.ended",
    ]


async def test_a_certificate_of_another_place_is_told_as_that(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    tls.write(tls.authority.issue("127.9.9.9"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority.write(tls.folder / "ca.pem")))

    def ask_in_turn(url: str) -> str:
        with pytest.raises(UnavailableError) as failed, Client(url, "any", patience=AT_ONCE) as client:
            client.whoami()
        return str(failed.value)

    async with running(tls) as url:
        told = await in_thread(ask_in_turn, url)

    assert "its certificate does not do (IP address mismatch" in told
    assert "SSL_CERT_FILE" not in told


def _list_workflows(url: str, token_file: Path, authority: Path) -> Any:
    environment = clean_environment() | {
        "MUSTER_URL": url,
        "MUSTER_TOKEN_FILE": str(token_file),
        "SSL_CERT_FILE": str(authority),
    }
    done = subprocess.run(
        [MUSTER, "workflow", "list", "--json"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_a_stream_goes_on_through_an_exchange_of_the_certificate(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls.write()
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority.write(tls.folder / "ca.pem")))
    async with running(tls) as url:
        token = (tls.folder / "token").read_text().strip()
        first = await in_thread(shown, url, tls.client())
        opened: list[str] = []
        async with (
            AsyncClient(url, token) as client,
            httpx.AsyncClient(
                base_url=url, verify=tls.client(), headers={"authorization": f"Bearer {token}"}, timeout=30
            ) as http,
        ):
            workflow = (await client.submit_workflow(NEW)).workflow_id
            async with http.stream("GET", f"/muster/v1/workflows/{workflow}/stream") as stream:
                pieces = stream.aiter_text()
                opened.append(await _read_until(pieces, "workflow.created"))
                tls.write()
                await in_thread(
                    wait_for, lambda: shown(url, tls.client()) != first, "the new certificate is shown", deadline_s=30
                )
                await client.close_queue(workflow, "in")  # over a connection that stood before
                opened.append(await _read_until(pieces, "queue.closed"))
                await client.abort_workflow(workflow)
                opened.append(await _read_until(pieces, "event: end"))

    assert len(opened) == 3


async def _read_until(pieces: AsyncIterator[str], what: str) -> str:
    text = ""
    async for piece in pieces:
        text += piece
        if what in text:
            return text
    raise AssertionError(f"the stream ended before {what!r}: {text}")


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


async def test_files_that_do_not_go_together_change_nothing_and_each_fault_is_told_once(tls: Tls) -> None:
    certificate, key = tls.write()
    files = CertificateFiles(certificate=certificate, key=key)
    first = shake_hands(files.context, tls.client())
    for spoil, fault in (
        (lambda: key.write_bytes(tls.authority.issue(HOST).key), "KEY_VALUES_MISMATCH"),
        (lambda: key.write_bytes(b"no key"), "are no certificate with its key"),
        (key.unlink, "key.pem cannot be read: No such file"),
        (certificate.unlink, "certificate.pem cannot be read: No such file"),
    ):
        spoil()
        with capture_logs() as lines:
            await files.reload()
            await files.reload()
        assert shake_hands(files.context, tls.client()) == first
        [line] = lines
        assert (line["log_level"], line["event"]) == (
            "warning",
            "the certificate's files cannot be used; the one before goes on",
        )
        assert fault in line["reason"]
    tls.write()
    with capture_logs() as lines:
        await files.reload()
    assert shake_hands(files.context, tls.client()) != first
    assert [line["event"] for line in lines] == ["the certificate is exchanged"]


async def test_what_was_judged_is_what_is_shown_though_a_file_is_written_meanwhile(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tls.write()
    files = CertificateFiles(certificate=certificate, key=key)
    first = shake_hands(files.context, tls.client())
    tls.write()
    read = Path.read_bytes

    def read_and_spoil(path: Path) -> bytes:
        content = read(path)
        if path == key:
            path.write_bytes(content[: len(content) // 2])
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_spoil)
    await files.reload()

    assert shake_hands(files.context, tls.client()) != first


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_nothing_older_than_tls_1_2_is_spoken(tls: Tls) -> None:
    certificate, key = tls.write()
    files = CertificateFiles(certificate=certificate, key=key)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = tls.client()
        client.minimum_version = client.maximum_version = version
        assert shake_hands(files.context, client)

    client = tls.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol"):
        shake_hands(files.context, client)


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
