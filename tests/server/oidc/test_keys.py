"""Are an issuer's keys found when they are needed, kept while it is away, and is it left in peace by junk?"""

import contextlib
import gzip
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from harness.certificates import make_certificates
from muster.domain.caller import Caller
from muster.domain.errors import InvalidError, UnauthenticatedError, UnavailableError
from muster.server.adapters.oidc.identity import OidcIdentity, open_oidc
from muster.settings.sign_in import IssuerSettings
from server.oidc.issuer import DISCOVERY, KEYS, FakeIssuer, publish, rsa, run_issuer

pytestmark = pytest.mark.anyio

MOMENT_S, FOREVER_S = 0.01, 3600.0


@asynccontextmanager
async def opened(issuer: FakeIssuer, *, reread_s: float = MOMENT_S) -> AsyncIterator[OidcIdentity]:
    async with open_oidc([IssuerSettings(url=issuer.url)], reread_s=reread_s) as identity:
        yield identity


async def gather(identity: OidcIdentity, *tokens: str) -> list[Caller | Exception]:
    """Sign in with all of them at once."""
    outcomes: dict[int, Caller | Exception] = {}

    async def sign_in(place: int, token: str) -> None:
        try:
            outcomes[place] = await identity.identify(token)
        except (UnauthenticatedError, UnavailableError) as error:
            outcomes[place] = error

    async with anyio.create_task_group() as group:
        for place, token in enumerate(tokens):
            group.start_soon(sign_in, place, token)
    return [outcomes[place] for place in range(len(tokens))]


async def test_a_key_that_comes_while_the_service_runs_is_found_at_its_first_use(issuer: FakeIssuer) -> None:
    async with opened(issuer) as identity:
        await identity.identify(issuer.token())
        issuer.keys = [publish(rsa("second")), publish(rsa())]
        await identity.identify(issuer.token(rsa("second")))
        await identity.identify(issuer.token(sub="bob"))

    assert (issuer.count(DISCOVERY), issuer.count(KEYS)) == (1, 2)


async def test_a_key_that_is_withdrawn_opens_nothing_after_the_next_refresh(issuer: FakeIssuer) -> None:
    async with opened(issuer) as identity:
        await identity.refresh()
        await identity.identify(issuer.token())
        issuer.keys = [publish(rsa("second"))]
        await identity.refresh()

        with pytest.raises(UnauthenticatedError, match="not signed with a key"):
            await identity.identify(issuer.token(sub="bob"))


async def test_those_who_come_at_once_share_one_read(issuer: FakeIssuer) -> None:
    released = threading.Event()
    issuer.hold = lambda: released.wait(30)
    tokens = [issuer.token(sub=f"user-{number}") for number in range(50)]
    async with opened(issuer, reread_s=FOREVER_S) as identity, anyio.create_task_group() as group:

        async def release() -> None:
            await anyio.wait_all_tasks_blocked()
            released.set()

        group.start_soon(release)
        callers = await gather(identity, *tokens)

    assert [one.name for one in callers if isinstance(one, Caller)] == [f"user-{number}" for number in range(50)]
    assert issuer.asked == [DISCOVERY, KEYS]


async def test_junk_names_of_keys_neither_drive_the_issuer_nor_hold_up_others(issuer: FakeIssuer) -> None:
    junk = [issuer.token(header={"kid": f"junk-{number}"}) for number in range(200)]
    async with opened(issuer, reread_s=FOREVER_S) as identity:
        await identity.identify(issuer.token())
        async with anyio.create_task_group() as group:
            group.start_soon(gather, identity, *junk)
            await anyio.wait_all_tasks_blocked()

            assert (await identity.identify(issuer.token(sub="bob"))).name == "bob"
            assert issuer.asked == [DISCOVERY, KEYS]
            group.cancel_scope.cancel()


async def test_junk_and_a_new_key_wait_for_the_same_read(issuer: FakeIssuer) -> None:
    junk = [issuer.token(header={"kid": f"junk-{number}"}) for number in range(20)]
    first, new = issuer.token(), issuer.token(rsa("second"), sub="bob")
    async with opened(issuer, reread_s=0.5) as identity:
        await identity.identify(first)
        issuer.keys = [publish(rsa("second"))]
        outcomes = await gather(identity, *junk, new)

    assert [type(one) for one in outcomes] == [UnauthenticatedError] * 20 + [Caller]
    assert issuer.count(KEYS) in (2, 3)  # one for all, or one for the first of them where half a second had gone by


async def test_an_issuer_that_is_slow_holds_up_only_those_whose_key_is_not_known(issuer: FakeIssuer) -> None:
    async with opened(issuer) as identity:
        await identity.identify(issuer.token())
        released = threading.Event()
        issuer.hold = lambda: released.wait(30)
        issuer.keys = [publish(rsa("second"))]
        async with anyio.create_task_group() as group:
            group.start_soon(gather, identity, issuer.token(rsa("second")))
            await anyio.wait_all_tasks_blocked()
            try:
                assert (await identity.identify(issuer.token(sub="bob"))).name == "bob"
            finally:
                released.set()


async def test_an_issuer_that_does_not_answer_is_given_up_in_time(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.server.adapters.oidc.provider.READ_TIMEOUT_S", 0.1)
    released = threading.Event()
    issuer.hold = lambda: released.wait(30)
    try:
        async with opened(issuer) as identity:
            outcomes = await gather(identity, *(issuer.token(sub=f"user-{number}") for number in range(20)))
    finally:
        released.set()

    assert {str(one) for one in outcomes} == {
        f"the identity provider {issuer.url} does not tell its keys (no answer in time)"
    }
    assert issuer.asked == [DISCOVERY]


async def test_while_an_issuer_is_away_its_known_keys_open_and_others_may_do_so_later() -> None:
    with run_issuer() as issuer:
        pass
    port = int(issuer.url.rpartition(":")[2])
    async with opened(issuer) as identity:
        await identity.refresh()
        with pytest.raises(UnavailableError, match="does not tell its keys"):
            await identity.identify(issuer.token())
        with run_issuer(port=port):
            await identity.identify(issuer.token())
        await identity.refresh()
        assert (await identity.identify(issuer.token(sub="bob"))).name == "bob"
        with pytest.raises(UnavailableError):
            await identity.identify(issuer.token(rsa("second")))
        with run_issuer(port=port, keys=[publish(rsa("second"))]):
            await identity.identify(issuer.token(rsa("second")))


async def test_keys_that_nobody_could_confirm_for_a_day_open_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with run_issuer() as issuer:
        async with opened(issuer) as identity:
            await identity.refresh()
            monkeypatch.setattr("muster.server.adapters.oidc.provider.KEPT_S", 0.0)
            issuer.answers[KEYS] = (500, {}, b"")
            for header in ({}, {"kid": None}):
                with pytest.raises(UnavailableError):
                    await identity.identify(issuer.token(header=header))


async def test_a_read_that_was_broken_off_is_no_answer(issuer: FakeIssuer) -> None:
    released = threading.Event()
    issuer.hold = lambda: released.wait(30)
    async with opened(issuer) as identity:
        async with anyio.create_task_group() as group:
            group.start_soon(identity.identify, issuer.token())
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        released.set()
        await identity.identify(issuer.token())


BROKEN = {
    "an error": (DISCOVERY, (500, {}, b"{}"), "HTTP status 500"),
    "an error at the keys": (KEYS, (404, {}, b"{}"), "HTTP status 404"),
    "a redirect": (DISCOVERY, (302, {"location": "http://127.0.0.1:1/"}, b""), "HTTP status 302"),
    "a page": (DISCOVERY, (200, {}, b"<html>"), "something else than a JSON object"),
    "a list": (KEYS, (200, {}, b"[]"), "something else than a JSON object"),
    "depth without end": (KEYS, (200, {}, b'{"keys":' + b"[" * 100_000), "something else than a JSON object"),
    "no keys": (KEYS, (200, {}, b"{}"), "no list of keys"),
    "keys that are no list": (KEYS, (200, {}, b'{"keys": {}}'), "no list of keys"),
    "much": (KEYS, (200, {}, b" " * (2 << 20)), "more than 1048576 bytes"),
    "much, packed": (KEYS, (200, {"content-encoding": "gzip"}, gzip.compress(b" " * (64 << 20))), "more than 1048576"),
    "another name": (DISCOVERY, (200, {}, b'{"issuer": "https://other.example.org"}'), "calls itself"),
    "no name": (DISCOVERY, (200, {}, b"{}"), "calls itself 'None'"),
}


@pytest.mark.parametrize(("path", "answer", "reason"), BROKEN.values(), ids=BROKEN)
async def test_an_answer_that_is_none_is_told_and_opens_nothing(
    issuer: FakeIssuer, path: str, answer: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    issuer.answers[path] = answer
    async with opened(issuer) as identity:
        with pytest.raises(UnavailableError, match=reason):
            await identity.identify(issuer.token())
        issuer.answers.clear()
        await identity.identify(issuer.token())


@pytest.mark.parametrize("keys_url", ["http://keys.example.org/jwks", "file:///etc/passwd", "https://[", 7, None])
async def test_keys_are_fetched_from_nowhere_that_could_be_anybody(issuer: FakeIssuer, keys_url: object) -> None:
    document = {"issuer": issuer.url, "jwks_uri": keys_url}
    issuer.answers[DISCOVERY] = (200, {}, json.dumps(document).encode())
    async with opened(issuer) as identity:
        with pytest.raises(UnavailableError, match="does not tell its keys"):
            await identity.identify(issuer.token())


async def test_keys_that_moved_are_found_again(issuer: FakeIssuer) -> None:
    async with opened(issuer) as identity:
        await identity.identify(issuer.token())
        issuer.answers[KEYS] = (404, {}, b"")
        with contextlib.suppress(UnavailableError):
            await identity.identify(issuer.token(rsa("second")))
        issuer.answers["/moved"] = (200, {}, json.dumps({"keys": [publish(rsa("second"))]}).encode())
        moved = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/moved"}
        issuer.answers[DISCOVERY] = (200, {}, json.dumps(moved).encode())

        await identity.identify(issuer.token(rsa("second")))


async def test_an_issuers_certificate_is_checked(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "tls", "127.0.0.1")
    strangers = make_certificates(tmp_path / "strangers", "127.0.0.1")
    with run_issuer(tls=certificates) as issuer:
        for file in (None, strangers.authority):
            async with open_oidc([IssuerSettings(url=issuer.url)], ca_file=file) as identity:
                with pytest.raises(UnavailableError, match=r"(?i)certificate"):
                    await identity.identify(issuer.token())
        async with open_oidc([IssuerSettings(url=issuer.url)], ca_file=certificates.authority) as identity:
            assert (await identity.identify(issuer.token())).name == "ada"


async def test_a_file_of_certificates_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for file in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        with pytest.raises(InvalidError, match=rf"oidc_ca_file: {file} cannot be used as certificates"):
            async with open_oidc([IssuerSettings(url="https://idp.example.org")], ca_file=file):
                pass
