"""Does the service learn what a pool tells of its clusters and why their procs wait, bounded, and held up by nothing?"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from contracts.site_fakes import RUNNING, FakeCluster, FakeJournal, FakePool, FakeService, FakeTaskforce, PoolWorld
from muster.client.shapes.sites import WorkerFacts
from muster.domain.errors import UnavailableError
from muster.domain.pool_facts import NAME_CHARS_MAX, NAMES_MAX, REASON_CHARS_MAX, REASONS_MAX, PoolFacts, list_top
from muster.domain.taskforce_phase import Phase
from muster.site.daemons.claimer import Claimer
from muster.site.daemons.explainer import AT_ONCE, TOLD_AGAIN_S, Explainer
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.reporter import StatusReporter
from muster.site.daemons.trouble import TroubleLog
from muster.site.daemons.watcher import PoolWatcher
from muster.site.ports.pool import Observation, ProcState
from muster.site.services.explain_waiting import ASK_AGAIN_S, FAILED_S, WAITED_S, has_waiting, trim_reasons
from muster.site.services.parts import Parts
from muster.site.services.report import FACTS_AGAIN_S, TASKFORCES_MAX, ReportBook

pytestmark = pytest.mark.anyio

IDLE = (ProcState.IDLE, None)
HELD = ("HELD: no such file", None)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time that jumps to when something happens next."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


def make_parts(service: FakeService, world: PoolWorld) -> Parts:
    return Parts(FakePool(world), FakeJournal(), service, "a", workers_max=10, now=anyio.current_time)


@asynccontextmanager
async def agent(service: FakeService, world: PoolWorld) -> AsyncIterator[None]:
    """All that reports, of one agent."""
    parts, trouble = make_parts(service, world), TroubleLog()
    keeper = TaskforceKeeper(parts, trouble)
    reporter = StatusReporter(parts, keeper, trouble, interval_s=1.0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run, ())
        await tasks.start(Claimer(service, keeper, trouble, agent="a", locations=["local"], lease_s=60).run)
        await tasks.start(PoolWatcher(parts.pool, keeper, trouble).run)
        await tasks.start(reporter.run)
        await tasks.start(Explainer(parts, keeper, trouble, find_seen=reporter.find_seen).run)
        yield
        tasks.cancel_scope.cancel()


async def start(service: FakeService, world: PoolWorld, uuid: str = "TF-1") -> tuple[FakeTaskforce, FakeCluster]:
    """A taskforce at work, with the cluster behind it."""
    taskforce = service.add(uuid)
    await anyio.sleep(5.0)  # all that looks does so once a second
    assert taskforce.phase is Phase.CONDOR_SUBMIT
    return taskforce, world.clusters[taskforce.cluster_id or 0]


# -- facts ---------------------------------------------------------------------------------------------------------------


async def test_facts_are_told_when_they_change_and_also_that_there_is_nothing_left() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        assert (taskforce.facts, taskforce.reasons) == (None, [])

        cluster.facts = PoolFacts(evictions=1, holds={"no such file": 2}, sites={"north": 1})
        await anyio.sleep(3.0)
        assert taskforce.facts == WorkerFacts(evictions=1, holds={"no such file": 2}, sites={"north": 1})

        cluster.facts = PoolFacts(evictions=1)
        await anyio.sleep(3.0)
        reports = len(service.reports)
        assert taskforce.facts == WorkerFacts(evictions=1)

        await anyio.sleep(30.0)
        assert len(service.reports) == reports


async def test_the_last_facts_and_errors_are_there_when_it_is_complete() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.facts = PoolFacts(restarts=3)
        cluster.argv = ("false",)
        await anyio.sleep(5.0)

    assert (taskforce.phase, taskforce.facts) == (Phase.CONDOR_COMPLETE, WorkerFacts(restarts=3))
    assert taskforce.errors == {"worker ended with status 1": 2}


async def test_errors_that_are_gone_are_told_to_be_gone() -> None:
    service, book = FakeService(), ReportBook()
    taskforce = service.add("TF-1")
    parts = make_parts(service, PoolWorld())

    await book.report(parts, {"TF-1": Observation({IDLE: 1}, {"e": 1}, 1, None)})
    assert taskforce.errors == {"e": 1}
    await book.report(parts, {"TF-1": Observation({RUNNING: 1}, {}, 1, None)})
    assert taskforce.errors == {}
    await book.report(parts, {"TF-1": Observation({}, {}, 0, None)})
    assert (taskforce.statuses, len(service.reports)) == ({}, 3)


async def test_an_agent_that_knows_nothing_yet_wipes_nothing_out() -> None:
    service = FakeService()
    taskforce = service.add("TF-1")
    taskforce.errors, taskforce.statuses = {"e": 1}, {"IDLE": {"null": 1}}

    await ReportBook().report(make_parts(service, PoolWorld()), {"TF-1": Observation({}, {}, 1, None)})

    assert (taskforce.errors, taskforce.statuses, service.reports) == ({"e": 1}, {"IDLE": {"null": 1}}, [])


async def test_a_service_of_before_is_told_statuses_alone_and_facts_once_it_is_a_newer_one() -> None:
    service, world = FakeService(), PoolWorld()
    service.is_of_before = True
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.facts = PoolFacts(evictions=1)
        cluster.procs = [IDLE, RUNNING]
        await anyio.sleep(30.0)
        assert taskforce.statuses == {"IDLE": {"null": 1}, "RUNNING": {"Tasking": 1}}
        assert (taskforce.facts, taskforce.reasons) == (None, ())
        assert sum(bool(one.facts) for one in service.reports) == 1
        assert sum(bool(one.reasons) for one in service.reports) == 1

        service.is_of_before = False
        cluster.reasons = ["no machine has 4 TB"]
        await anyio.sleep(max(FACTS_AGAIN_S, TOLD_AGAIN_S) + 5.0)
        assert (taskforce.facts, taskforce.reasons) == (WorkerFacts(evictions=1), ["no machine has 4 TB"])


async def test_a_taskforce_of_a_service_of_before_comes_to_its_end() -> None:
    service, world = FakeService(), PoolWorld()
    service.is_of_before = True
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.facts = PoolFacts(evictions=1)
        cluster.argv = ("true",)
        await anyio.sleep(5.0)

    assert (taskforce.phase, taskforce.statuses) == (Phase.CONDOR_COMPLETE, {"COMPLETED": {"Done": 2}})


async def test_many_taskforces_are_told_in_messages_of_a_bounded_length() -> None:
    service = FakeService()
    seen = {f"TF-{number}": Observation({IDLE: 1}, {}, 1, None) for number in range(2 * TASKFORCES_MAX + 1)}
    for uuid in seen:
        service.add(uuid)

    assert await ReportBook().report(make_parts(service, PoolWorld()), seen) == []

    assert [len(one.compound_statuses) for one in service.reports] == [TASKFORCES_MAX, TASKFORCES_MAX, 1]


@given(st.dictionaries(st.text(max_size=2 * NAME_CHARS_MAX), st.integers(0, 9), max_size=2 * NAMES_MAX))
def test_of_many_names_those_with_the_most_are_told(counts: dict[str, int]) -> None:
    told = list_top(counts)

    assert len(told) <= NAMES_MAX
    assert all(len(name) <= NAME_CHARS_MAX for name in told)
    assert list(told.values()) == sorted(told.values(), reverse=True)
    left_out = [number for name, number in counts.items() if name not in told and len(name) <= NAME_CHARS_MAX]
    assert max(left_out, default=0) <= min(told.values(), default=0)


# -- reasons -------------------------------------------------------------------------------------------------------------


async def test_why_procs_wait_is_asked_once_they_have_waited_for_a_while_and_then_now_and_then() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.reasons = ["no machine has 4 TB"]
        cluster.procs = [IDLE, RUNNING]
        await anyio.sleep(WAITED_S - 1.0)
        assert cluster.asked_at == []

        await anyio.sleep(6.0)
        assert (len(cluster.asked_at), taskforce.reasons) == (1, ["no machine has 4 TB"])

        cluster.reasons = ["it is held: no such file", "no machine has 4 TB"]
        cluster.procs = [HELD, HELD]
        await anyio.sleep(3 * ASK_AGAIN_S)
        assert taskforce.reasons == ["it is held: no such file", "no machine has 4 TB"]
        told = [one.reasons["TF-1"] for one in service.reports if one.reasons and one.reasons["TF-1"]]
        between = [after - before for before, after in zip(cluster.asked_at, cluster.asked_at[1:], strict=False)]
        assert 2 <= len(between) <= 3
        assert min(between) >= ASK_AGAIN_S
        assert told == [["no machine has 4 TB"], ["it is held: no such file", "no machine has 4 TB"]]

        cluster.procs = [RUNNING, RUNNING]
        await anyio.sleep(4.0)
        assert taskforce.reasons == []
        asked = len(cluster.asked_at)
        await anyio.sleep(100.0)
        assert len(cluster.asked_at) == asked


async def test_procs_whose_starts_fail_are_asked_about_although_they_seem_to_run_and_no_more_once_they_do() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.procs = [RUNNING, RUNNING]
        cluster.reasons = ["the image does not pass the test"]
        for number in range(4):
            cluster.facts = PoolFacts(failed_starts=number + 1)
            await anyio.sleep(FAILED_S / 2)
            assert taskforce.reasons == ["the image does not pass the test"]

        await anyio.sleep(FAILED_S)

    assert taskforce.reasons == []


async def test_procs_that_wait_for_a_moment_are_not_asked_about() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        _, cluster = await start(service, world)
        for _ in range(10):
            cluster.procs = [IDLE, RUNNING]
            await anyio.sleep(WAITED_S - 2.5)
            cluster.procs = [RUNNING, RUNNING]
            await anyio.sleep(3.5)

    assert cluster.asked_at == []


async def test_a_pool_that_takes_long_to_say_why_holds_up_no_status_and_no_other_answer() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        slow, slow_cluster = await start(service, world, "TF-slow")
        quick, quick_cluster = await start(service, world, "TF-quick")
        slow_cluster.explain_s, slow_cluster.reasons = 50.0, ["slowly found"]
        quick_cluster.reasons = ["quickly found"]
        slow_cluster.procs = quick_cluster.procs = [IDLE, IDLE]
        await anyio.sleep(WAITED_S + 5.0)
        assert (list(quick.reasons), list(slow.reasons)) == (["quickly found"], [])

        slow_cluster.procs = [IDLE, RUNNING]
        await anyio.sleep(2.0)
        assert slow.statuses == {"IDLE": {"null": 1}, "RUNNING": {"Tasking": 1}}

        await anyio.sleep(60.0)
        assert slow.reasons == ["slowly found"]

        late, late_cluster = await start(service, world, "TF-late")
        late_cluster.reasons, late_cluster.procs = ["found beside the slow one"], [IDLE]
        quick_cluster.procs = [RUNNING]
        await anyio.sleep(WAITED_S + 5.0)
        assert (late.reasons, quick.reasons) == (["found beside the slow one"], [])


async def test_an_answer_that_comes_when_nothing_waits_any_more_is_not_told() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        _, cluster = await start(service, world)
        cluster.explain_s, cluster.reasons, cluster.procs = 30.0, ["found late"], [IDLE, IDLE]
        await anyio.sleep(20.0)
        cluster.procs = [RUNNING, RUNNING]
        await anyio.sleep(60.0)

    assert len(cluster.asked_at) == 1
    assert [one.reasons for one in service.reports if one.reasons] == [{"TF-1": []}]


async def test_a_pool_that_never_says_why_is_given_up_on_and_others_have_their_turn() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        stuck = [(await start(service, world, f"TF-{number}"))[1] for number in range(AT_ONCE)]
        last, cluster = await start(service, world, "TF-last")
        for one in stuck:
            one.explain_s = 1e9
            one.procs = [IDLE]
        await anyio.sleep(30.0)
        cluster.reasons, cluster.procs = ["no machine has 4 TB"], [IDLE]
        await anyio.sleep(100.0)

    assert last.reasons == ["no machine has 4 TB"]


async def test_a_pool_that_cannot_say_why_leaves_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.reasons, cluster.procs = ["no machine has 4 TB"], [IDLE]
        await anyio.sleep(20.0)

        async def fail(*_: object) -> None:
            raise UnavailableError("the schedd is away")

        monkeypatch.setattr(FakePool, "explain", fail)
        await anyio.sleep(60.0)

    assert taskforce.reasons == ["no machine has 4 TB"]


async def test_reasons_that_a_service_did_not_hear_are_told_again() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, cluster = await start(service, world)
        cluster.reasons, cluster.procs = ["no machine has 4 TB"], [IDLE]
        await anyio.sleep(2.0)
        service.is_down = True
        await anyio.sleep(20.0)
        assert cluster.asked_at
        assert list(taskforce.reasons) == []

        service.is_down = False
        await anyio.sleep(ASK_AGAIN_S + 5.0)
    assert taskforce.reasons == ["no machine has 4 TB"]


async def test_what_an_agent_of_before_said_of_one_that_waits_no_more_is_taken_back() -> None:
    service, world = FakeService(), PoolWorld()
    async with agent(service, world):
        taskforce, _ = await start(service, world)
        taskforce.reasons = ["no machine has 4 TB"]  # by one who told more than that
    async with agent(service, world):
        await anyio.sleep(5.0)

    assert taskforce.reasons == []


@pytest.mark.parametrize(
    ("state", "waits"), [("IDLE", True), ("HELD", True), ("HELD: x: y", True), ("RUNNING", False), ("SUSPENDED", False)]
)
def test_who_waits(state: str, *, waits: bool) -> None:
    assert has_waiting(Observation({(state, None): 1, RUNNING: 3}, {}, 4, None)) is waits
    assert not has_waiting(Observation({(state, None): 0}, {}, 0, None))


@given(st.lists(st.text(max_size=2 * REASON_CHARS_MAX), max_size=2 * REASONS_MAX))
def test_reasons_are_few_short_lines_the_first_ones_first(reasons: list[str]) -> None:
    told = trim_reasons(reasons)

    assert len(told) <= REASONS_MAX
    assert all(0 < len(one) <= REASON_CHARS_MAX and "\n" not in one for one in told)
    assert len(set(told)) == len(told)
    short = list(dict.fromkeys(" ".join(one.split()) for one in reasons if one.strip() and len(one) < REASON_CHARS_MAX))
    assert [one for one in short if one in told] == [one for one in told if one in short]
