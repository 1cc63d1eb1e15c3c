"""Does the store find those who wait, and measure what is in use, as the port says, on both databases?"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import anyio
import asyncpg
import pytest

from contracts.store_bench import A_DIRECTIVE, A_WORKFLOW, AN_ENTRY, Bench, a_taskforce, a_workflow, open_bench, until
from muster.domain.admission import AGE_S, Waiting, order
from muster.domain.asking import SILENT_S, Ask
from muster.domain.location import Agent, Location, index_locations
from muster.domain.occupancy import Occupant
from muster.domain.room import OVERTAKEN_S, InUse, Resource, Use, Wants
from muster.domain.standing import Standing, Standings, is_stuck
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import WorkflowState
from muster.server.ports.store import Transaction
from muster.server.services.find_displaced import make_displacement_finder

pytestmark = pytest.mark.anyio

KNOWN = index_locations(
    (
        Location("local", schedd="schedd-1", aliases=("alias",)),
        Location("far", schedd="ap.far", agent=Agent.UPSTREAM),
    )
)
NEW, PAST = Phase.PRE_MQ_ACTIVATION, Phase.PRE_LAUNCH


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


async def add(bench: Bench, name: str, *phases: Phase, owner: str = "ada", queues: int = 0, **changes: Any) -> None:
    """A workflow with a taskforce of four workers in each of the phases."""
    of_workflow = {key: changes.pop(key) for key in ("state",) if key in changes}
    of_workflow["created_at"] = changes.pop("workflow_at", A_WORKFLOW.created_at)

    def insert(tx: Transaction) -> None:
        tx.workflows.insert(a_workflow(name, owner=owner, **of_workflow), [])
        for number, phase in enumerate(phases):
            taskforce = a_taskforce(f"TF-{name}-{number}", workflow_id=name, phase=phase, **changes)
            tx.taskforces.insert(taskforce, AN_ENTRY)

    await bench.write(insert)
    for number in range(queues):
        await bench.add_queue(f"q{number}", workflow_id=name)


def add_up(in_use: Sequence[InUse]) -> dict[str, Use]:
    """What is in use by owner."""
    used: dict[str, Use] = {}
    for one in in_use:
        used[one.owner] = used.get(one.owner, Use()) + one.use
    return used


class AdmissionContract:
    async def test_who_waits_is_found_with_what_decides_about_it(self, bench: Bench) -> None:
        await add(bench, "WF-1", NEW, PAST, created_at=7.0, priority=60)
        await add(bench, "WF-2", NEW, NEW, owner="eve", created_at=5.0)
        await add(bench, "WF-3", PAST)
        await bench.write(
            lambda tx: tx.taskforces.insert(
                a_taskforce("TF-more", workflow_id="WF-2", created_at=9.0, priority=150), AN_ENTRY
            )
        )

        found = await bench.read(lambda tx: tx.workflows.list_waiting(NEW, limit=9, of_each=9))

        assert found == [Waiting("WF-2", "eve", 150, 5.0), Waiting("WF-1", "ada", 60, 7.0)]

    async def test_an_owner_with_many_leaves_room_for_others_and_its_oldest_are_seen(self, bench: Bench) -> None:
        for number in range(8):
            await add(bench, f"WF-{number}", NEW, created_at=1000.0, priority=90)
        await add(bench, "WF-old", NEW, created_at=1000.0 - 90 * AGE_S, priority=1)
        await add(bench, "WF-eve", NEW, owner="eve", created_at=1000.0, priority=1)

        found = await bench.read(lambda tx: tx.workflows.list_waiting(NEW, limit=8, of_each=2))

        assert [one.workflow_id for one in found] == ["WF-old", "WF-0", "WF-eve"]
        others = await bench.read(
            lambda tx: tx.workflows.list_waiting(NEW, limit=8, of_each=2, without=["ada", "olga"])
        )
        assert [one.workflow_id for one in others] == ["WF-eve"]

    async def test_of_many_owners_the_first_of_each_is_seen(self, bench: Bench) -> None:
        for owner in ("ada", "bob", "cleo", "dan"):
            for number in range(4):
                await add(bench, f"WF-{owner}-{number}", NEW, owner=owner, created_at=1000.0, priority=50)
        await add(bench, "WF-eve", NEW, owner="eve", created_at=1000.0, priority=46)

        found = await bench.read(lambda tx: tx.workflows.list_waiting(NEW, limit=8, of_each=2))

        assert [one.owner for one in found] == ["ada", "bob", "cleo", "dan", "eve", "ada", "bob", "cleo"]

    async def test_what_is_in_use_is_what_has_come_past_activation(self, bench: Bench) -> None:
        await add(bench, "WF-used", PAST, Phase.CONDOR_SUBMIT, NEW, queues=2)
        await add(bench, "WF-eve", Phase.PENDING_STARTER, owner="eve", queues=1)
        await add(bench, "WF-over", Phase.CONDOR_COMPLETE, queues=3, state=WorkflowState.FINISHED)
        await add(bench, "WF-ending", Phase.PENDING_STOPPER, queues=3, state=WorkflowState.ABORTED, cluster_id=7)
        await add(bench, "WF-never", Phase.PENDING_STOPPER, queues=3, state=WorkflowState.ABORTED)
        await add(bench, "WF-new", NEW, NEW, queues=4)

        await add(bench, "WF-bare", NEW)
        await add(bench, "WF-stranded", Phase.CONDOR_COMPLETE, NEW, queues=1, owner="olga")

        in_use = await bench.read(lambda tx: tx.workflows.measure_use(with_events=False))
        names = ["WF-new", "WF-used", "WF-eve", "WF-bare", "WF-stranded"]
        wants = await bench.read(lambda tx: tx.workflows.measure_wants(names, with_events=False))

        assert add_up(in_use) == {"ada": Use(2, 12, 0), "eve": Use(1, 4, 0), "olga": Use(1, 0, 0)}
        assert wants == Wants(
            wanted={
                "WF-new": Use(4, 8, 0),
                "WF-used": Use(0, 4, 0),
                "WF-bare": Use(0, 4, 0),
                "WF-stranded": Use(0, 4, 0),
            },
            new={"WF-new", "WF-bare"},
            stranded={"WF-stranded"},
        )

    async def test_what_is_in_use_is_told_by_the_time_at_which_it_came(self, bench: Bench) -> None:
        times = (0.0, 1.0, 2.5 * OVERTAKEN_S, 1_764_500_000.0)
        for number, at in enumerate(times):
            await add(bench, f"WF-{number}", PAST, queues=1, workflow_at=at, created_at=at)
        await add(bench, "WF-more", PAST, workflow_at=times[0], created_at=times[3])  # workers that were added since

        in_use = await bench.read(lambda tx: tx.workflows.measure_use(with_events=False))

        by_time: dict[float, Use] = {}
        for one in in_use:
            by_time[one.since] = by_time.get(one.since, Use()) + one.use
        assert by_time == {times[0]: Use(2, 8), times[2]: Use(1, 4), times[3]: Use(1, 8)}

    async def test_who_of_an_owner_has_most_is_found(self, bench: Bench) -> None:
        await add(bench, "WF-1", PAST, NEW, queues=2)
        await add(bench, "WF-2", PAST, PAST, queues=1)
        await add(bench, "WF-3", PAST, queues=1)
        await add(bench, "WF-ending", Phase.PENDING_STOPPER, queues=3, state=WorkflowState.ABORTED, cluster_id=7)
        await add(bench, "WF-new", NEW, queues=4)
        await add(bench, "WF-eve", PAST, queues=9, owner="eve")

        def find(tx: Transaction) -> dict[Resource, list[tuple[str, int]]]:
            return {
                what: [(one.workflow_id, one.amount) for one in tx.workflows.list_occupants(what, owner="ada", limit=3)]
                for what in get_args(Resource)
            }

        assert await bench.read(find) == {
            "queues": [("WF-1", 2), ("WF-2", 1), ("WF-3", 1)],
            "workers": [("WF-2", 8), ("WF-1", 4), ("WF-3", 4)],
            "events": [],
        }

    async def test_who_keeps_room_and_stands_still_is_found(self, bench: Bench) -> None:
        start, held = Phase.PENDING_STARTER, {"held_reason": "no image"}
        await add(bench, "WF-held", start, Phase.CONDOR_COMPLETE, queues=2, **held)
        await add(bench, "WF-eve", start, start, queues=1, owner="eve", **held)
        await add(bench, "WF-half", start, queues=3, **held)
        await add(bench, "WF-up", Phase.CONDOR_SUBMIT, queues=3, **held)
        await add(bench, "WF-left", Phase.PENDING_STOPPER, queues=3, state=WorkflowState.ABORTED, cluster_id=7, **held)
        await add(bench, "WF-never", Phase.PENDING_STOPPER, queues=3, state=WorkflowState.ABORTED, **held)
        await add(bench, "WF-done", Phase.CONDOR_COMPLETE, queues=3)
        other = a_taskforce("TF-up", workflow_id="WF-half", phase=Phase.CONDOR_SUBMIT)
        await bench.write(lambda tx: tx.taskforces.insert(other, AN_ENTRY))
        await bench.publish(await bench.add_queue("events", workflow_id="WF-held"), b"1", b"2")

        def find(tx: Transaction, owner: str | None) -> dict[Resource, list[tuple[str, int]]]:
            found = {
                what: tx.workflows.list_standing(what, known=KNOWN, owner=owner, of_each=9)
                for what in get_args(Resource)
            }
            assert {(one.workflow_id, one.owner, one.is_active) for one in found["workers"].most if owner is None} <= {
                ("WF-held", "ada", True),
                ("WF-half", "ada", True),
                ("WF-eve", "eve", True),
                ("WF-left", "ada", False),
            }
            return {what: [(one.workflow_id, one.amount) for one in those.most] for what, those in found.items()}

        assert await bench.read(lambda tx: find(tx, None)) == {
            "queues": [("WF-held", 3), ("WF-eve", 1)],
            "workers": [("WF-eve", 8), ("WF-half", 4), ("WF-held", 4), ("WF-left", 4)],
            "events": [("WF-held", 2)],
        }
        of_eve = {"queues": [("WF-eve", 1)], "workers": [("WF-eve", 8)], "events": []}
        assert await bench.read(lambda tx: find(tx, "eve")) == of_eve
        few = await bench.read(lambda tx: tx.workflows.list_standing("workers", known=KNOWN, owner=None, of_each=1))
        assert few == Standings({"eve": 8, "ada": 12}, [Standing("WF-eve", "eve", 8), Standing("WF-half", "ada", 4)])

    async def test_what_no_agent_can_be_told_of_stands_still_as_the_domain_has_it(self, bench: Bench) -> None:
        """For each place and moment that makes a difference: what the statement finds is what `is_stuck` says."""
        now = await bench.read(lambda tx: tx.now())
        differences: list[dict[str, Any]] = [
            {"location": location, "schedd": schedd, "phase": phase, "cluster_id": cluster_id, "claim_until": until}
            for location in ("local", "alias", "far", "gone")
            for schedd in ("schedd-1", "ap.far", "ap.old", "ap.offered", "ap.silent")
            for phase, cluster_id in (
                (Phase.PENDING_STARTER, None),
                (Phase.CONDOR_SUBMIT, 7),
                (Phase.PENDING_STOPPER, 7),
                (Phase.PENDING_STOPPER, None),
            )
            for until in (None, now - 60, now + 600)
        ]
        every = [a_taskforce(f"TF-{n}", workflow_id=f"WF-{n}", **one) for n, one in enumerate(differences)]

        def insert(tx: Transaction) -> None:
            offers = (("ap.offered", now), ("ap.silent", now - SILENT_S[Agent.UPSTREAM] - 60))
            tx.askings.note([Ask(Agent.UPSTREAM, place, "", at) for place, at in offers])
            for one in every:
                tx.workflows.insert(a_workflow(one.workflow_id), [])
                tx.taskforces.insert(one, AN_ENTRY)

        await bench.write(insert)

        def compare(tx: Transaction, known: Mapping[str, Location]) -> tuple[set[str], set[str]]:
            found = tx.workflows.list_standing("workers", known=known, owner=None, of_each=len(every))
            find, at = make_displacement_finder(tx, known), tx.now()
            stuck = {one.workflow_id for one in every if is_stuck(one, find_displacement=find, now=at)}
            return {one.workflow_id for one in found.most}, stuck

        for known in (KNOWN, {}):
            found, stuck = await bench.read(partial(compare, known=known))
            assert found == stuck
            assert 0 < len(stuck) < len(every)

    async def test_those_whose_log_does_not_say_it_are_found(self, bench: Bench) -> None:
        await add(bench, "WF-told", NEW, PAST)
        await add(bench, "WF-half", NEW, NEW)
        await add(bench, "WF-untold", NEW)
        await add(bench, "WF-past", PAST)
        told = replace(AN_ENTRY, context="later")
        more = replace(AN_ENTRY, context="something else")
        await bench.write(
            lambda tx: tx.taskforces.append_logs(
                [("TF-WF-told-0", told), ("TF-WF-told-0", more), ("TF-WF-half-1", told), ("TF-WF-untold-0", more)]
            )
        )

        def find(tx: Transaction) -> Any:
            names = ["WF-told", "WF-half", "WF-untold", "WF-past", "WF-none"]
            return tx.taskforces.find_untold(names, phase=NEW, context="later"), tx.taskforces.find_untold(
                [], phase=NEW, context="later"
            )

        assert await bench.read(find) == ({"WF-half", "WF-untold"}, set())

    async def test_the_cut_leaves_out_those_who_come_last_in_the_line(self, bench: Bench) -> None:
        """Also where several are as urgent: a younger one of higher priority, and those of one moment."""
        for number in range(12):
            age, owner = number % 3, ("ada", "eve")[number % 2]
            at, priority = 100_000.0 - age * AGE_S, 50 - age
            await add(bench, f"WF-{(number * 7) % 12:02}", NEW, owner=owner, created_at=at, priority=priority)
        every = await bench.read(lambda tx: tx.workflows.list_waiting(NEW, limit=99, of_each=99))
        line = order(every, now=200_000.0)

        for limit in range(1, 13):
            found = await bench.read(lambda tx, limit=limit: tx.workflows.list_waiting(NEW, limit=limit, of_each=9))  # type: ignore[misc]
            assert order(found, now=200_000.0) == line[:limit]

    async def test_events_in_use_are_those_that_wait_or_are_in_work_folded_or_not(self, bench: Bench) -> None:
        await add(bench, "WF-used", PAST)
        await add(bench, "WF-new", NEW)
        used = await bench.add_queue(workflow_id="WF-used")
        new = await bench.add_queue(workflow_id="WF-new")
        await bench.publish(used, b"1", b"2", b"3")
        await bench.engine.fold()
        await bench.step(await bench.enrol(), used, want=1)
        await bench.publish(used, b"4")
        await bench.publish(new, b"1", b"2")

        def measure(tx: Transaction, *, with_events: bool) -> tuple[dict[str, Use], Mapping[str, Use]]:
            wants = tx.workflows.measure_wants(["WF-new"], with_events=with_events)
            return add_up(tx.workflows.measure_use(with_events=with_events)), wants.wanted

        uses = await bench.read(partial(measure, with_events=True))
        most = await bench.read(lambda tx: tx.workflows.list_occupants("events", owner="ada", limit=9))
        assert most == [Occupant("WF-used", 4)]
        without = await bench.read(partial(measure, with_events=False))

        assert uses == ({"ada": Use(1, 4, 4)}, {"WF-new": Use(1, 4, 2)})
        assert without == ({"ada": Use(1, 4, 0)}, {"WF-new": Use(1, 4, 0)})

    async def test_a_free_workflow_is_found_and_no_other(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-1"), [A_DIRECTIVE]))

        found = await bench.write(lambda tx: tx.workflows.find_free(["WF-1", "WF-2"]))

        assert found == {"WF-1": a_workflow("WF-1")}


class TestSqliteAdmission(AdmissionContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgresAdmission(AdmissionContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench

    async def test_what_another_service_has_in_hand_is_passed_over(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-1"), []))
        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-2"), []))
        other = await asyncpg.connect(bench.url)
        async with other.transaction():
            await other.execute("SELECT 1 FROM workflow WHERE workflow_id = 'WF-1' FOR UPDATE")
            meanwhile = await bench.write(lambda tx: tx.workflows.find_free(["WF-1", "WF-2"]))
        await other.close()

        assert list(meanwhile) == ["WF-2"]
        assert set(await bench.write(lambda tx: tx.workflows.find_free(["WF-1", "WF-2"]))) == {"WF-1", "WF-2"}

    async def test_a_turn_is_one_transactions_at_a_time(self, bench: Bench) -> None:
        other = await asyncpg.connect(bench.url)
        order: list[str] = []

        def take(tx: Transaction) -> None:
            tx.take_turn("admission")
            order.append("second")

        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock(hashtextextended('admission', 0))")
            group.start_soon(bench.write, take)
            await until(lambda: someone_waits(other))
            order.append("first")
        await other.close()

        assert order == ["first", "second"]


async def someone_waits(connection: "asyncpg.Connection[Any]") -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
