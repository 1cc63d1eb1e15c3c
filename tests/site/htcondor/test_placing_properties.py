"""Whatever fails, gets lost, comes late or crashes between agent and schedd: is there one cluster of each taskforce, known to the pool?

The real pool over a schedd in memory, which keeps a queue, a history and the clusters' logs as the real one does.
"""

import asyncio
import shutil
import tempfile
from array import array
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.htcondor import placing
from muster.site.adapters.htcondor.describe import TAG, Policy
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Account, Acted, Action, Ad, Schedd
from muster.site.ports.pool import ClusterSpec
from muster.worker import crash_points

T = TypeVar("T")

EXAMPLES = 300
TAGS = ("TF-a", "TF-b")
POINTS = sorted(name for name in crash_points.CRASH_POINTS if name.startswith("condor."))
SPEC = ClusterSpec(2, "s3cret", fence=3)


class Crash(BaseException):
    """The agent died here."""


@dataclass
class World:
    """What outlives the agent. `late`: clusters that will be there after so many more questions: their sender did not
    wait. `rotated`: what the history has forgotten. `now`: the machine's time of day; `entered`: when a cluster came into the history.
    """

    queue: dict[int, dict[str, str]] = field(default_factory=dict)
    history: dict[int, dict[str, str]] = field(default_factory=dict)
    rotated: dict[int, dict[str, str]] = field(default_factory=dict)
    late: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    number: int = 0
    down: int = 0
    lost_answers: int = 0
    refusals: int = 0
    is_late: bool = False
    now: float = 1e9
    entered: dict[int, float] = field(default_factory=dict)

    def ever(self, tag: str) -> set[int]:
        """Numbers of all clusters that there were with a tag."""
        return {number for number, one in (self.queue | self.history | self.rotated).items() if one["tag"] == tag}

    def add(self, one: dict[str, str]) -> int:
        self.number += 1
        self.queue[self.number] = one
        log = Path(one["log"])
        if log.parent.is_dir():
            told = f"000 ({self.number:03}.000.000) 2026-12-01 12:00:00 Job submitted from host: <127.0.0.1:9618>\n"
            with log.open("a") as file:
                file.write(f"{told}    {TAG}={one['tag']}\n...\n")
        return self.number

    def end(self, number: int) -> None:
        self.history[number] = self.queue.pop(number)
        self.entered[number] = self.now


class FakeSchedd(Schedd):
    """A schedd that fails as it is told."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def _ask(self) -> None:
        world = self._world
        if world.down:
            world.down -= 1
            raise UnavailableError("it does not answer")
        for _, one in [late for late in world.late if not late[0]]:
            world.add(one)
        world.late = [(left - 1, one) for left, one in world.late if left]

    async def identify(self) -> Account:
        self._ask()
        return Account("schedd", ("us@pool",))

    async def submit(self, description: Mapping[str, str], *, count: int) -> int:
        self._ask()
        world = self._world
        if world.refusals:
            world.refusals -= 1
            raise RejectedError("it will not have it")
        one = {"tag": description[f"+{TAG}"].strip('"'), "log": description["log"], "agent": "site"}
        if world.is_late:
            world.is_late = False
            world.late.append((1, one))
            raise UnavailableError("nobody waited for its answer")
        number = world.add(one)
        if world.lost_answers:
            world.lost_answers -= 1
            raise UnavailableError("its answer got lost")
        return number

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        self._ask()
        return [self._describe(number, one) for number, one in self._find(self._world.queue, constraint)]

    async def query_numbers(self, constraint: str, attributes: Sequence[str]) -> "array[int]":
        ads = await self.query(constraint, attributes)
        return array("q", [int(ad.get(name, 0)) for ad in ads for name in attributes])

    async def history(
        self, constraint: str, attributes: Sequence[str], *, match: int = -1, since: str = ""
    ) -> list[Ad]:
        self._ask()
        until = float(since.rpartition(" ")[2]) if since else 0.0
        latest = list(reversed(self._world.history.items()))
        read = dict(takewhile(lambda one: self._world.entered[one[0]] >= until, latest))
        return [self._describe(number, one) for number, one in reversed(self._find(read, constraint))]

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        self._ask()
        found = self._find(self._world.queue, constraint)
        if action in (Action.REMOVE, Action.REMOVE_FORCED):
            for number, _ in found:
                self._world.end(number)
        return Acted(len(found), 0, 0)

    @staticmethod
    def _find(among: dict[int, dict[str, str]], constraint: str) -> list[tuple[int, dict[str, str]]]:
        def fits(number: int, one: dict[str, str]) -> bool:
            for term in constraint.split(" && "):
                name, _, value = term.partition(" == ")
                if name == TAG and one["tag"] != value.strip('"'):
                    return False
                if name == "ClusterId" and number != int(value):
                    return False
                if name == "JobStatus":
                    return False
                if term.startswith("ClusterId =!= ") and number == int(term.rpartition(" ")[2]):
                    return False
            return True

        return [(number, one) for number, one in sorted(among.items()) if fits(number, one)]

    @staticmethod
    def _describe(number: int, one: dict[str, str]) -> Ad:
        return {"ClusterId": number, TAG: one["tag"], "MusterFence": 3, "MusterWorkers": 2, "UserLog": one["log"]}


class Placings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(crash_points, "reach", self.reach)
        self.patch.setattr(placing, "DOUBT_S", 0.0)
        self.crash_at: str | None = None
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "worker").touch()
        self.world = World()
        self.runner = asyncio.Runner()
        self.wanted: set[str] = set()
        self.forgotten: dict[str, set[int]] = {tag: set() for tag in TAGS}
        self.open()

    def teardown(self) -> None:
        try:
            self.in_the_end_there_is_one_cluster_of_each_and_the_pool_knows_it()
        finally:
            self.runner.run(self.pool.close())
            self.runner.close()
            self.patch.undo()
            shutil.rmtree(self.folder)

    def reach(self, name: str) -> None:
        if name == self.crash_at:
            self.crash_at = None
            raise Crash

    def open(self) -> None:
        rules = Rules(Policy(agent="site"), Workers({}, self.folder / "worker"), truth_s=1e9)
        self.pool = self.runner.run(CondorPool.open(self.folder / "site", FakeSchedd(self.world), rules))
        self.pool._placing._now = lambda: self.world.now

    def do(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Do something, as the agent would: what cannot be done now is done later; a crash takes what it had in mind."""
        try:
            return self.runner.run(work())
        except UnavailableError:
            return None
        except Crash:
            for followed in self.pool._logs._followed.values():
                followed.reader.close()
            self.open()
            return None
        finally:
            self.crash_at = None

    async def _place(self, tag: str) -> int | None:
        """As `claim_and_start.place`: the pool is asked for the tag before anything is submitted."""
        cluster = await self.pool.find(tag)
        if cluster is None:
            try:
                cluster = await self.pool.submit(SPEC, tag=tag)
            except RejectedError:
                self.wanted.discard(tag)
        return cluster

    @rule(tag=st.sampled_from(TAGS), point=st.sampled_from([None, None, *POINTS]))
    def place(self, tag: str, point: str | None) -> None:
        self.wanted.add(tag)
        self.crash_at = point
        self.do(lambda: self._place(tag))

    @rule()
    def crash(self) -> None:
        for followed in self.pool._logs._followed.values():
            followed.reader.close()
        self.open()

    @rule(seconds=st.sampled_from([-3600.0, 1.0, 3600.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        """For agent and schedd alike. Never farther than an hour."""
        self.world.now = min(max(self.world.now + seconds, 1e9), 1e9 + 3600)

    @rule(questions=st.integers(1, 3))
    def the_schedd_is_away(self, questions: int) -> None:
        self.world.down = questions

    @rule(tag=st.sampled_from(TAGS))
    def an_answer_gets_lost(self, tag: str) -> None:
        self.world.down, self.world.lost_answers = 0, 1
        self.place(tag=tag, point=None)

    @rule(tag=st.sampled_from(TAGS))
    def nobody_waits_for_an_answer(self, tag: str) -> None:
        self.world.down, self.world.is_late = 0, True
        self.place(tag=tag, point=None)

    @rule()
    def refuse(self) -> None:
        self.world.refusals = 1

    @precondition(lambda self: self.world.queue)
    @rule(data=st.data())
    def a_cluster_ends(self, data: st.DataObject) -> None:
        self.world.end(data.draw(st.sampled_from(sorted(self.world.queue))))

    @rule(tag=st.sampled_from(TAGS))
    def the_history_is_rotated(self, tag: str) -> None:
        """While the log is there: who ever asks both finds one."""
        if (self.folder / "site" / "taskforces" / tag / "events.log").exists():
            for number in self.world.ever(tag) & set(self.world.history):
                self.world.rotated[number] = self.world.history.pop(number)

    @rule(tag=st.sampled_from(TAGS))
    def a_log_is_lost(self, tag: str) -> None:
        if any(one["tag"] == tag for one in self.world.rotated.values()):
            return
        (self.folder / "site" / "taskforces" / tag / "events.log").unlink(missing_ok=True)

    @rule(tag=st.sampled_from(TAGS), point=st.sampled_from([None, "condor.remove.asked", "condor.remove.gone"]))
    def remove(self, tag: str, point: str | None) -> None:
        self.crash_at = point

        async def remove() -> None:
            cluster = await self.pool.find(tag)
            if cluster is not None:
                await self.pool.remove(cluster, grace_s=0)
                await self.pool.forget(cluster)
                self.wanted.discard(tag)
                self.forgotten[tag] |= self.world.ever(tag)

        self.do(remove)

    @rule()
    def reconcile(self) -> None:
        self.do(self.pool.list_placed)

    @invariant()
    def no_taskforce_has_two_clusters(self) -> None:
        for tag in TAGS:
            assert len(self.world.ever(tag) - self.forgotten[tag]) <= 1, tag

    @rule()
    def in_the_end_there_is_one_cluster_of_each_and_the_pool_knows_it(self) -> None:
        """The schedd answers again: what is wanted is there, once, and nothing is there that nobody knows."""
        world = self.world
        world.down = world.lost_answers = world.refusals = 0
        world.is_late = False
        self.runner.run(self._settle())
        known = {one.tag: one.cluster for one in self.runner.run(self.pool.list_placed())}
        for tag in self.wanted:
            assert self.world.ever(tag) - self.forgotten[tag] == {known[tag]}, tag
        assert set(world.queue) <= set(known.values())

    async def _settle(self) -> None:
        for tag in sorted(self.wanted):
            await self._place(tag)


TestPlacings = Placings.TestCase
TestPlacings.settings = settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)
