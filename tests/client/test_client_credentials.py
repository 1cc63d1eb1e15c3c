"""Does a program get its token once, renew it in time, and keep its secret to itself?"""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import anyio
import pytest

from client.scripted_service import DROP, ScriptedService, find_closed_port, run_scripted
from muster.client.asynchronous import AsyncClient
from muster.client.client_credentials import ClientCredentials
from muster.client.patience import Patience
from muster.client.shapes.service import Whoami
from muster.client.synchronous import Client
from muster.domain.errors import InvalidError, NotFoundError, UnauthenticatedError, UnavailableError
from muster.settings.parts import ClientSettings

ME = {"name": "site-1", "roles": ["system-tms"]}
REFUSED = (401, {"code": "unauthenticated", "error": "the token has expired"})
HASTY = Patience(first_s=0.0, later_s=0.0)
SECRET = "s3cret: with/odd+signs"

Ask = Callable[..., list[Whoami]]


def _ask_plainly(url: str, credentials: ClientCredentials, times: int = 1, at_once: int = 1) -> list[Whoami]:
    answers: list[Whoami] = []
    with Client(url, credentials, patience=HASTY) as client:
        for _ in range(times):
            threads = [threading.Thread(target=lambda: answers.append(client.whoami())) for _ in range(at_once)]
            if at_once == 1:
                answers.append(client.whoami())
                continue
            for one in threads:
                one.start()
            for one in threads:
                one.join()
    return answers


def _ask_asynchronously(url: str, credentials: ClientCredentials, times: int = 1, at_once: int = 1) -> list[Whoami]:
    async def run() -> list[Whoami]:
        answers: list[Whoami] = []

        async with AsyncClient(url, credentials, patience=HASTY) as client:

            async def ask() -> None:
                answers.append(await client.whoami())

            for _ in range(times):
                if at_once == 1:
                    await ask()  # outside of a group, which would wrap its error
                    continue
                async with anyio.create_task_group() as group:
                    for _ in range(at_once):
                        group.start_soon(ask)
        return answers

    return anyio.run(run)


@pytest.fixture(params=[_ask_plainly, _ask_asynchronously])
def ask(request: pytest.FixtureRequest) -> Ask:
    return cast("Ask", request.param)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text(SECRET + "\n")
    return file


def grant(number: int, **changes: Any) -> tuple[int, dict[str, Any]]:
    return 200, {"access_token": f"token-{number}", "token_type": "Bearer", "expires_in": 300} | changes


@contextmanager
def provider(*answers: Any) -> Iterator[ScriptedService]:
    """The last answer is given again and again."""
    with run_scripted(*answers) as running:
        yield running


def credentials(
    file: Path, url: str, *, clock: Callable[[], float] = time.monotonic, **changes: Any
) -> ClientCredentials:
    named = {"oidc_token_url": f"{url}/token"} | changes
    return ClientCredentials(
        ClientSettings(oidc_client_id="site 1", oidc_client_secret_file=file, **named), clock=clock
    )


def signed(service: ScriptedService) -> list[str]:
    return [one.headers["authorization"] for one in service.asked]


def test_one_token_signs_many_calls(ask: Ask, secret_file: Path) -> None:
    with run_scripted((200, ME)) as service, provider(grant(1), grant(2)) as giver:
        chosen = credentials(secret_file, giver.url, oidc_request={"scope": "muster", "resource": "urn:muster"})
        answers = ask(service.url, chosen, times=3)

    assert answers == [Whoami("site-1", ["system-tms"])] * 3
    assert signed(service) == ["Bearer token-1"] * 3
    [asked] = giver.asked
    assert (asked.method, asked.target) == ("POST", "/token")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["muster"],
        "resource": ["urn:muster"],
    }
    scheme, _, encoded = asked.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded)) == ("Basic", b"site+1:s3cret%3A+with%2Fodd%2Bsigns")


def test_calls_at_once_share_one_token(ask: Ask, secret_file: Path) -> None:
    with run_scripted((200, ME)) as service, provider(grant(1), grant(2)) as giver:
        ask(service.url, credentials(secret_file, giver.url), at_once=10)

    assert signed(service) == ["Bearer token-1"] * 10
    assert len(giver.asked) == 1


def test_the_provider_may_say_itself_where_tokens_are_given(ask: Ask, secret_file: Path) -> None:
    with run_scripted((200, ME)) as service, run_scripted(DROP) as giver:
        giver.answers = [(200, {"token_endpoint": f"{giver.url}/somewhere"}), grant(1)]
        ask(service.url, credentials(secret_file, giver.url, oidc_token_url=None, oidc_url=giver.url), times=2)

    assert [(one.method, one.target) for one in giver.asked] == [
        ("GET", "/.well-known/openid-configuration"),
        ("POST", "/somewhere"),
    ]


@pytest.mark.parametrize("place", ["http://elsewhere.example.org/token", "file:///token", 7, None])
def test_the_secret_is_sent_nowhere_in_the_clear(ask: Ask, secret_file: Path, place: object) -> None:
    with (
        run_scripted((200, ME)) as service,
        provider((200, {"token_endpoint": place})) as giver,
        pytest.raises(UnavailableError, match="names no address for tokens"),
    ):
        ask(service.url, credentials(secret_file, giver.url, oidc_token_url=None, oidc_url=giver.url))

    assert service.asked == []


def test_a_token_is_renewed_before_its_end(ask: Ask, secret_file: Path) -> None:
    now = 1000.0
    with run_scripted((200, ME)) as service, provider(grant(1), grant(2)) as giver:
        chosen = credentials(secret_file, giver.url, clock=lambda: now)
        ask(service.url, chosen)
        now += 239
        ask(service.url, chosen)
        now += 2
        ask(service.url, chosen)

    assert signed(service) == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_while_the_provider_is_away_a_token_is_used_to_its_end(ask: Ask, secret_file: Path) -> None:
    now = 1000.0
    with run_scripted((200, ME)) as service, provider(grant(1), (503, b"")) as giver:
        chosen = credentials(secret_file, giver.url, clock=lambda: now)
        ask(service.url, chosen)
        now += 250
        ask(service.url, chosen, times=5)
        assert len(giver.asked) == 2  # and is not asked at each call
        now += 60
        with pytest.raises(UnavailableError, match="answers with HTTP status 503"):
            ask(service.url, chosen)

    assert signed(service) == ["Bearer token-1"] * 6


def test_a_token_that_the_service_refuses_is_exchanged_once(ask: Ask, secret_file: Path) -> None:
    now = 1000.0
    with run_scripted((200, ME), REFUSED, (200, ME), REFUSED) as service, provider(grant(1), grant(2)) as giver:
        chosen = credentials(secret_file, giver.url, clock=lambda: now)
        ask(service.url, chosen)
        now += 20
        ask(service.url, chosen)
        with pytest.raises(UnauthenticatedError, match="the token has expired"):
            ask(service.url, chosen)  # a fresh one is refused too: asking for another would not help

    assert signed(service) == ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-2"]
    assert len(giver.asked) == 2


def test_a_client_that_the_provider_does_not_know_is_told_without_its_secret(ask: Ask, secret_file: Path) -> None:
    refusal = (401, {"error": "invalid_client", "error_description": "client authentication failed"})
    with run_scripted((200, ME)) as service, provider(refusal) as giver, pytest.raises(UnauthenticatedError) as told:
        ask(service.url, credentials(secret_file, giver.url))

    assert "gives the client 'site 1' no token: invalid_client: client authentication failed" in str(told.value)
    assert "s3cret" not in str(told.value)
    assert service.asked == []


def test_where_no_provider_is_the_address_is_named(ask: Ask, secret_file: Path) -> None:
    url = f"http://127.0.0.1:{find_closed_port()}"

    with (
        run_scripted((200, ME)) as service,
        pytest.raises(UnavailableError, match=f"provider {url}/token does not answer"),
    ):
        ask(service.url, credentials(secret_file, url))


def test_a_provider_that_comes_back_is_waited_for(secret_file: Path) -> None:
    with (
        run_scripted((200, ME)) as service,
        provider(DROP, (503, b""), grant(1)) as giver,
        Client(service.url, credentials(secret_file, giver.url), patience=Patience(first_s=30)) as client,
    ):
        assert client.whoami().name == "site-1"

    assert len(giver.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": "two words"},
        {"access_token": "line\r\nx-injected: 1"},
        {"access_token": "t", "token_type": "mac"},
    ],
)
def test_what_is_no_token_signs_nothing(ask: Ask, secret_file: Path, answer: dict[str, Any]) -> None:
    with (
        run_scripted((200, ME)) as service,
        provider((200, answer)) as giver,
        pytest.raises(UnavailableError, match=r"without a token|no bearer token"),
    ):
        ask(service.url, credentials(secret_file, giver.url))

    assert service.asked == []


@pytest.mark.parametrize("ttl_s", [None, "soon", True, -1, 0])
def test_a_provider_that_does_not_say_how_long_gives_tokens_all_the_same(
    ask: Ask, secret_file: Path, ttl_s: object
) -> None:
    with run_scripted((200, ME)) as service, provider(grant(1, expires_in=ttl_s)) as giver:
        ask(service.url, credentials(secret_file, giver.url), times=2)

    assert len(giver.asked) == 1


def test_the_secret_is_read_again_for_each_token(ask: Ask, secret_file: Path) -> None:
    now = 1000.0
    with run_scripted((200, ME)) as service, provider(grant(1)) as giver:
        chosen = credentials(secret_file, giver.url, clock=lambda: now)
        ask(service.url, chosen)
        secret_file.write_text("another")
        now += 400
        ask(service.url, chosen)

    sent = [base64.b64decode(one.headers["authorization"].partition(" ")[2]) for one in giver.asked]
    assert sent == [b"site+1:s3cret%3A+with%2Fodd%2Bsigns", b"site+1:another"]


def test_a_secret_that_cannot_be_one_is_told_at_once(secret_file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"the secret's file {tmp_path / 'none'} is missing"):
        credentials(tmp_path / "none", "https://idp.example.org").check()
    secret_file.chmod(0o644)
    with pytest.raises(InvalidError, match=f"others may read the secret: say `chmod 600 {secret_file}`"):
        credentials(secret_file, "https://idp.example.org").check()
    secret_file.chmod(0o600)
    for text in ("", "\n", "two\nlines"):
        secret_file.write_text(text)
        with pytest.raises(InvalidError, match="holds no secret"):
            credentials(secret_file, "https://idp.example.org").check()


def test_no_rendering_shows_secret_or_token(secret_file: Path) -> None:
    with run_scripted((200, ME)) as service, provider(grant(1)) as giver:
        chosen = credentials(secret_file, giver.url)
        _ask_plainly(service.url, chosen)

    assert repr(chosen) == "ClientCredentials('site 1')"
    assert "token-1" not in repr(chosen._grant)
