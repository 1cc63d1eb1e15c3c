"""Does the store keep groups, profiles and keys of queues on a broker as the port says, on both databases?"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import anyio
import pytest

from contracts.store_bench import A_WORKFLOW, AN_ENTRY, Bench, a_taskforce, a_workflow, open_bench
from muster.domain.mq_profile import Direction, GroupedProfile, Kind, MqGroup, MqProfile, TokenStamp
from muster.domain.queue_token import PublicKey
from muster.domain.workflow import WorkflowState
from muster.server.adapters.sql.mq_schema import mq_group
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.ports.store import Transaction

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


A_GROUP = MqGroup("WF-1", 1000.5, "ada", Kind.BRIDGED)
A_STAMP = TokenStamp("k1", 1000.123456, 2000.654321)
IN = MqProfile("a1", 1, "in", is_public=True, direction=Direction.READ)
HIDDEN = MqProfile("a2", 2, "in", is_public=False, direction=Direction.BOTH, stamp=A_STAMP)
TTL_S = 100.0
OLD, NEW, OTHER = (PublicKey(kid, f"n-{kid}", "AQAB") for kid in ("old", "new", "other"))


async def grouped(bench: Bench, workflow_id: str = "WF-1", *, only_public: bool = False) -> list[GroupedProfile]:
    return list(await bench.read(lambda tx: tx.mq_groups.list_of_workflow(workflow_id, only_public=only_public)))


async def published(bench: Bench, *, now: float) -> list[str]:
    return [one.kid for one in await bench.read(lambda tx: tx.published_keys.list_published(now=now))]


async def make_current(bench: Bench, key: PublicKey, *, now: float, ttl_s: float = TTL_S) -> None:
    await bench.write(lambda tx: tx.published_keys.make_current(key, now=now, ttl_s=ttl_s))


async def keep_until(bench: Bench, key: PublicKey, until: float, *, now: float) -> None:
    await bench.write(lambda tx: tx.published_keys.keep_until(key, until, now=now, ttl_s=TTL_S))


class MqGroupContract:
    async def test_a_group_and_its_profiles_come_back_as_they_were(self, bench: Bench) -> None:
        assert await bench.write(lambda tx: tx.mq_groups.insert(A_GROUP, [HIDDEN, IN]))

        assert await bench.read(lambda tx: tx.mq_groups.find_group("WF-1")) == A_GROUP
        expected = [GroupedProfile(one, A_GROUP, is_live=True) for one in (IN, HIDDEN)]
        assert await grouped(bench) == expected
        assert await grouped(bench, only_public=True) == expected[:1]
        assert await bench.read(lambda tx: tx.mq_groups.find(["a2", "a9"])) == {"a2": expected[1]}
        assert await bench.read(lambda tx: tx.mq_groups.find([])) == {}

    async def test_what_does_not_exist_is_not_there(self, bench: Bench) -> None:
        assert await bench.read(lambda tx: tx.mq_groups.find_group("WF-9")) is None
        assert await grouped(bench, "WF-9") == []
        await bench.write(lambda tx: tx.mq_groups.activate("WF-9", criteria=None, at=1.0))

    async def test_the_first_group_of_a_workflow_holds(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.mq_groups.insert(A_GROUP, [IN]))
        second = replace(A_GROUP, owner="eve", kind=Kind.FOREIGN)

        assert not await bench.write(lambda tx: tx.mq_groups.insert(second, [replace(HIDDEN, mqid="a3")]))
        assert await grouped(bench) == [GroupedProfile(IN, A_GROUP, is_live=True)]

    async def test_of_groups_that_come_at_once_one_holds_whole(self, bench: Bench) -> None:
        done: list[bool] = []

        async def insert(number: int) -> None:
            group = replace(A_GROUP, owner=f"owner-{number}")
            profiles = [replace(IN, mqid=f"a{number}{place}", position=place) for place in range(3)]
            done.append(await bench.write(lambda tx: tx.mq_groups.insert(group, profiles)))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(insert, number)

        assert sorted(done) == [False] * 7 + [True]
        found = await grouped(bench)
        winner = found[0].group.owner.removeprefix("owner-")
        assert [one.profile.mqid for one in found] == [f"a{winner}{place}" for place in range(3)]

    async def test_an_activation_keeps_its_first_time_and_its_last_criteria(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.mq_groups.insert(A_GROUP, []))
        for at, criteria in ((5.5, {"priority": 2**62}), (7.0, {"priority": -1}), (8.0, None)):

            def activate(tx: Transaction, at: float = at, criteria: dict[str, int] | None = criteria) -> None:
                tx.mq_groups.activate("WF-1", criteria=criteria, at=at)

            await bench.write(activate)
            expected = replace(A_GROUP, criteria=criteria, activated_at=5.5)
            assert await bench.read(lambda tx: tx.mq_groups.find_group("WF-1")) == expected

    async def test_queues_of_other_services_are_in_use_while_their_tokens_are_good(self, bench: Bench) -> None:
        for number, (owner, kind) in enumerate([("wms", Kind.FOREIGN), ("wms-2", Kind.FOREIGN), ("wms", Kind.DIRECT)]):
            group = MqGroup(f"WF-{number}", 1000.5, owner, kind, activated_at=1000.5)
            profiles = [
                replace(IN, mqid=f"a{number}0", position=0, stamp=TokenStamp("k1", 1000.0, 2000.0)),
                replace(IN, mqid=f"a{number}1", position=1, stamp=TokenStamp("k1", 1000.0, 3000.0 + number)),
                replace(IN, mqid=f"a{number}2", position=2),
            ]
            await bench.write(lambda tx, group=group, profiles=profiles: tx.mq_groups.insert(group, profiles))  # type: ignore[misc]

        async def count(now: float) -> Mapping[str, int]:
            return await bench.read(lambda tx: tx.mq_groups.count_in_use(now=now))

        assert await count(1500.0) == {"wms": 2, "wms-2": 2}
        assert [await count(now) for now in (2000.0, 3000.0, 3001.0)] == [{"wms": 1, "wms-2": 1}, {"wms-2": 1}, {}]

    async def test_only_what_is_new_is_activated_by_ourselves(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.mq_groups.insert(A_GROUP, []))
        for at, priority in ((5.5, 50), (7.0, 60)):

            def activate(tx: Transaction, at: float = at, priority: int = priority) -> None:
                tx.mq_groups.activate_new({"WF-1": {"priority": priority}}, at=at)

            await bench.write(activate)
        expected = replace(A_GROUP, criteria={"priority": 50}, activated_at=5.5)
        assert await bench.read(lambda tx: tx.mq_groups.find_group("WF-1")) == expected

    async def test_a_stamp_is_kept_to_the_last_digit(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.mq_groups.insert(A_GROUP, [IN, HIDDEN]))
        stamp = TokenStamp("k2", 1795965960.8308103, 1796052360.8308103)

        await bench.write(lambda tx: tx.mq_groups.stamp(["a1"], stamp))

        assert [one.profile.stamp for one in await grouped(bench)] == [stamp, A_STAMP]

    async def test_a_profile_lives_as_long_as_its_workflow(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        await bench.write(lambda tx: tx.mq_groups.insert(A_GROUP, [IN]))
        seen = []
        for state in (WorkflowState.FINISHED, WorkflowState.ACTIVE, WorkflowState.ABORTED):
            seen.append([one.is_live for one in await grouped(bench)])

            def move(tx: Transaction, state: WorkflowState = state) -> None:
                tx.workflows.update(replace(A_WORKFLOW, state=state))

            await bench.write(move)
        seen.append([one.is_live for one in await grouped(bench)])
        assert seen == [[True], [False], [True], [False]]

    async def test_groups_that_a_migration_made_are_given_their_kind_by_their_places(self, bench: Bench) -> None:
        def insert(tx: Transaction) -> None:
            for number, location in ((1, "ours"), (2, "theirs"), (3, "gone"), (4, "theirs")):
                name = f"WF-{number}"
                tx.workflows.insert(a_workflow(name), [])
                tx.taskforces.insert(a_taskforce(f"TF-{number}", workflow_id=name, location=location), AN_ENTRY)
                tx.mq_groups.insert(replace(A_GROUP, workflow_id=name, kind=Kind.BRIDGED), [])
            tx.mq_groups.insert(replace(A_GROUP, workflow_id="WF-foreign", kind=Kind.FOREIGN), [])
            assert isinstance(tx, SqlTransaction)
            tx._session.execute(
                mq_group.update().where(mq_group.c.workflow_id.in_(["WF-1", "WF-2", "WF-3"])).values(kind=None)
            )

        await bench.write(insert)
        for upstream in (["theirs"], ["ours", "gone"], []):
            await bench.write(lambda tx, upstream=upstream: tx.mq_groups.settle(upstream))  # type: ignore[misc]

        def look(tx: Transaction) -> dict[str, Kind]:
            names = ("WF-1", "WF-2", "WF-3", "WF-4", "WF-foreign")
            return {name: group.kind for name in names if (group := tx.mq_groups.find_group(name))}

        assert await bench.read(look) == {
            "WF-1": Kind.BRIDGED,
            "WF-2": Kind.DIRECT,
            "WF-3": Kind.BRIDGED,
            "WF-4": Kind.BRIDGED,
            "WF-foreign": Kind.FOREIGN,
        }


class PublishedKeysContract:
    async def test_a_key_comes_back_as_it_was(self, bench: Bench) -> None:
        await make_current(bench, NEW, now=1.0)
        assert await bench.read(lambda tx: tx.published_keys.list_published(now=9e9)) == [NEW]

    async def test_another_one_in_its_place_lets_it_expire(self, bench: Bench) -> None:
        await make_current(bench, OLD, now=0.0)
        await make_current(bench, NEW, now=10.0)
        assert await published(bench, now=109.9) == ["old", "new"]
        assert await published(bench, now=110.0) == ["new"]

    async def test_one_that_comes_back_does_not_expire_and_the_other_does(self, bench: Bench) -> None:
        for now, key in ((0.0, OLD), (10.0, NEW), (20.0, OLD)):
            await make_current(bench, key, now=now)
        assert await published(bench, now=119.9) == ["old", "new"]
        assert await published(bench, now=121.0) == ["old"]

    async def test_one_that_expires_already_is_not_prolonged_by_a_third(self, bench: Bench) -> None:
        for now, key in ((0.0, OLD), (10.0, NEW), (60.0, OTHER)):
            await make_current(bench, key, now=now)
        assert await published(bench, now=111.0) == ["new", "other"]

    async def test_a_key_stays_as_long_as_the_last_token_that_it_signed(self, bench: Bench) -> None:
        await make_current(bench, OLD, now=0.0)
        await keep_until(bench, OLD, 900.0, now=1.0)
        await keep_until(bench, OLD, 500.0, now=2.0)
        await make_current(bench, NEW, now=10.0)
        assert await published(bench, now=899.0) == ["old", "new"]
        await keep_until(bench, OLD, 950.0, now=20.0)  # by a service that has not seen the new one
        assert await published(bench, now=949.0) == ["old", "new"]
        assert await published(bench, now=950.0) == ["new"]

    async def test_one_that_signs_and_is_not_there_is_made_current(self, bench: Bench) -> None:
        await make_current(bench, OLD, now=0.0)
        await keep_until(bench, NEW, 900.0, now=50.0)
        assert await published(bench, now=149.0) == ["old", "new"]
        assert await published(bench, now=5000.0) == ["new"]

    async def test_only_what_has_expired_is_deleted(self, bench: Bench) -> None:
        for now, key in ((0.0, OLD), (10.0, NEW)):
            await make_current(bench, key, now=now)
        assert await bench.write(lambda tx: tx.published_keys.delete_expired(now=109.0)) == 0
        assert await bench.write(lambda tx: tx.published_keys.delete_expired(now=110.0)) == 1
        assert await published(bench, now=0.0) == ["new"]

    async def test_services_that_exchange_keys_at_once_leave_one_that_does_not_expire_or_more(
        self, bench: Bench
    ) -> None:
        """Which one comes last nobody can say; none of them fails, and what signs is published."""

        async def exchange(number: int) -> None:
            key = (OLD, NEW, OTHER)[number % 3]
            await make_current(bench, key, now=float(number))
            await keep_until(bench, key, 1000.0, now=float(number))

        async with anyio.create_task_group() as tasks:
            for number in range(24):
                tasks.start_soon(exchange, number)

        assert set(await published(bench, now=999.0)) == {"old", "new", "other"}
        assert await published(bench, now=1e9) != []


class TestSqlite(MqGroupContract, PublishedKeysContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgres(MqGroupContract, PublishedKeysContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench
