"""Whatever crashes, gets lost, comes twice or is aborted: is there exactly one cluster in the end, or none if aborted?

The real keeper and services against a service, pools and journals in memory. Two agents serve one location, so claims can
also be lost to another. A crash takes an agent's memory at any crash point; the journal and the pool outlive it.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from contracts.site_fakes import DONE, FakeJournal, FakePool, FakeService, PoolWorld
from muster.client.shapes.sites import Claim
from muster.domain.errors import UnavailableError
from muster.domain.taskforce_phase import Phase
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.journal import Stage
from muster.site.services.parts import Parts
from muster.site.services.reconcile import adopt_orphans
from muster.worker import crash_points

T = TypeVar("T")

EXAMPLES = 200
SITE_POINTS = sorted(name for name in crash_points.CRASH_POINTS if name.startswith("site."))


PASSED_ONCE = {"site.submit.intended", "site.submit.recorded", "site.stop.intended"}
"""Points behind a write of the journal: the next agent begins behind them."""


class Crash(BaseException):
    """The agent died here."""


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise AssertionError("the work waited for something")


class NoTasks:
    """Stands where the keeper starts a task for each taskforce: here the test does the steps."""

    def start_soon(self, *_: object, name: str = "") -> None:
        """Nothing is started."""


class Waits:
    """Lets everybody in at once."""

    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


class Agent:
    """One agent; `crash` takes everything from it but its name, its disk and its pool."""

    def __init__(self, name: str, service: FakeService, *, first_cluster: int) -> None:
        self.name = name
        self.service = service
        self.world = PoolWorld(number=first_cluster)
        self.files: dict[str, bytes] = {}
        self.start()

    def start(self) -> None:
        self.parts = Parts(FakePool(self.world), FakeJournal(self.files), self.service, self.name, workers_max=10)
        self.keeper = TaskforceKeeper(self.parts, TroubleLog())
        self.keeper._tasks = NoTasks()  # type: ignore[assignment]
        self.keeper._starting = Waits()  # type: ignore[assignment]
        for record in drive(self.parts.journal.read()).records:
            self.keeper.take_up(record)

    def claim(self) -> None:
        held = self.keeper.held()
        try:
            claims = drive(self.service.claim(Claim(self.name, ["local"], wait_s=0.0, held=held)))
        except UnavailableError:
            return
        self.keeper.take(claims, renewed=held)

    def step(self, uuid: str) -> None:
        """One pass of one taskforce, as the keeper's task does it."""
        if (kept := self.keeper._kept.get(uuid)) is None:
            return
        try:
            drive(self.keeper._pass(uuid, kept))
        except UnavailableError:
            return
        except Crash:
            self.start()
            return
        if kept.has_nothing_left():
            del self.keeper._kept[uuid]

    def reconcile(self) -> None:
        for record in drive(adopt_orphans(self.parts, self.keeper)):
            self.keeper.take_up(record)


class ExactlyOnce(RuleBasedStateMachine):
    taskforces = Bundle("taskforces")

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(crash_points, "reach", self.reach)
        self.crash_at: str | None = None
        self.service = FakeService()
        self.agents = [Agent("a", self.service, first_cluster=100), Agent("b", self.service, first_cluster=9000)]

    def reach(self, name: str) -> None:
        assert name in crash_points.CRASH_POINTS
        if name == self.crash_at:
            self.crash_at = None
            raise Crash

    def teardown(self) -> None:
        try:
            self.in_the_end_everything_is_settled()
        finally:
            self.patch.undo()

    @initialize(target=taskforces)
    def begin(self) -> Any:
        return multiple(*(self.service.add(f"TF-{number}").uuid for number in range(2)))

    @rule(target=taskforces)
    def add(self) -> str:
        return self.service.add(f"TF-{len(self.service.taskforces)}").uuid

    @rule(who=st.integers(0, 1))
    def claim(self, who: int) -> None:
        self.agents[who].claim()

    @rule(uuid=taskforces, who=st.integers(0, 1), point=st.sampled_from([None, None, *SITE_POINTS]))
    def step(self, uuid: str, who: int, point: str | None) -> None:
        self.crash_at = point
        self.agents[who].step(uuid)
        self.crash_at = None

    @rule(who=st.integers(0, 1))
    def crash_between_steps(self, who: int) -> None:
        self.agents[who].start()

    @rule(who=st.integers(0, 1), uuid=taskforces)
    def lose_a_record_in_a_crash(self, who: int, uuid: str) -> None:
        self.agents[who].files.pop(uuid, None)
        self.agents[who].start()

    @rule(data=st.data(), who=st.integers(0, 1))
    def deliver_an_old_answer_again(self, data: st.DataObject, who: int) -> None:
        agent = self.agents[who]
        mine = [answer for name, answer in self.service.given if name == agent.name]
        if mine:
            agent.keeper.take(data.draw(st.sampled_from(mine)), renewed=[])

    @rule(uuid=taskforces)
    def abort(self, uuid: str) -> None:
        self.service.deactivate(uuid)

    @rule(uuid=taskforces)
    def workers_end(self, uuid: str) -> None:
        for agent in self.agents:
            for cluster in agent.world.clusters.values():
                if cluster.placed.tag == uuid:
                    cluster.end(DONE, at=1.0)

    @rule()
    def claims_expire(self) -> None:
        self.service.expire_claims()

    @rule(lost=st.integers(0, 2), away=st.integers(0, 2))
    def answers_get_lost(self, lost: int, away: int) -> None:
        self.service.lost, self.service.away = lost, away

    @rule(who=st.integers(0, 1))
    def reconcile(self, who: int) -> None:
        self.agents[who].reconcile()

    @invariant()
    def no_agent_places_two_clusters_for_one_taskforce(self) -> None:
        for agent in self.agents:
            for uuid in self.service.taskforces:
                assert agent.world.alive(uuid) <= 1

    @rule()
    def in_the_end_everything_is_settled(self) -> None:
        """Both agents work on undisturbed: then each taskforce has exactly the cluster that it should have."""
        self.service.lost = self.service.away = 0
        for _ in range(12):
            for agent in self.agents:
                agent.reconcile()
                agent.claim()
                for _ in range(4):
                    for uuid in self.service.taskforces:
                        agent.step(uuid)
        for uuid, taskforce in self.service.taskforces.items():
            alive = sum(agent.world.alive(uuid) for agent in self.agents)
            placed = [
                one.placed.cluster
                for agent in self.agents
                for one in agent.world.clusters.values()
                if one.placed.tag == uuid
            ]
            if taskforce.phase is Phase.CONDOR_SUBMIT:
                assert (alive, placed) == (1, [taskforce.cluster_id])
            else:
                assert (taskforce.phase, alive, placed) == (taskforce.phase, 0, [])
            is_never_started = taskforce.phase is Phase.PENDING_STOPPER and taskforce.cluster_id is None
            assert is_never_started or taskforce.phase in (Phase.CONDOR_SUBMIT, Phase.CONDOR_COMPLETE)
        for agent in self.agents:
            for kept in agent.keeper._kept.values():
                assert kept.record is not None
                assert kept.record.stage is Stage.CONFIRMED


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)


class Story:
    """One agent, one taskforce, and a crash at one point, once or twice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, point: str, times: int) -> None:
        self.service = FakeService()
        self.taskforce = self.service.add("TF-0")
        self.agent = Agent("a", self.service, first_cluster=100)
        self.left = {point: times}
        monkeypatch.setattr(crash_points, "reach", self.reach)

    def reach(self, name: str) -> None:
        if self.left.get(name, 0):
            self.left[name] -= 1
            raise Crash

    def go_on(self) -> None:
        for _ in range(12):
            self.agent.claim()
            self.agent.step("TF-0")


def test_a_lost_record_is_made_again_though_the_claim_has_another_number_by_now() -> None:
    """The cluster keeps the number under which it was placed; the service knows the one that is in force."""
    service = FakeService()
    taskforce = service.add("TF-0")
    agent, other = Agent("a", service, first_cluster=100), Agent("b", service, first_cluster=9000)

    def go_on() -> None:
        for _ in range(6):
            agent.claim()
            agent.step("TF-0")

    agent.claim()
    agent.step("TF-0")  # placed, and not confirmed
    service.expire_claims()
    other.claim()  # and dies
    service.expire_claims()
    go_on()
    assert (taskforce.phase, taskforce.fence) == (Phase.CONDOR_SUBMIT, 3)

    agent.files.clear()
    agent.start()
    agent.reconcile()
    go_on()
    next(iter(agent.world.clusters.values())).end(DONE, at=7.0)
    go_on()

    assert taskforce.phase is Phase.CONDOR_COMPLETE
    assert (agent.world.clusters, agent.files) == ({}, {})


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("end", ["stopped", "ended"])
@pytest.mark.parametrize("point", SITE_POINTS)
def test_a_crash_at_any_point_changes_nothing_of_the_story(
    monkeypatch: pytest.MonkeyPatch, point: str, end: str, times: int
) -> None:
    story = Story(monkeypatch, point, times)
    world, taskforce = story.agent.world, story.taskforce

    story.go_on()
    alive_before = world.alive("TF-0")
    if end == "stopped":
        story.service.deactivate("TF-0")
    else:
        next(iter(world.clusters.values())).end(DONE, at=7.0)
    story.go_on()

    assert (alive_before, world.submits["TF-0"], world.alive("TF-0")) == (1, 1, 0)
    assert taskforce.phase is Phase.CONDOR_COMPLETE
    assert taskforce.statuses == {"REMOVED": {"null": 2}} if end == "stopped" else {"COMPLETED": {"Done": 2}}
    assert (world.clusters, story.agent.files, story.agent.keeper.held()) == ({}, {}, [])
    is_passed = end == "stopped" or not point.startswith("site.stop")
    n_crashes = min(times, 1 if point in PASSED_ONCE else 2) if is_passed else 0
    assert times - story.left[point] == n_crashes
