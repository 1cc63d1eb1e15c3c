"""Why is it not running? Causes staged on a real pool, and the first sentence that each of them is told with."""

import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
import htcondor2
import pytest

from harness.addresses import take_address
from harness.waiting import wait_for
from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.collector import Collector
from muster.site.adapters.htcondor.describe import Policy
from muster.site.adapters.htcondor.explain import Explainer
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Action, Schedd
from muster.site.ports.pool import ClusterSpec, Request
from services.condor import Condor, find_condor, run_condor
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.server, pytest.mark.anyio, pytest.mark.timeout(180)]

GIB = 1 << 30
LOOK_S = 0.2
DEADLINE_S = 60.0
SMALL = Request(memory_bytes=64 << 20, disk_bytes=1 << 20)
SLEEP = ("sleep", "1000")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Staged:
    """The pool of these tests: one slot of 8 cores and 16 GiB, which can be set otherwise and is as before afterwards."""

    condor: Condor
    plain: str

    def configure(self, *lines: str) -> None:
        """Let all daemons read a configuration with these lines behind the pool's own."""
        self.condor.config.write_text("\n".join([self.plain, *lines, ""]))
        assert self.condor.master is not None
        os.kill(self.condor.master.pid, signal.SIGHUP)

    def configure_surely(self, *lines: str) -> None:
        """And see that those have read it on which it depends whether a worker starts."""
        mark = uuid4().hex
        daemons = {
            "STARTD": htcondor2.AdType.Startd,
            "SCHEDD": htcondor2.AdType.Schedd,
            "NEGOTIATOR": htcondor2.AdType.Negotiator,
        }
        told = [f"{daemon}_ATTRS = $({daemon}_ATTRS) StagedMark" for daemon in daemons]
        self.configure(f'StagedMark = "{mark}"', *told, *lines)

        def have_read() -> bool:
            seen = [htcondor2.Collector().query(kind, f'StagedMark == "{mark}"', ["Name"]) for kind in daemons.values()]
            return all(seen)

        wait_for(have_read, "every daemon has read its configuration", deadline_s=DEADLINE_S)

    @contextmanager
    def set(self, *lines: str) -> Iterator[None]:
        self.configure_surely(*lines)
        try:
            yield
        finally:
            self.configure()

    @contextmanager
    def without(self, daemon: str) -> Iterator[None]:
        """One daemon is stopped."""
        master = wait_for(
            lambda: htcondor2.Collector().locateAll(htcondor2.DaemonType.Master), "the collector knows the master"
        )[0]
        master["MyType"] = "DaemonMaster"  # which `send_command` wants and `locateAll` leaves out
        htcondor2.send_command(master, htcondor2.DaemonCommand.DaemonOffFast, daemon)
        try:
            wait_for(lambda: not self.condor.find_daemons(f"condor_{daemon.lower()}"), f"no {daemon} runs")
            yield
        finally:
            htcondor2.send_command(master, htcondor2.DaemonCommand.DaemonOn, daemon)

    @contextmanager
    def draining(self) -> Iterator[None]:
        startd = htcondor2.Startd(htcondor2.Collector().locateAll(htcondor2.DaemonType.Startd)[0])
        startd.drainJobs(htcondor2.DrainType.Fast)
        try:
            yield
        finally:
            startd.cancelDrainJobs()

    @contextmanager
    def with_small_node(self) -> Iterator[None]:
        """A second slot, of 2 cores."""
        with take_address() as address:
            self.condor.add_node("small", address, cpus=2)
            try:
                yield
            finally:
                node = self.condor.nodes.pop("small")
                node.send_signal(signal.SIGQUIT)
                node.wait(DEADLINE_S)

    def is_as_before(self) -> bool:
        """Nothing is in the queue, and the one slot is there, empty and willing."""
        try:
            jobs = htcondor2.Schedd().query("true", ["ClusterId"])
            slots = htcondor2.Collector().query(htcondor2.AdType.Startd, projection=["Cpus", "State", "Start"])
            negotiators = htcondor2.Collector().query(htcondor2.AdType.Negotiator, projection=["Name"])
        except htcondor2.HTCondorException:
            return False
        seen = [(slot.get("Cpus"), slot.get("State"), slot.get("Start")) for slot in slots if "Cpus" in slot]
        return not jobs and bool(negotiators) and seen == [(8, "Unclaimed", True)]


@pytest.fixture(scope="module")
def staged() -> Iterator[Staged]:
    try:
        find_condor()
    except NotFetchedError as error:
        pytest.skip(str(error))
    with run_condor() as condor:
        yield Staged(condor, condor.config.read_text() + "CLAIM_WORKLIFE = 0\nJOB_START_DELAY = 0\n")


@dataclass(frozen=True)
class Case:
    """A cause.

    Args:
        first: the first sentence, as a regular expression for all of it; None: nothing is to be told.
        stage: makes it, before the cluster is placed.
        act: what is done to the cluster before each look.
        others: what somebody else's worker has asked for, which runs before.
        is_file_lost: an input file is deleted as soon as the cluster is placed.
    """

    first: str | None
    request: Request = SMALL
    policy: Mapping[str, object] | None = None
    n_workers: int = 1
    argv: tuple[str, ...] = SLEEP
    stage: Callable[[Staged], AbstractContextManager[None]] = lambda _: nullcontext()
    act: Callable[[Schedd, int], Awaitable[object]] | None = None
    others: Request | None = None
    is_file_lost: bool = False
    patience_s: float = 60.0


def ask(requirements: str) -> Request:
    return Request(memory_bytes=64 << 20, disk_bytes=1 << 20, requirements=requirements)


def set_to(*lines: str) -> Callable[[Staged], AbstractContextManager[None]]:
    return lambda staged: staged.set(*lines)


def stop(daemon: str) -> Callable[[Staged], AbstractContextManager[None]]:
    return lambda staged: staged.without(daemon)


HAS_STARTED = "JobStatus == 2 && JobCurrentStartExecutingDate >= JobCurrentStartDate"
"""A start counts once the machine has told of it."""
THE_OPERATOR = "ask the operator of this agent"

CASES: Mapping[str, Case] = {
    "a user's clause that no slot meets": Case(
        r"The one slot does not meet `Cpus > 100`: Cpus is 8; change condor_requirements\.",
        ask("Cpus > 100 && Memory > 5"),
    ),
    "an attribute that no slot has": Case(
        r"No slot has the attribute HasFileTransfr \(there is HasFileTransfer\), and `HasFileTransfr` does not hold at the one slot; "
        r"change condor_requirements\.",
        ask("HasFileTransfr"),
    ),
    "two wishes that no slot meets together": Case(
        r'No slot meets all that is asked for: of the 2 slots 1 has 4 cores, 1 meets `Machine == "small"`, and none both; '
        r"change n_cores or condor_requirements\.",
        Request(n_cores=4, memory_bytes=64 << 20, disk_bytes=1 << 20, requirements='Machine == "small"'),
        stage=lambda staged: staged.with_small_node(),
    ),
    "more memory than any slot has": Case(
        r"No slot has 500 GiB of memory: the one slot has 16 GiB; ask for less \(worker_memory\)\.",
        Request(memory_bytes=500 * GIB),
    ),
    "more disk than any slot has": Case(
        r"No slot has 977 TiB of disk: the one slot has .* GiB; ask for less \(worker_disk\)\.",
        Request(disk_bytes=1_000_000 * GIB),
    ),
    "more cores than any slot has": Case(
        r"No slot has 64 cores: the one slot has 8; ask for fewer \(n_cores\)\.", Request(n_cores=64)
    ),
    "a GPU where there is none": Case(
        r"No slot has a GPU, and each worker asks for 1; ask for none \(MUSTER_TASK_GPUS\)\.", Request(gpus=1)
    ),
    "the operator's clause": Case(
        r"The one slot does not meet `HasFileTransfer == 5`: HasFileTransfer is true; "
        rf"{THE_OPERATOR} to change MUSTER_SITE_CONDOR_REQUIREMENTS\.",
        policy={"requirements": "HasFileTransfer == 5"},
    ),
    "a site that is excluded": Case(
        r'The one slot is at a site that is excluded \(GLIDEIN_Site is "NOWHERE"\); '
        rf"{THE_OPERATOR} to admit it \(MUSTER_SITE_CONDOR_EXCLUDED_SITES\)\.",
        policy={"excluded_sites": ("NOWHERE",)},
        stage=set_to('GLIDEIN_Site = "NOWHERE"', "STARTD_ATTRS = $(STARTD_ATTRS) GLIDEIN_Site"),
    ),
    "an image that no slot can run": Case(
        r"The one slot cannot run the image in which the workers are to run: HTCondor wants `TARGET\.HasContainer`; "
        rf"{THE_OPERATOR} for another image, or none \(MUSTER_SITE_CONDOR_WORKER_IMAGE\)\.",
        policy={"worker_image": "docker://worker"},
    ),
    "the owner's policy refuses everybody": Case(
        r"The owner's policy at the one slot that fits takes no job now: START is false; only the pool's operator can change that\.",
        stage=set_to("START = false"),
    ),
    "the owner's policy refuses such jobs": Case(
        r"The owner's policy at the one slot that fits refuses these workers: START wants `RequestMemory < 32`; "
        r"change worker_memory, or ask the pool's operator\.",
        stage=set_to("START = RequestMemory < 32 && time() > 5"),
    ),
    "the slot is being drained": Case(
        r"The one slot that fits is being drained and takes nothing new; wait, or ask .* \(condor_drain -cancel\)\.",
        stage=lambda staged: staged.draining(),
    ),
    "no slots": Case(
        r"The pool has no slots: no execution point tells the collector [0-9.:]+ of any; .*", stage=stop("STARTD")
    ),
    "nobody matches": Case(
        r"Nobody matches jobs with slots: the collector [0-9.:]+ knows no negotiator; .*", stage=stop("NEGOTIATOR")
    ),
    "the collector is down": Case(
        r"Nobody can tell what there is, and nothing new is matched: the collector [0-9.:]+ says: .*",
        stage=stop("COLLECTOR"),
    ),
    "others' jobs are everywhere": Case(
        r"The one slot that fits is busy now \(0 cores left at most, 1 asked for\): "
        r"jobs of others run there \(alice@pool\.local 8 cores; this agent's user: 0\); wait, or ask for less .*",
        others=Request(n_cores=8, memory_bytes=64 << 20, disk_bytes=1 << 20),
    ),
    "its own workers are everywhere": Case(
        r"The one slot that fits is busy now \(0 cores left at most, 4 asked for\): this agent's user itself has 8 cores there; .*",
        Request(n_cores=4, memory_bytes=64 << 20, disk_bytes=1 << 20),
        n_workers=3,
    ),
    "the quota of the accounting group": Case(
        r"The accounting group physics has used up its quota: 0 of 0 cores, and a worker asks for 1; wait, or .*"
        r"\(GROUP_QUOTA_physics\), .* \(MUSTER_SITE_CONDOR_ACCOUNTING_GROUP\)\.",
        policy={"accounting_group": "physics"},
        stage=set_to("GROUP_NAMES = physics", "GROUP_QUOTA_physics = 0", "GROUP_ACCEPT_SURPLUS = False"),
    ),
    "MAX_JOBS_RUNNING": Case(
        r"The access point \S+ runs as many jobs as it may, 1 of 1, of all its users together; wait, or .* \(MAX_JOBS_RUNNING\)\.",
        stage=set_to("MAX_JOBS_RUNNING = 1"),
        n_workers=3,
    ),
    "a concurrency limit": Case(
        r"The pool runs no more of these workers at once: HTCondor says: concurrency limit sw reached; .*",
        policy={"attributes": {"ConcurrencyLimits": '"sw"'}},
        stage=set_to("SW_LIMIT = 1"),
        n_workers=3,
    ),
    "the negotiator does not get to it": Case(
        r"1 slot fits and has room, and the workers wait for the next match, since \d+ s; HTCondor has not considered them yet: .*",
        stage=set_to("NEGOTIATOR_JOB_CONSTRAINT = false"),
        patience_s=2.0,
    ),
    "held by hand": Case(
        r"1 of 1 worker is held by hand: lunch \(by user \w+\); .* can let it go on \(muster worker release, or condor_release \d+\)\.",
        act=lambda schedd, cluster: schedd.act(
            Action.HOLD, f"ClusterId == {cluster} && JobStatus =!= 5", reason="lunch"
        ),
    ),
    "held by a policy": Case(
        r"1 of 1 worker is held: too long for us \(subcode 42\); a periodic_hold .*MUSTER_SITE_CONDOR_ATTRIBUTES.*",
        policy={
            "attributes": {
                "PeriodicHold": "true",
                "PeriodicHoldReason": '"too long for us"',
                "PeriodicHoldSubCode": "42",
            }
        },
    ),
    "an input file that has gone": Case(
        r"1 of 1 worker is held: .*gone\.txt.*; see that every one of input_files is there, and can be read at the access point; .*",
        is_file_lost=True,
    ),
    "more memory than it asked for": Case(
        r"1 of 1 worker was stopped for using more memory than asked for: .*; ask for more \(worker_memory\)\.",
        Request(memory_bytes=1 << 20, disk_bytes=1 << 20),
        argv=("python3", "-c", "import time; kept = b'x' * 300_000_000; time.sleep(1000)"),
        stage=set_to("use POLICY : HOLD_IF_MEMORY_EXCEEDED"),
    ),
    "a worker that fails at once": Case(
        r"1 of 1 worker failed and waits for the next start, after 1 of at most 20 starts: worker ended with status 1; .*",
        argv=("false",),
    ),
    "taken away again and again": Case(
        r"1 of 1 worker was started and taken away from its machine again, up to \d+ times.*\(max_worker_runtime\).*",
        act=lambda schedd, cluster: schedd.act(
            Action.VACATE_FAST, f"ClusterId == {cluster} && {HAS_STARTED}", reason="again"
        ),
    ),
    "all is well": Case(None),
}


@asynccontextmanager
async def open_pool(folder: Path, policy: Policy) -> AsyncIterator[CondorPool]:
    """At the end its workers are taken away."""
    bundle = folder / "worker"
    bundle.touch()
    pool = await CondorPool.open(folder / policy.agent, Schedd(), Rules(policy, Workers({}, bundle)))
    try:
        yield pool
    finally:
        for placed in await pool.list_placed():
            await pool.remove(placed.cluster, grace_s=0)
        await pool.close()


@pytest.mark.parametrize("name", CASES)
async def test_the_first_sentence_names_the_cause(name: str, staged: Staged, tmp_path: Path) -> None:
    case = CASES[name]
    staged.condor.use()
    wait_for(staged.is_as_before, "the pool is as it was", deadline_s=DEADLINE_S)
    policy = Policy(agent=f"agent-{uuid4()}", **(case.policy or {}))  # type: ignore[arg-type]
    others = Policy(agent=f"agent-{uuid4()}", accounting_user="alice")
    async with open_pool(tmp_path, policy) as pool, open_pool(tmp_path, others) as theirs:
        if case.others is not None:
            await place_others(theirs, case.others)
        with case.stage(staged):
            cluster = await place(pool, case, tmp_path)
            explainer = Explainer(Schedd(), policy, collector=Collector(fresh_s=0.0), patience_s=case.patience_s)
            if case.first is None:
                assert await explainer.explain(cluster, None, n_workers=case.n_workers) == ()
                return
            await wait_until_told(explainer, cluster, case)


async def test_the_pool_tells_it_of_its_clusters(staged: Staged, tmp_path: Path) -> None:
    staged.condor.use()
    wait_for(staged.is_as_before, "the pool is as it was", deadline_s=DEADLINE_S)
    async with open_pool(tmp_path, Policy(agent=f"agent-{uuid4()}")) as pool:
        case = Case(None, Request(memory_bytes=500 * GIB), n_workers=2)
        cluster = await place(pool, case, tmp_path)

        [told] = await pool.explain(cluster)

        assert told == "No slot has 500 GiB of memory: the one slot has 16 GiB; ask for less (worker_memory)."


async def test_a_schedd_that_does_not_answer_is_an_error(staged: Staged, tmp_path: Path) -> None:
    staged.condor.use()
    wait_for(staged.is_as_before, "the pool is as it was", deadline_s=DEADLINE_S)
    async with open_pool(tmp_path, Policy(agent=f"agent-{uuid4()}")) as pool:
        cluster = await place(pool, CASES["all is well"], tmp_path)
        with staged.without("SCHEDD"):
            await anyio.to_thread.run_sync(lambda: wait_for(lambda: not has_schedd(), "the schedd is gone"))
            with pytest.raises(UnavailableError):
                await pool.explain(cluster)
        await anyio.to_thread.run_sync(lambda: wait_for(has_schedd, "the schedd is back"))


def has_schedd() -> bool:
    with suppress(htcondor2.HTCondorException):
        htcondor2.Schedd().query("false", ["ClusterId"])
        return True
    return False


async def place(pool: CondorPool, case: Case, folder: Path) -> int:
    files = []
    if case.is_file_lost:
        (folder / "gone.txt").write_text("still here")
        files = [str(folder / "gone.txt")]
    spec = ClusterSpec(case.n_workers, "secret", argv=case.argv, request=case.request, input_files=files)
    cluster = await pool.submit(spec, tag=str(uuid4()))
    if case.is_file_lost:
        (folder / "gone.txt").unlink()
    return cluster


async def place_others(pool: CondorPool, request: Request) -> None:
    cluster = await pool.submit(ClusterSpec(1, "secret", argv=SLEEP, request=request), tag=str(uuid4()))
    running = f"ClusterId == {cluster} && JobStatus == 2"
    await anyio.to_thread.run_sync(
        lambda: wait_for(lambda: htcondor2.Schedd().query(running, ["ClusterId"]), "the others' worker runs")
    )


async def wait_until_told(explainer: Explainer, cluster: int, case: Case) -> None:
    assert case.first is not None
    told: list[Sequence[str]] = [()]
    with anyio.move_on_after(DEADLINE_S):
        while not told[-1] or re.fullmatch(case.first, told[-1][0]) is None:
            await anyio.sleep(LOOK_S)
            if case.act is not None:
                await case.act(Schedd(), cluster)
            told.append(await explainer.explain(cluster, None, n_workers=case.n_workers))
        return
    raise AssertionError(f"not told within {DEADLINE_S:g} s; the last was: {[one for one in told if one][-1:]}")
