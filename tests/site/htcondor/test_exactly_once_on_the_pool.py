"""Whatever crashes on the way of a taskforce, how often is it submitted to a real schedd, and is anything of it left there?

The real keeper, pool, journal and schedd; the service is one in memory. All stories run side by side on one pool, each with an agent, a
disk and a service of its own.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from contracts.pool_contract import look
from contracts.site_fakes import FakeService, FakeTaskforce
from muster.client.shapes.sites import Claim
from muster.domain.errors import UnavailableError
from muster.domain.taskforce_phase import Phase
from muster.site.adapters.htcondor.describe import TAG, Policy, quote
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Schedd
from muster.site.adapters.journal.files import FileJournal
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.trouble import TroubleLog
from muster.site.services.parts import Parts
from muster.site.services.reconcile import adopt_orphans
from muster.worker import crash_points
from services.condor import Condor

pytestmark = [pytest.mark.anyio, pytest.mark.server, pytest.mark.timeout(300)]

POINTS = sorted(name for name in crash_points.CRASH_POINTS if name.startswith(("site.", "condor.")))
STOPPED, ENDED, ABORTED = "stopped", "ended", "aborted in the crash"
STORY_S = 150.0

WORKER = """
import os, time
stop = os.path.join({stops!r}, os.environ["MUSTER_TASKFORCE"])
while not os.path.exists(stop):
    time.sleep(0.1)
"""

current: "ContextVar[Story]" = ContextVar("current")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Crash(BaseException):
    """The agent died here."""


class NoTasks:
    """Stands where the keeper starts a task for each taskforce: here the test does the steps."""

    def start_soon(self, *_: object, name: str = "") -> None:
        """Nothing is started."""


@dataclass
class Story:
    """One agent, one taskforce, and crashes at one point. `stops`: a worker ends once a file of its taskforce's name is there."""

    name: str
    folder: Path
    point: str
    left: int
    end: str
    stops: Path
    service: FakeService = field(default_factory=FakeService)
    crashes: int = 0

    @property
    def tag(self) -> str:
        return f"TF-once-{self.name}"

    async def tell(self) -> None:
        """From the order to the end, whatever crashes."""
        current.set(self)
        taskforce = self.service.add(self.tag)
        await self.start()
        await self.go_on(lambda: taskforce.phase is not Phase.PENDING_STARTER)
        if self.end == STOPPED:
            self.service.deactivate(self.tag)
        elif self.end == ENDED:
            (self.stops / self.tag).touch()
        await self.go_on(lambda: is_settled(taskforce) and self.tag not in self.keeper)
        await adopt_orphans(self.parts, self.keeper)  # would take up what nobody remembers
        assert self.tag not in self.keeper
        self.abandon()

    async def start(self) -> None:
        """A new agent over what is on the disk."""
        bundle = self.folder / "worker.py"
        self.folder.mkdir(exist_ok=True)
        bundle.write_text(WORKER.format(stops=str(self.stops)))
        self.pool = await CondorPool.open(
            self.folder / "site",
            Schedd(),
            Rules(Policy(agent=f"agent-{self.name}", starts_max=2), Workers({}, bundle)),
        )
        journal = FileJournal(self.folder / "journal")
        self.parts = Parts(self.pool, journal, self.service, f"agent-{self.name}", workers_max=10)
        self.keeper = TaskforceKeeper(self.parts, TroubleLog())
        self.keeper._tasks = NoTasks()  # type: ignore[assignment]
        for record in (await journal.read()).records:
            self.keeper.take_up(record)

    def abandon(self) -> None:
        """Nothing is written down any more; only what the system would take back is given back."""
        for followed in self.pool._logs._followed.values():
            followed.reader.close()

    def reach(self, name: str) -> None:
        if name == self.point and self.left:
            self.left -= 1
            self.crashes += 1
            if self.end == ABORTED:
                self.service.deactivate(self.tag)
            raise Crash

    async def go_on(self, is_done: Callable[[], bool]) -> None:
        with anyio.fail_after(STORY_S):
            while not is_done():
                try:
                    await self.step()
                except Crash:
                    self.abandon()
                    await self.start()
                await look(self.pool, timeout_s=0.3)

    async def step(self) -> None:
        held = self.keeper.held()
        claims = await self.service.claim(Claim(f"agent-{self.name}", ["local"], wait_s=0.0, held=held))
        self.keeper.take(claims, renewed=held)
        if (kept := self.keeper._kept.get(self.tag)) is None:
            return
        try:
            await self.keeper._pass(self.tag, kept)
        except UnavailableError:
            return
        if kept.has_nothing_left():
            del self.keeper._kept[self.tag]


def is_settled(taskforce: FakeTaskforce) -> bool:
    is_never_started = taskforce.phase is Phase.PENDING_STOPPER and taskforce.cluster_id is None
    return is_never_started or taskforce.phase is Phase.CONDOR_COMPLETE


def plan_stories(folder: Path) -> list[Story]:
    stops = folder / "stops"
    stops.mkdir()
    told = [(point, times, end) for point in POINTS for times in (1, 2) for end in (STOPPED, ENDED, ABORTED)]
    return [
        Story(f"{number}", folder / f"{number}", point, times, end, stops)
        for number, (point, times, end) in enumerate(told)
        if end != ABORTED or ".submit." in point
    ]


async def test_a_crash_at_any_point_leaves_one_cluster_or_none(
    condor: Condor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stories = plan_stories(tmp_path)
    monkeypatch.setattr(crash_points, "reach", lambda name: current.get().reach(name))

    async with anyio.create_task_group() as tasks:
        for story in stories:
            tasks.start_soon(story.tell, name=story.name)

    schedd = Schedd()
    for story in stories:
        told = f"{story.point} x {story.crashes}, {story.end}"
        placed = await list_clusters(schedd, story.tag)
        [taskforce] = story.service.taskforces.values()
        assert not placed.queued, told
        if story.end == ABORTED:
            assert len(placed.ended) <= 1, told
        else:
            assert placed.ended == {taskforce.cluster_id}, told
            assert taskforce.phase is Phase.CONDOR_COMPLETE, told
            ended = {"REMOVED": {"null": 2}} if story.end == STOPPED else {"COMPLETED": {"Done": 2}}
            assert taskforce.statuses == ended, told
    walked = {story.point for story in stories if story.crashes}
    assert walked == set(POINTS)


@dataclass(frozen=True)
class Clusters:
    """Numbers of the clusters with a tag, of which procs are in the queue, or have left it."""

    queued: set[int]
    ended: set[int]


async def list_clusters(schedd: Schedd, tag: str) -> Clusters:
    constraint = f"{TAG} == {quote(tag)}"
    queued = await schedd.query(constraint, ["ClusterId"])
    ended = await schedd.history(constraint, ["ClusterId"])
    return Clusters({ad["ClusterId"] for ad in queued}, {ad["ClusterId"] for ad in ended})
