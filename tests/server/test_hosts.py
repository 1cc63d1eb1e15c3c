"""Is a host that fails what others can do given nothing for a while, by every service, and does everybody see it?"""

from collections.abc import Callable

import pytest

from muster.domain.hosts import BLAMED_MIN, PAUSE_S_FIRST, STREAK
from muster.server.services.host_book import HostBook
from muster.server.services.keep_hosts import keep_hosts
from muster.worker import protocol
from server.stand import NEW, NEW_TASK, STRANGER, Json, Stand, open_stand
from server.test_brake import done, failed, path

pytestmark = pytest.mark.anyio

HERE: Json = {**NEW, "tasks": [{**NEW_TASK, "retry_s": 0, "attempts": 50, "brake_attempts": 0}]}


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Hosts:
    """A workflow with a worker at each of some hosts."""

    def __init__(self, stand: Stand, workflow: Json, workers: dict[str, Json]) -> None:
        self.stand, self.workflow, self.workers = stand, workflow, workers
        self.calls = dict.fromkeys(workers, 0)

    async def step(self, host: str, *, finished: Json = (), want: int = 0) -> Json:
        self.calls[host] += 1
        return await self.stand.step(self.workers[host], self.calls[host], finished=finished, want=want)

    async def try_some(self, host: str, count: int, end: Callable[[Json], Json]) -> list[str]:
        """Lease events there and end them like this; returns their ids."""
        events = (await self.step(host, want=count))["events"]
        assert len(events) == count
        await self.step(host, finished=[end(one) for one in events])
        return [one["event"] for one in events]

    async def list(self) -> list[Json]:
        await keep_hosts(self.stand.parts)
        return list((await self.stand.get(path(self.workflow, "hosts")))["hosts"])

    async def trust(self, host: str) -> Json:
        return await self.stand.post(path(self.workflow, "hosts/actions/trust"), {"host": host})


async def begin(stand: Stand, *hosts: str, events: int = 100) -> Hosts:
    workflow = await stand.submit(HERE)
    order = await stand.start(workflow)
    workers = {
        host: await stand.enrol(order["taskforce_uuid"], proc=proc, host=host, site=f"site-of-{host}")
        for proc, host in enumerate(hosts)
    }
    await stand.publish(workflow, *range(events))
    made = Hosts(stand, workflow, workers)
    for host in hosts:
        await made.step(host)
    return made


async def test_a_host_that_fails_at_once_is_given_nothing_while_others_are_there(stand: Stand) -> None:
    clock = Clock()
    stand.parts.hosts.book = HostBook(clock=clock, monotonic=clock)
    hosts = await begin(stand, "good", "bad")

    await hosts.try_some("bad", STREAK, failed)

    answer = await hosts.step("bad", want=3)
    assert (answer["events"], answer["held"]) == ([], True)
    assert PAUSE_S_FIRST <= answer["come_back_s"] <= 1.3 * PAUSE_S_FIRST
    assert len((await hosts.step("good", want=3))["events"]) == 3
    clock.now += PAUSE_S_FIRST
    [event] = (await hosts.step("bad", want=1))["events"]
    await hosts.step("bad", finished=[done(event)])
    assert len((await hosts.step("bad", want=3))["events"]) == 3, "it has done something"


async def test_where_there_is_one_host_and_where_all_fail_nobody_is_to_blame(stand: Stand) -> None:
    alone = await begin(stand, "only")
    await alone.try_some("only", 3 * STREAK, failed)
    assert len((await alone.step("only", want=1))["events"]) == 1

    both = await begin(stand, "one", "two")
    await both.try_some("one", 1, failed)
    await both.try_some("two", 3 * STREAK, failed)
    assert len((await both.step("two", want=1))["events"]) == 1


async def test_events_that_others_could_do_are_evidence(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("bad", BLAMED_MIN, failed)

    assert await hosts.try_some("good", BLAMED_MIN, done)  # they stand at the head of the queue

    good, bad = sorted(await hosts.list(), key=lambda one: str(one["host"]), reverse=True)
    assert (good["host"], good["done"], good["failed"], good["rests_until"]) == ("good", 3, 0, None)
    assert (bad["host"], bad["site"]) == ("bad", "site-of-bad")
    assert (bad["done"], bad["failed"], bad["blamed"]) == (0, 3, 3)
    assert bad["fingerprint"] == "exit 2: no such option"
    assert bad["reason"] == "3 events failed there that others could do, and did none itself"
    answer = await hosts.step("bad", want=1)
    assert (answer["events"], answer["held"], answer["stop"]) == ([], True, None)
    assert answer["come_back_s"] is not None


async def test_what_a_mended_task_can_do_says_nothing_of_who_failed_before(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("bad", BLAMED_MIN, failed)
    task_id = hosts.workflow["tasks"][0]["task_id"]
    await stand.post(f"/muster/v1/tasks/{task_id}/revisions", {"task_args": "cat -n {{INFILE}}"})
    order = await stand.start(hosts.workflow, cluster_id=8)
    new = Hosts(stand, hosts.workflow, {"good": await stand.enrol(order["taskforce_uuid"], host="good")})

    await new.try_some("good", BLAMED_MIN, done)

    assert [(one["blamed"], one["rests_until"]) for one in await hosts.list()] == [(0, None), (0, None)]


async def test_what_failed_before_a_host_was_trusted_is_no_evidence_any_more(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("bad", BLAMED_MIN, failed)
    await hosts.list()
    await hosts.trust("bad")

    await hosts.try_some("good", BLAMED_MIN, done)

    assert [one["rests_until"] for one in await hosts.list()] == [None, None]


async def test_events_that_nobody_can_do_are_none(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("bad", BLAMED_MIN, failed)
    await hosts.try_some("good", BLAMED_MIN, failed)

    assert [(one["blamed"], one["rests_until"]) for one in await hosts.list()] == [(0, None), (0, None)]


async def test_a_host_that_is_trusted_is_given_events_at_once(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("bad", STREAK, failed)
    await hosts.try_some("good", STREAK, done)
    assert any(one["rests_until"] for one in await hosts.list())

    trusted = await hosts.trust("bad")

    [record] = trusted["hosts"]
    assert (record["rests_until"], record["trusted_by"], record["failed"]) == (None, "ada", STREAK)
    assert len((await hosts.step("bad", want=2))["events"]) == 2
    assert [one["rests_until"] for one in await hosts.list()] == [None, None]


async def test_what_nobody_may_trust_and_what_there_is_not(stand: Stand) -> None:
    hosts = await begin(stand, "good")
    where = path(hosts.workflow, "hosts/actions/trust")

    assert (await stand.ask("POST", where, {"host": "good"}, by=STRANGER)).status_code == 403
    gone = await stand.ask("POST", where, {"host": "nobody"})
    assert (gone.status_code, "no attempt of workflow" in gone.text) == (404, True)
    assert (await stand.ask("POST", where, {"host": "a\0b"})).status_code == 422
    assert (await stand.ask("POST", where, {"host": ""})).status_code == 422


async def test_one_who_follows_is_told_that_a_host_rests(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("bad", STREAK, failed)
    await hosts.list()
    await hosts.list()

    def look(tx: Json) -> list[Json]:
        newest = tx.outbox.list_newest(hosts.workflow["workflow_id"], limit=32)
        return [dict(one.data) for _, one in newest.notices if one.kind == "host.rests"]

    [told] = await stand.parts.store.read(look)
    assert (told["host"], told["reason"]) == ("bad", "its last 5 attempts failed, and those of others do not")


async def test_a_parked_worker_of_a_host_that_rests_is_given_nothing(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad", events=STREAK)
    await hosts.try_some("bad", STREAK, failed)

    body = {"call": hosts.calls["bad"] + 1, "finished": [], "want": 1, "wait_s": 20}
    answer = await stand.post(protocol.STEP, body, by=hosts.workers["bad"]["token"])

    assert (answer["events"], answer["held"]) == ([], True)


async def test_what_could_not_be_written_down_is_written_down_later(stand: Stand) -> None:
    hosts = await begin(stand, "good", "bad")
    await hosts.try_some("good", 2, done)
    book = stand.parts.hosts.book
    news = book.take_news()
    await hosts.try_some("good", 1, failed)

    book.give_back(news)

    assert [(one["done"], one["failed"]) for one in await hosts.list()] == [(2, 1)]


@pytest.mark.server
async def test_what_one_service_has_seen_every_service_heeds(postgres_url: str) -> None:
    async with open_stand(postgres_url) as one:
        hosts = await begin(one, "good", "bad")
        async with open_stand(postgres_url) as other:
            there = Hosts(other, hosts.workflow, hosts.workers)
            there.calls = hosts.calls
            await hosts.try_some("bad", STREAK, failed)
            await keep_hosts(one.parts)

            await keep_hosts(other.parts)

            answer = await there.step("bad", want=1)
            assert (answer["events"], answer["held"]) == ([], True)
            await hosts.trust("bad")
            await keep_hosts(other.parts)
            assert len((await there.step("bad", want=1))["events"]) == 1
