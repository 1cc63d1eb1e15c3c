"""Single procs of real clusters: whatever they are held for, not made yet, in number, another's; and can a job withdraw itself from us?"""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest

from muster.domain.errors import ConflictError, RejectedError, UnavailableError
from muster.domain.worker_order import LOG_BYTES_MAX, OrderAction
from muster.site.adapters.htcondor.describe import FAILED_SUBCODE, TAG, Policy
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.hold_policy import BY_HAND, HoldPolicy
from muster.site.adapters.htcondor.pausing import PAUSED
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Acted, Action, Schedd
from muster.site.adapters.htcondor.worker_logs import read_events
from muster.site.adapters.log_ends import read_end
from muster.site.ports.pool import ClusterSpec, Request
from services.condor import Condor

pytestmark = [pytest.mark.anyio, pytest.mark.server]

NOWHERE = Request(requirements='Machine == "nowhere"', memory_bytes=16 << 20, disk_bytes=16 << 20)
SMALL = Request(memory_bytes=16 << 20, disk_bytes=16 << 20)
DEADLINE_S = 60.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def open_pool(folder: Path, *, schedd: Schedd | None = None) -> CondorPool:
    bundle = folder / "worker"
    bundle.touch()
    policy = Policy(agent=folder.name, starts_max=5, factory_from=500, materialized_max=4, vacate_s=9)
    holds = HoldPolicy(holds_max=5, first_s=600.0, delay_s_max=600.0)
    rules = Rules(policy, Workers({}, bundle), holds, truth_s=2.0)
    return await CondorPool.open(folder / "site", schedd or Schedd(), rules)


@pytest.fixture
async def pool(condor: Condor, tmp_path: Path) -> AsyncIterator[CondorPool]:
    pool = await open_pool(tmp_path)
    yield pool
    for placed in await pool.list_placed():
        await pool.remove(placed.cluster, grace_s=0)
    await pool.close()


def spec(*argv: str, n_workers: int = 1, request: Request = NOWHERE) -> ClusterSpec:
    return ClusterSpec(n_workers, "s3cret", fence=3, argv=argv or ("true",), request=request)


def run(program: str) -> tuple[str, ...]:
    """Of Python; arguments of jobs have one line."""
    return sys.executable, "-c", f"exec(bytes.fromhex('{program.encode().hex()}'))"


async def ask(cluster: int, *attributes: str) -> list[tuple[object, ...]]:
    """Of each proc in the queue, by number."""
    ads = await Schedd().query(f"ClusterId == {cluster} && ProcId >= 0", ["ProcId", *attributes])
    return sorted(tuple(ad.get(name) for name in ("ProcId", *attributes)) for ad in ads)


async def until(pool: CondorPool, cluster: int, expected: Sequence[tuple[object, ...]], *attributes: str) -> None:
    seen: object = None
    with anyio.move_on_after(DEADLINE_S):
        while (seen := await ask(cluster, *attributes)) != list(expected):
            await pool.tend()
            await pool.wait_for_change(timeout_s=0.2)
        return
    raise AssertionError(f"not within {DEADLINE_S:g} s; last seen: {seen}")


async def test_a_worker_that_fails_again_and_again_is_held_and_no_policy_releases_it(pool: CondorPool) -> None:
    cluster = await pool.submit(spec("false", request=SMALL), tag="TF-1")
    await until(pool, cluster, [(0, 5, 3, FAILED_SUBCODE)], "JobStatus", "HoldReasonCode", "HoldReasonSubCode")

    assert await pool.act(cluster, OrderAction.HOLD, [0], reason="a look inside") == 1

    assert await ask(cluster, "JobStatus", "HoldReasonCode") == [(0, 5, BY_HAND)]
    assert "a look inside" in str((await ask(cluster, "HoldReason"))[0][1])
    assert await pool.act(cluster, OrderAction.HOLD, [0], reason="again") == 0


async def test_what_is_held_with_our_own_words_for_a_pause_is_left_to_who_held_it(
    pool: CondorPool, tmp_path: Path
) -> None:
    cluster = await pool.submit(spec(n_workers=2), tag="TF-1")
    await pool.act(cluster, OrderAction.HOLD, [1], reason=f"asked for by ada: {PAUSED}")
    await pool.close()

    later = await open_pool(tmp_path)

    await later.tend()
    assert await ask(cluster, "JobStatus") == [(0, 1), (1, 5)]
    await later.remove(cluster, grace_s=0)
    await later.close()


async def test_a_large_cluster_that_is_held_whole_makes_no_more_procs_also_for_the_next_agent(
    pool: CondorPool, tmp_path: Path
) -> None:
    cluster = await pool.submit(spec(n_workers=500), tag="TF-1")
    await until(pool, cluster, [(proc, 1) for proc in range(4)], "JobStatus")
    with pytest.raises(ConflictError, match=r"workers 300 to 301 of TF-1: not made by HTCondor yet"):
        await pool.act(cluster, OrderAction.HOLD, [0, 300, 301], reason="some are not there")
    assert await ask(cluster, "JobStatus") == [(proc, 1) for proc in range(4)]

    assert await pool.act(cluster, OrderAction.HOLD, [], reason="maintenance") == 4
    await pool.close()
    later = await open_pool(tmp_path)
    try:
        await later.tend()
        assert await later.act(cluster, OrderAction.REMOVE, [0, 1], reason="odd") == 2
        await until(later, cluster, [(2, 5), (3, 5)], "JobStatus")
        await later.tend()
        own_ad = await Schedd().query(
            f"ClusterId == {cluster} && ProcId =?= undefined", ["JobMaterializePaused"], factories=True
        )
        assert own_ad[0]["JobMaterializePaused"] != 0

        assert await later.act(cluster, OrderAction.RELEASE, [], reason="over") == 2
        await until(later, cluster, [(proc, 1) for proc in (2, 3, 4, 5)], "JobStatus")
    finally:
        await later.remove(cluster, grace_s=0)
        await later.close()


async def test_scattered_procs_are_held_in_several_calls_and_no_other_one_is(pool: CondorPool) -> None:
    cluster = await pool.submit(spec(n_workers=450), tag="TF-1")

    assert await pool.act(cluster, OrderAction.HOLD, range(0, 450, 2), reason="every second") == 225

    assert [proc for proc, status in await ask(cluster, "JobStatus") if status == 5] == list(range(0, 450, 2))


class Forbidding(Schedd):
    """Lets nobody do anything."""

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        return Acted(0, 2, 0)


async def test_what_the_schedd_forbids_is_said(pool: CondorPool, tmp_path: Path) -> None:
    cluster = await pool.submit(spec(n_workers=2), tag="TF-1")
    await pool.close()
    later = await open_pool(tmp_path, schedd=Forbidding())
    with pytest.raises(RejectedError, match="does not let this user hold 2 procs"):
        await later.act(cluster, OrderAction.HOLD, [], reason="no")
    await later.close()
    last = await open_pool(tmp_path)
    await last.remove(cluster, grace_s=0)
    await last.close()


async def test_a_worker_is_not_released_while_its_machine_still_has_it(pool: CondorPool) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)"
    cluster = await pool.submit(spec(*run(stubborn), request=SMALL), tag="TF-1")
    with anyio.fail_after(DEADLINE_S):
        while "ready" not in "".join(one.text for one in await pool.read_logs("TF-1", 0)):
            await pool.wait_for_change(timeout_s=0.2)
    assert await pool.act(cluster, OrderAction.HOLD, [0], reason="it is odd") == 1

    done, lates = 0, 0
    with anyio.fail_after(DEADLINE_S):
        while not done:
            try:
                done = await pool.act(cluster, OrderAction.RELEASE, [0], reason="over")
            except UnavailableError as error:
                lates += "still end what they have in hand" in str(error)

    assert (done, lates >= 1) == (1, True)
    await until(pool, cluster, [(0, 2)], "JobStatus")


CHIRP = """
import os, sys
from htcondor2 import htchirp
with htchirp.HTChirp() as chirp:
    chirp.set_job_attr("@TAG@", '"TF-nobody"')
    chirp.ulog("HTChirpEWMSPilotStatus: Tasking")
    try:
        with open("got", "wb") as got:
            chirp.fetch("/etc/hostname", "got")
        chirp.ulog("HTChirpEWMSPilotError: it reads the access point")
    except Exception as error:
        chirp.ulog("HTChirpEWMSPilotError: refused")
import time
time.sleep(600)
"""


async def test_a_job_has_no_way_to_the_access_points_files_and_none_out_of_our_hands(pool: CondorPool) -> None:
    script = CHIRP.replace("@TAG@", TAG)
    cluster = await pool.submit(spec(*run(script), n_workers=2, request=SMALL), tag="TF-1")
    await until(pool, cluster, [(0, 2, "TF-nobody"), (1, 2, "TF-nobody")], "JobStatus", TAG)
    with anyio.fail_after(DEADLINE_S):
        while "HTChirpEWMSPilotError" not in "".join(one.text for one in await pool.read_logs("TF-1", 0)):
            await pool.wait_for_change(timeout_s=0.2)
    events = "".join(one.text for one in await pool.read_logs("TF-1", 0) if one.name == "events")
    assert "refused" in events
    assert "it reads the access point" not in events

    assert await pool.act(cluster, OrderAction.HOLD, [0], reason="it is odd") == 1
    await pool.remove(cluster, grace_s=0)

    assert await ask(cluster) == []


def event(proc: int, text: str) -> bytes:
    return b"006 (007.%03d.000) 2026-12-01 12:00:00 %s\n\tmore\n...\n" % (proc, text.encode())


async def test_events_of_one_proc_are_found_in_a_long_log_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "events.log"
    log.write_bytes(b"".join(event(number % 3, f"number {number}") for number in range(300)))
    for block in (7, 64, 1000, 1 << 20):
        monkeypatch.setattr("muster.site.adapters.htcondor.worker_logs._BLOCK", block)
        found = read_events(log, 7, 1)
        assert found is not None
        assert found.text.count("number") == 100
        assert found.text.splitlines()[0].endswith("number 1")
        assert found.text.splitlines()[-3].endswith("number 298")
    assert read_events(log, 8, 1) is None


async def test_of_a_damaged_packed_log_what_is_left_is_shown(tmp_path: Path) -> None:
    import gzip

    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(50_000)))
    (tmp_path / "0.err.gz").write_bytes(whole[:-20])
    cut = read_end(tmp_path / "0.err", "stderr")
    assert cut is not None
    assert len(cut.text.encode()) <= LOG_BYTES_MAX
    assert "line 4" in cut.text
    (tmp_path / "1.err.gz").write_bytes(b"no gzip at all")
    assert read_end(tmp_path / "1.err", "stderr") is None
