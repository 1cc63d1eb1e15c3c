"""Do the agent's loops, together, start, watch, stop and report, and outlast an absent service?"""

from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from contracts.site_fakes import FakeJournal, FakePool, FakeService, PoolWorld
from muster.domain.errors import Finding, RejectedError, UnavailableError
from muster.domain.taskforce_phase import Phase
from muster.site.adapters.processes.pool import ProcessPool
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.daemons import places
from muster.site.daemons.claimer import Claimer
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.places import Places
from muster.site.daemons.reconciler import Reconciler
from muster.site.daemons.reporter import StatusReporter
from muster.site.daemons.trouble import TroubleLog
from muster.site.daemons.watcher import PoolWatcher
from muster.site.ports.pool import ClusterSpec, Pool
from muster.site.services.parts import Parts

pytestmark = pytest.mark.anyio

DEADLINE_S = 20.0


@asynccontextmanager
async def agent(service: FakeService, pool: Pool, files: dict[str, bytes], *locations: str) -> AsyncIterator[None]:
    """All daemons of one agent. Leaving is a crash: nothing is tidied up."""
    parts = Parts(pool, FakeJournal(files), service, "a", workers_max=10)
    trouble = TroubleLog()
    keeper = TaskforceKeeper(parts, trouble)
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run, (await parts.journal.read()).records)
        await tasks.start(Claimer(service, keeper, trouble, agent="a", locations=locations or ["local"], lease_s=1).run)
        await tasks.start(PoolWatcher(pool, keeper, trouble).run)
        await tasks.start(StatusReporter(parts, keeper, trouble, interval_s=0.02).run)
        await tasks.start(Reconciler(parts, keeper, trouble).run)
        yield
        tasks.cancel_scope.cancel()


async def wait_for(condition: Callable[[], object]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # what is waited for rings no bell
            await anyio.sleep(0.005)


async def test_a_taskforce_is_started_reported_and_completed() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, FakePool(world), files := dict[str, bytes]()):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.statuses == {"RUNNING": {"Tasking": 2}})
        assert taskforce.phase is Phase.CONDOR_SUBMIT
        assert b"secret" not in b"".join(files.values())

        for cluster in world.clusters.values():
            cluster.argv = ("true",)

        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE and not files)
    assert taskforce.statuses == {"COMPLETED": {"Done": 2}}
    assert world.clusters == {}


async def test_a_taskforce_is_stopped() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, FakePool(world), files := dict[str, bytes]()):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)

        service.deactivate("TF-1")

        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE and not files)
    assert (world.clusters, taskforce.history[-2:]) == ({}, ["removed", "completed"])


async def test_one_whose_workers_live_elsewhere_is_not_said_to_have_ended() -> None:
    """Two agents have the same name: each would have the other's workers stopped."""
    service, world, nowhere = FakeService(), PoolWorld(), PoolWorld()
    taskforce = service.add("TF-1")
    async with agent(service, FakePool(world), {}):
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)
        taskforce.workers = 2

        with structlog.testing.capture_logs() as told:
            async with agent(service, FakePool(nowhere), files := dict[str, bytes]()):
                await wait_for(lambda: any("MUSTER_SITE_NAME" in str(line.get("error")) for line in told))
                assert (taskforce.phase, len(world.clusters), files) == (Phase.CONDOR_SUBMIT, 1, {})

    taskforce.workers = 0  # they have died, and so has who started them
    async with agent(service, FakePool(nowhere), {}):
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE)


async def test_a_bad_taskforce_is_refused_with_its_reason_and_stops_nobody() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, FakePool(world), files := dict[str, bytes]()):
        image = service.add("TF-1", task_image="img:1")
        many = service.add("TF-2", n_workers=11)
        good = service.add("TF-3")
        await wait_for(lambda: image.failures and many.failures and good.phase is Phase.CONDOR_SUBMIT)
        await wait_for(lambda: len(files) == 1)

    assert (image.failures[0].final, many.failures[0].final) == (True, True)
    assert "no container runtime here" in image.failures[0].error
    assert "n_workers 11" in many.failures[0].error


async def test_a_refusal_of_the_pool_is_told_and_tried_again_when_the_service_says_so() -> None:
    service, world = FakeService(), PoolWorld()
    pool = FakePool(world)
    pool.troubles = [RejectedError("the schedd says no"), RejectedError("the schedd says no")]
    async with agent(service, pool, {}):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)

    assert [(one.error, one.final) for one in taskforce.failures] == [("the schedd says no", False)] * 2
    assert world.submits["TF-1"] == 1


async def test_a_pool_that_does_not_answer_is_tried_again() -> None:
    service, world = FakeService(), PoolWorld()
    pool = FakePool(world)
    pool.troubles = [UnavailableError("the schedd is away")]
    async with agent(service, pool, {}):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)

    assert (taskforce.failures, world.submits["TF-1"]) == ([], 1)


async def test_a_removal_that_the_pool_forbids_is_told_and_the_taskforce_watched_on() -> None:
    service, world = FakeService(), PoolWorld()
    pool = FakePool(world)
    async with agent(service, pool, {}):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)
        pool.troubles = [RejectedError("not your cluster")]
        service.deactivate("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE)

    assert [one.error for one in taskforce.failures] == ["not your cluster"]
    assert world.alive("TF-1") == 0


async def test_an_absent_service_is_outlasted_and_told_of_once(logged: list[MutableMapping[str, Any]]) -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, FakePool(world), {}):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)
        service.is_down = True
        service.rung.set()
        calls = len(logged)
        for cluster in world.clusters.values():
            cluster.argv = ("true",)
        await wait_for(lambda: any(entry.get("doing") == "taskforce TF-1" for entry in logged))
        await anyio.sleep(0.5)
        told = [entry["doing"] for entry in logged[calls:] if entry["log_level"] == "warning"]
        service.is_down = False
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE)

    assert sorted(told) == sorted(set(told))
    assert {"claiming", "taskforce TF-1"} <= set(told)


async def test_a_location_that_the_service_does_not_know_keeps_no_other_from_being_served(
    logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LOOK_AGAIN_S", 0.2)
    service, world = FakeService(), PoolWorld()
    async with agent(service, FakePool(world), {}, "lab", "local"):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)
        refusals = [entry for entry in logged if entry["log_level"] == "error"]
        service.locations.add("lab")
        await wait_for(lambda: any(entry["event"] == "locations are served now" for entry in logged))

    assert service.asked[:2] == [["lab", "local"], ["local"]]
    assert refusals[0] == {
        "log_level": "error",
        "event": "locations of MUSTER_SITE_LOCATIONS are not served",
        "error": "there is no location 'lab'; known are: local",
        "refused": ["lab"],
        "served": ["local"],
        "again_in_s": 0.2,
    }
    assert service.asked[-1] == ["lab", "local"]


async def test_an_agent_none_of_whose_locations_is_known_says_so_and_tries_them_at_a_decent_pace(
    logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LOOK_AGAIN_S", 0.5)
    service, world = FakeService(), PoolWorld()
    begun_at = anyio.current_time()
    async with agent(service, FakePool(world), {}, "lab", "office"):
        await wait_for(lambda: len(service.asked) == 3)
        took_s = anyio.current_time() - begun_at
        service.locations.add("lab")
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)

    assert took_s >= 1.0
    told = [entry for entry in logged if entry["log_level"] == "error"]
    assert told[0]["event"] == "no location of MUSTER_SITE_LOCATIONS is served"
    assert (
        told[0]["error"]
        == "there is no location 'lab'; known are: local; there is no location 'office'; known are: local"
    )
    assert (told[-1]["refused"], told[-1]["served"]) == (["office"], ["lab"])


@pytest.mark.parametrize("field", ["agent", "locations", "locations[7]"])
async def test_a_claim_that_is_refused_for_something_else_takes_no_location_away(field: str) -> None:
    asked = places.Places(["lab", "local"])
    findings = [Finding("locations[0]", "there is no location 'lab'"), Finding(field, "is wrong")]

    assert not asked.take_refusal(asked.choose(), findings)
    assert not asked.take_refusal(asked.choose(), findings[1:])
    assert asked.choose() == ["lab", "local"]


async def test_the_next_agent_takes_up_what_the_last_one_left() -> None:
    service, world, files = FakeService(), PoolWorld(), dict[str, bytes]()
    async with agent(service, FakePool(world), files):
        taskforce = service.add("TF-1")
        forgotten = service.add("TF-2")
        await wait_for(lambda: {taskforce.phase, forgotten.phase} == {Phase.CONDOR_SUBMIT} and len(files) == 2)
    files["TF-2"] = b"spoilt"
    service.deactivate("TF-1")
    service.deactivate("TF-2")

    async with agent(service, FakePool(world), files):
        await wait_for(lambda: {taskforce.phase, forgotten.phase} == {Phase.CONDOR_COMPLETE} and not files)

    assert world.clusters == {}


async def test_a_worker_runs_soon_after_its_order(tmp_path: Path) -> None:
    """Generous for a busy machine; the benchmark has the real figure."""
    pool = await ProcessPool.open(
        tmp_path / "site", WorkerSettings(command=("sh", "-c", "date +%s.%N > began; sleep 60"))
    )
    service = FakeService()
    try:
        async with agent(service, pool, {}):
            await wait_for(lambda: service.is_parked)
            service.add("TF-1", n_workers=1)
            asked_at = anyio.current_time()
            began = tmp_path / "site" / "clusters" / "TF-1" / "procs" / "0" / "began"
            await wait_for(lambda: began.exists() and began.read_text())
            took_s = anyio.current_time() - asked_at
        print(f"order to worker's first word: {took_s * 1000:.0f} ms")
        assert took_s < 2.0
    finally:
        for placed in await pool.list_placed():
            await pool.remove(placed.cluster, grace_s=0)
        pool.close()


async def test_an_orphan_of_an_aborted_taskforce_is_taken_away() -> None:
    service, world = FakeService(), PoolWorld()
    gone = await FakePool(world).submit(ClusterSpec(2, "s3cret", fence=3), tag="TF-unknown")
    async with agent(service, FakePool(world), files := dict[str, bytes]()):
        await wait_for(lambda: gone not in world.clusters and not files)

    assert world.alive("TF-unknown") == 0


async def test_what_ended_and_was_forgotten_is_told_again_to_a_service_that_was_restored() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, FakePool(world), files := dict[str, bytes]()):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)
        for cluster in world.clusters.values():
            cluster.argv = ("true",)
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE and not files)

        taskforce.phase = Phase.CONDOR_SUBMIT

        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE and not files)
    assert taskforce.history[-2:] == ["completed", "completed"]
    assert world.submits["TF-1"] == 1


async def test_a_cluster_of_which_the_record_is_lost_is_found_when_the_service_asks_for_it() -> None:
    service, world, files = FakeService(), PoolWorld(), dict[str, bytes]()
    async with agent(service, FakePool(world), files):
        taskforce = service.add("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_SUBMIT)
    files.clear()

    async with agent(service, FakePool(world), files):
        await wait_for(lambda: files)
        service.deactivate("TF-1")
        await wait_for(lambda: taskforce.phase is Phase.CONDOR_COMPLETE and not files)
    assert (world.submits["TF-1"], world.clusters) == (1, {})


async def test_what_is_refused_later_is_left_out_beside_what_was_refused_before() -> None:
    places = Places(["a", "b", "c"])

    assert places.take_refusal(places.choose(), [Finding("locations[0]", "unknown")])
    assert places.take_refusal(places.choose(), [Finding("locations[0]", "unknown")])

    assert places.choose() == ["c"]
