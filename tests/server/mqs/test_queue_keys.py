"""Does every token verify against the published keys until it expires, however the pairs are exchanged and whoever signs?"""

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
import httpx
import pytest
from sqlalchemy import Connection

from muster.domain.queue_token import PublicKey
from muster.server.adapters.key_files.pair import KeyFiles
from muster.server.adapters.sql import postgres_store, sqlite_store
from muster.server.adapters.sql.rows import ask_postgres_clock
from muster.server.app import make_app
from muster.server.services.key_book import KeyBook
from muster.server.services.publish_keys import expire_keys, store_noted_keys
from server.mqs.keys import BROKER, Files, Pem, claims_of, kid_of, pair, verify
from server.stand import WMS, Stand, open_stand

pytestmark = pytest.mark.anyio

JWKS = "/mqbroker-issuer/.well-known/jwks.json"
PAIRS = 4


@dataclass
class MovedClock:
    """The database's clock, put forward."""

    ahead_s: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(sqlite_store, "_clock", lambda _: moved.now())

    def ask(connection: Connection) -> float:
        return ask_postgres_clock(connection) + moved.ahead_s

    monkeypatch.setattr(postgres_store, "ask_postgres_clock", ask)
    return moved


@asynccontextmanager
async def beside(stand: Stand, keys: KeyFiles) -> AsyncIterator[Stand]:
    """A further service over the same database: it shares nothing with the first but that."""
    parts = replace(stand.parts, key_book=KeyBook(), queue_keys=keys)
    transport = httpx.ASGITransport(app=cast("Any", make_app(parts)))
    async with httpx.AsyncClient(transport=transport, base_url="http://beside.test") as http:
        yield Stand(http, parts)


async def kids(stand: Stand) -> list[str]:
    return [one["kid"] for one in (await stand.get(JWKS))["keys"]]


async def mint(stand: Stand, workflow_id: str) -> str:
    """A new token of another service's workflow."""
    path = f"/v1/mqs/workflows/{workflow_id}/mq-group"
    await stand.post(f"{path}/reservation", {"queue_aliases": ["q"], "public": ["q"]}, by=WMS)
    answer = await stand.post(f"{path}/activation", {"criteria": None}, by=WMS)
    return str(answer["mqprofiles"][0]["auth_token"])


async def run_daemons(stand: Stand) -> None:
    await store_noted_keys(stand.parts)
    await expire_keys(stand.parts)


# -- one service ---------------------------------------------------------------------------------------------------------


async def test_the_set_has_upstreams_form(broker_stand: Stand) -> None:
    [key] = (await broker_stand.get(JWKS))["keys"]
    assert set(key) == {"kid", "kty", "key_ops", "n", "e"}
    assert (key["kid"], key["kty"], key["key_ops"], key["e"]) == (pair(0).kid, "RSA", ["verify"], "AQAB")


async def test_without_keys_the_set_is_empty(stand: Stand) -> None:
    assert await stand.get(JWKS) == {"keys": []}


@pytest.mark.parametrize("with_daemons", [True, False])
async def test_each_of_five_rotations_is_published_at_once_and_verifies_what_it_signs(
    broker_stand: Stand,
    files: Files,
    with_daemons: bool,  # noqa: FBT001
) -> None:
    expected, tokens = [pair(0).kid], [await mint(broker_stand, "WF-0")]
    for number in range(1, 6):
        files.write(pair(number))
        expected.append(pair(number).kid)
        assert await kids(broker_stand) == expected
        if with_daemons:
            await run_daemons(broker_stand)
        assert await kids(broker_stand) == expected
        tokens.append(await mint(broker_stand, f"WF-{number}"))
        assert kid_of(tokens[-1]) == expected[-1]
    assert await kids(broker_stand) == expected
    key_set = await broker_stand.get(JWKS)
    for one in tokens:
        verify(one, key_set)


async def test_who_asks_for_the_keys_makes_nobody_write(broker_stand: Stand, files: Files) -> None:
    await run_daemons(broker_stand)
    files.write(pair(1))

    assert await kids(broker_stand) == [pair(0).kid, pair(1).kid]

    def look() -> Any:
        return broker_stand.parts.store.read(lambda tx: tx.published_keys.list_published(now=tx.now()))

    assert [one.kid for one in await look()] == [pair(0).kid]
    await run_daemons(broker_stand)
    assert [one.kid for one in await look()] == [pair(0).kid, pair(1).kid]


async def test_an_old_key_goes_when_its_last_token_has_expired(
    broker_stand: Stand, files: Files, clock: MovedClock
) -> None:
    await run_daemons(broker_stand)
    clock.ahead_s = 100.0
    await mint(broker_stand, "WF-1")
    files.write(pair(1))
    await run_daemons(broker_stand)
    for ahead_s, expected in (
        (BROKER.ttl_s - 10, [pair(0).kid, pair(1).kid]),
        (BROKER.ttl_s + 100 - 10, [pair(0).kid, pair(1).kid]),
        (BROKER.ttl_s + 100 + 10, [pair(1).kid]),
        (10 * BROKER.ttl_s, [pair(1).kid]),
    ):
        clock.ahead_s = ahead_s
        assert await kids(broker_stand) == expected
        await run_daemons(broker_stand)
        assert await kids(broker_stand) == expected


async def test_a_key_that_comes_back_does_not_expire_any_more(
    broker_stand: Stand, files: Files, clock: MovedClock
) -> None:
    for number in (0, 1, 0):
        files.write(pair(number))
        await run_daemons(broker_stand)
        await mint(broker_stand, f"WF-{number}")
    clock.ahead_s = 2 * BROKER.ttl_s

    token = await mint(broker_stand, "WF-later")

    await run_daemons(broker_stand)
    assert await kids(broker_stand) == [pair(0).kid]
    verify(token, await broker_stand.get(JWKS), now=clock.now())


async def test_tokens_that_live_longer_than_the_settings_say_now_keep_their_key(
    database_url: str, files: Files, clock: MovedClock
) -> None:
    """The service was started again with a shorter life for tokens, and another pair."""
    async with open_stand(database_url, broker=BROKER, queue_keys=files.open()) as stand:
        token = await mint(stand, "WF-1")
    files.write(pair(1))
    short = replace(BROKER, ttl_s=60.0)
    async with open_stand(database_url, broker=short, queue_keys=files.open()) as stand:
        await run_daemons(stand)
        clock.ahead_s = BROKER.ttl_s - 60
        await run_daemons(stand)
        verify(token, await stand.get(JWKS), now=clock.now())


async def test_a_set_that_is_known_is_not_sent_again(broker_stand: Stand, files: Files) -> None:
    first = await broker_stand.ask("GET", JWKS, by=None)
    tag = first.headers["etag"]
    same = await broker_stand.ask("GET", JWKS, by=None, headers={"if-none-match": f'"other", W/{tag}'})
    files.write(pair(1))
    changed = await broker_stand.ask("GET", JWKS, by=None, headers={"if-none-match": tag})

    assert first.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert (changed.status_code, len(changed.json()["keys"])) == (200, 2)


# -- several -------------------------------------------------------------------------------------------------------------


async def test_services_that_meet_a_new_pair_at_once_insert_one_key(broker_stand: Stand, files: Files) -> None:
    files.write(pair(1))
    tokens: list[str] = []
    async with beside(broker_stand, files.open()) as second, beside(broker_stand, files.open()) as third:
        stands = (broker_stand, second, third)

        async def meet(stand: Stand, number: int) -> None:
            tokens.append(await mint(stand, f"WF-{number}"))
            await store_noted_keys(stand.parts)

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(meet, stands[number % 3], number)
        for stand in stands:
            assert await kids(stand) == [pair(1).kid]
    assert {kid_of(one) for one in tokens} == {pair(1).kid}


async def test_one_that_has_not_noticed_a_rotation_signs_with_a_key_that_stays(
    broker_stand: Stand, files: Files, tmp_path: Any, clock: MovedClock
) -> None:
    """Its copy of the files comes later. Both go on, and each one's tokens verify against the other's set."""
    copies = Files(tmp_path / "copies")
    copies.write(pair(0))
    async with beside(broker_stand, copies.open()) as late:
        await run_daemons(broker_stand)
        await run_daemons(late)
        files.write(pair(1))
        await run_daemons(broker_stand)
        for ahead_s in (0.6, 1.2, 1.8, 2.4):
            clock.ahead_s = ahead_s * BROKER.ttl_s
            tokens = [await mint(broker_stand, "WF-1"), await mint(late, "WF-2")]
            for stand in (broker_stand, late):
                await run_daemons(stand)
            assert [kid_of(one) for one in tokens] == [pair(1).kid, pair(0).kid]
            for stand in (broker_stand, late):
                for one in tokens:
                    verify(one, await stand.get(JWKS), now=clock.now())


@dataclass
class Walk:
    """Services, their files, and every token that was made."""

    random: random.Random
    clock: MovedClock
    stands: list[Stand]
    files: list[Files]
    tokens: list[str] = field(default_factory=list)
    workflows: list[str] = field(default_factory=list)

    async def step(self) -> None:
        place = self.random.randrange(len(self.stands))
        stand, files = self.stands[place], self.files[place]
        match self.random.randrange(6):
            case 0 | 1:
                files.write(pair(self.random.randrange(PAIRS)))
            case 2:
                self.tokens.append(await mint(stand, self.take_workflow()))
            case 3 if self.workflows:
                path = f"/v1/mqs/workflows/{self.random.choice(self.workflows)}/mq-profiles/public"
                self.tokens += [one["auth_token"] for one in (await stand.get(path))["mqprofiles"]]
            case 4:
                self.clock.ahead_s += self.random.random() * BROKER.ttl_s
            case _:
                await run_daemons(stand)

    def take_workflow(self) -> str:
        self.workflows.append(f"WF-{len(self.workflows)}")
        return self.workflows[-1]

    async def check(self) -> None:
        self.tokens = [one for one in self.tokens if claims_of(one)["exp"] > self.clock.now()]
        for stand in self.stands:
            key_set = await stand.get(JWKS)
            for token in self.tokens:
                assert kid_of(token) in {one["kid"] for one in key_set["keys"]}
                verify(token, key_set, now=self.clock.now())


@pytest.mark.parametrize("seed", range(4))
async def test_no_good_token_is_ever_without_its_key(
    broker_stand: Stand, files: Files, tmp_path: Any, clock: MovedClock, seed: int
) -> None:
    others = Files(tmp_path / "others")
    others.write(pair(1))
    async with beside(broker_stand, others.open()) as second:
        walk = Walk(random.Random(seed), clock, [broker_stand, second], [files, others])
        for _ in range(40):
            await walk.step()
            await walk.check()
    assert len(walk.workflows) > 2


# -- files ---------------------------------------------------------------------------------------------------------------


A_BROKEN_FILE: list[tuple[str, Callable[[Files], object]]] = [
    ("only the public key is exchanged", lambda files: files.public.write_bytes(pair(1).public)),
    ("only the private key is exchanged", lambda files: files.private.write_bytes(pair(1).private)),
    ("half of a key is written", lambda files: files.private.write_bytes(pair(1).private[:500])),
    ("a file is empty", lambda files: files.public.write_bytes(b"")),
    ("a file is gone", lambda files: files.private.unlink()),
]


@pytest.mark.parametrize(("what", "spoil"), A_BROKEN_FILE, ids=[what for what, _ in A_BROKEN_FILE])
async def test_files_that_do_not_go_together_change_nothing(
    broker_stand: Stand, files: Files, what: str, spoil: Callable[[Files], object]
) -> None:
    await mint(broker_stand, "WF-1")
    spoil(files)

    token = await mint(broker_stand, "WF-2")
    await run_daemons(broker_stand)

    assert kid_of(token) == pair(0).kid
    assert await kids(broker_stand) == [pair(0).kid]
    files.write(pair(1))
    assert kid_of(await mint(broker_stand, "WF-3")) == pair(1).kid


def public_key(pem: Pem) -> PublicKey:
    return PublicKey(pem.kid, "n", "e")


async def test_the_keys_of_the_last_time_are_told_while_the_database_is_away() -> None:
    from muster.domain.errors import UnavailableError

    book = KeyBook()

    async def read() -> list[PublicKey]:
        return [public_key(pair(0))]

    async def fail() -> list[PublicKey]:
        raise UnavailableError("the database is away")

    with pytest.raises(UnavailableError):
        await book.read_together(fail)
    assert await book.read_together(read) == [public_key(pair(0))]
    assert await book.read_together(fail) == [public_key(pair(0))]


async def test_who_ask_while_one_reads_share_the_next_reading() -> None:
    book = KeyBook()
    readings = 0
    go_on = anyio.Event()

    async def read() -> list[PublicKey]:
        nonlocal readings
        readings += 1
        await go_on.wait()
        return [PublicKey(str(readings), "n", "e")]

    seen: list[str] = []

    async def ask() -> None:
        [key] = await book.read_together(read)
        seen.append(key.kid)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        for _ in range(10):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        go_on.set()

    assert seen == ["1"] + ["2"] * 10
