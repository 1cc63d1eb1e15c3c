"""Is what an agent writes of itself true, at changes and now and then, and is one seen that stopped or stuck?"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest

from contracts.site_fakes import FakeJournal, FakePool, FakeService, PoolWorld
from muster.domain.errors import UnavailableError
from muster.site.adapters.journal.files import FileJournal, peek_records
from muster.site.adapters.standing.file import JsonStandingFile, find_holder, read_standing
from muster.site.daemons.claimer import Claimer
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.reporter import StatusReporter
from muster.site.daemons.standing import Daemons, StandingWriter, count_states
from muster.site.daemons.trouble import RECENT_S, TroubleLog
from muster.site.ports.journal import Record, Stage
from muster.site.ports.pool import Observation
from muster.site.ports.standing import Standing, TaskforceStanding
from muster.site.services.parts import Parts
from muster.site.standing import STALE_S, Life, judge_life, look

DEADLINE_S = 20.0


def standing(*, pid: int = 1, at: float = 1000.0) -> Standing:
    return Standing("a", "0.1.0", pid, "processes", "http://s", ["local"], at, at, None, None, [], [])


class Kept:
    """Where it is written in tests."""

    def __init__(self) -> None:
        self.written: list[Standing] = []

    async def write(self, standing: Standing) -> None:
        self.written.append(standing)


async def wait_for(condition: Callable[[], object]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # what is waited for rings no bell
            await anyio.sleep(0.005)


@pytest.mark.anyio
async def test_it_tells_taskforces_with_their_workers_and_when_the_service_answered() -> None:
    service, world, kept = FakeService(), PoolWorld(), Kept()
    parts = Parts(FakePool(world), FakeJournal({}), service, "a", workers_max=10, now=lambda: 1234.0)
    trouble = TroubleLog()
    keeper = TaskforceKeeper(parts, trouble)
    claimer = Claimer(service, keeper, trouble, agent="a", locations=["local"], lease_s=1, now=lambda: 77.0)
    reporter = StatusReporter(parts, keeper, trouble, interval_s=0.02)
    writer = StandingWriter(
        parts,
        Daemons(keeper, claimer, reporter, trouble),
        kept,
        pool="processes",
        url="http://s",
        locations=["local"],
        version="0.1.0",
    )
    await writer.run_once()
    assert kept.written == [standing(pid=os.getpid(), at=1234.0)]

    async with anyio.create_task_group() as tasks:
        for daemon in (claimer, reporter):
            await tasks.start(daemon.run)
        await tasks.start(keeper.run, [])
        service.add("TF-1")
        await wait_for(lambda: "TF-1" in reporter.seen)
        await writer.run_once()
        tasks.cancel_scope.cancel()

    last = kept.written[-1]
    assert (last.claimed_at, last.reported_at) == (77.0, 1234.0)
    assert last.taskforces == [TaskforceStanding("TF-1", "confirmed", 101, 2, {"RUNNING": 2})]


@pytest.mark.anyio
async def test_nothing_is_written_again_at_once_that_has_not_changed() -> None:
    service, kept = FakeService(), Kept()
    parts = Parts(FakePool(PoolWorld()), FakeJournal({}), service, "a", workers_max=10)
    trouble = TroubleLog()
    keeper = TaskforceKeeper(parts, trouble)
    claimer = Claimer(service, keeper, trouble, agent="a", locations=["local"], lease_s=1)
    reporter = StatusReporter(parts, keeper, trouble, interval_s=1)
    asked = Daemons(keeper, claimer, reporter, trouble)
    writer = StandingWriter(parts, asked, kept, pool="p", url="u", locations=["local"], version="v")

    await writer.run_once()
    await writer.run_once()
    assert len(kept.written) == 1

    trouble.tell("claiming", UnavailableError("nobody answers"))
    await writer.run_once()
    assert [one.doing for one in kept.written[-1].troubles] == ["claiming"]


def test_the_states_of_procs_are_counted_whatever_their_workers_are_at() -> None:
    counts = {("RUNNING", "Tasking"): 2, ("RUNNING", None): 1, ("HELD: no disk", None): 1, ("IDLE", None): 0}
    assert count_states(Observation(counts, {}, 4, None)) == {"HELD: no disk": 1, "RUNNING": 3}


@pytest.mark.anyio
async def test_a_trouble_is_told_until_it_was_not_met_for_a_while_and_counts_from_its_first_time() -> None:
    clock = [100.0]
    trouble = TroubleLog(now=lambda: clock[0])
    for at in (100.0, 110.0, 120.0):
        clock[0] = at
        trouble.tell("claiming", UnavailableError("nobody answers"))
    trouble.tell("reporting", UnavailableError("nor here"))
    claiming = next(one for one in trouble.list_recent(120.0) if one.doing == "claiming")
    assert (claiming.first_at, claiming.last_at, claiming.times) == (100.0, 120.0, 3)

    clock[0] = 150.0
    trouble.tell("claiming", UnavailableError("it refuses"))
    assert [(one.error, one.times) for one in trouble.list_recent(150.0)] == [("it refuses", 1), ("nor here", 1)]
    assert [one.doing for one in trouble.list_recent(121.0 + RECENT_S)] == ["claiming"]
    assert trouble.list_recent(151.0 + RECENT_S) == []

    clock[0] = 5000.0
    trouble.tell("claiming", UnavailableError("it refuses"))
    assert trouble.list_recent(1400.0) == [], "the clock was set back by an hour, and nothing is known since"


@pytest.mark.parametrize(
    ("holder", "told", "lock_at", "life"),
    [
        (None, standing(), 0.0, Life.STOPPED),
        ("1", standing(), 0.0, Life.RUNNING),
        ("1", standing(at=1000.0 - STALE_S - 1), 0.0, Life.STUCK),
        ("1", standing(at=1000.0 + 3600.0), 0.0, Life.STUCK),  # the clock was set back, and it has told nothing since
        ("2", standing(), 999.0, Life.STARTING),  # what an earlier one wrote
        ("2", None, 999.0, Life.STARTING),
        ("2", standing(), 1000.0 - STALE_S - 1, Life.STUCK),
    ],
)
def test_whether_an_agent_lives_is_judged_by_its_lock_and_its_last_word(
    holder: str | None, told: Standing | None, lock_at: float, life: Life
) -> None:
    assert judge_life(holder, told, now=1000.0, lock_at=lock_at) is life


@pytest.mark.anyio
async def test_what_was_written_is_read_again_and_a_damaged_file_is_none(tmp_path: Path) -> None:
    assert read_standing(tmp_path) is None
    await JsonStandingFile(tmp_path).write(standing())
    assert read_standing(tmp_path) == standing()
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "status.json").write_text("{")
    assert read_standing(tmp_path) is None


def test_who_has_the_directory_is_seen_without_trying_the_lock(tmp_path: Path) -> None:
    assert find_holder(tmp_path) is None
    with (tmp_path / "agent.lock").open("w") as lock:
        lock.write("42\n")
        lock.flush()
        assert find_holder(tmp_path) is None
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert find_holder(tmp_path) == "42"
    assert find_holder(tmp_path) is None


@pytest.mark.anyio
async def test_the_journal_of_a_stopped_agent_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal")
    await journal.put(Record("TF-1", Stage.CONFIRMED, 3, n_workers=5, cluster=9))
    await journal.put(Record("TF-2", Stage.STOPPING, 3, n_workers=1, cluster=10))
    (tmp_path / "journal" / "TF-3.json").write_text("{")
    (tmp_path / "journal" / ".tmp-TF-4.json").write_text("{")
    before = sorted(path.name for path in (tmp_path / "journal").iterdir())

    found = look(tmp_path)

    assert (found.life, found.pid, found.told_s) == (Life.STOPPED, None, None)
    assert found.stages == {"confirmed": 1, "stopping": 1}
    assert found.taskforces[0] == TaskforceStanding("TF-1", "confirmed", 9, 5, {})
    assert sorted(path.name for path in (tmp_path / "journal").iterdir()) == before
    assert peek_records(tmp_path / "none") == []
    assert msgspec.json.decode(msgspec.json.encode(found))["life"] == "stopped"
