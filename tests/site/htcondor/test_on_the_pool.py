"""What does a real schedd make of clusters of which the contract of all pools knows nothing: large, held, lost and doubled ones?"""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from contracts.pool_contract import look
from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.htcondor.describe import AGENT, FENCE, TAG, WORKERS, Policy, quote
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.hold_policy import PAUSED_SUBCODE, HoldPolicy
from muster.site.adapters.htcondor.pausing import PAUSED
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.removing import is_gone_within
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Acted, Action, Schedd
from muster.site.ports.pool import ClusterSpec, Observation, Request
from services.condor import Condor

pytestmark = [pytest.mark.anyio, pytest.mark.server, pytest.mark.timeout(120)]

DEADLINE_S = 60.0
NOWHERE = Request(requirements="false", memory_bytes=1 << 20, disk_bytes=1 << 20)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def factory_from() -> int:
    """Workers from which on a cluster is made bit by bit."""
    return 2000


@pytest.fixture
async def pool(condor: Condor, tmp_path: Path, factory_from: int) -> AsyncIterator[CondorPool]:
    pool = await open_pool(tmp_path, factory_from=factory_from)
    yield pool
    for placed in await pool.list_placed():
        await pool.remove(placed.cluster, grace_s=0)
    await pool.close()


async def open_pool(
    folder: Path, name: str = "site", *, factory_from: int = 2000, schedd: Schedd | None = None
) -> CondorPool:
    bundle = folder / "worker"
    bundle.touch()
    rules = Rules(
        Policy(agent=folder.name, starts_max=2, factory_from=factory_from, materialized_max=50),
        Workers({}, bundle),
        HoldPolicy(holds_max=1, first_s=0.2, delay_s_max=0.2),
        truth_s=2.0,
    )
    return await CondorPool.open(folder / name, schedd or Schedd(), rules)


class FailingOnce(Schedd):
    """Does not answer the first time that something is to be done."""

    has_failed = False

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        if not self.has_failed:
            self.has_failed = True
            raise UnavailableError("the schedd is busy")
        return await super().act(action, constraint, reason=reason, code=code)


def spec(*argv: str, n_workers: int = 1, request: Request = NOWHERE, **fields: object) -> ClusterSpec:
    return ClusterSpec(n_workers, "s3cret", fence=3, argv=argv or ("true",), request=request, **fields)  # type: ignore[arg-type]


async def wait_until(pool: CondorPool, cluster: int, is_so: Callable[[Observation], bool]) -> Observation:
    seen = await pool.observe(cluster)
    with anyio.move_on_after(DEADLINE_S):
        while not is_so(seen):
            await look(pool, timeout_s=0.5)
            seen = await pool.observe(cluster)
        return seen
    raise AssertionError(f"not within {DEADLINE_S:g} s (last seen: {seen})")


async def test_a_hundred_thousand_workers_are_placed_at_once_and_all_of_them_wait(pool: CondorPool) -> None:
    cluster = await pool.submit(spec(n_workers=100_000), tag="TF-large")

    seen = await wait_until(pool, cluster, lambda seen: seen.counts == {("IDLE", None): 100_000})
    queued = await Schedd().query(f"ClusterId == {cluster}", ["ProcId"])
    assert seen.n_left == 100_000
    assert len(queued) <= 100

    await pool.remove(cluster, grace_s=0)

    seen = await pool.observe(cluster)
    assert (seen.counts, seen.n_left) == ({("REMOVED", None): 100_000}, 0)


@pytest.mark.parametrize("factory_from", [3])
async def test_a_factory_is_over_when_its_last_worker_has_ended(pool: CondorPool) -> None:
    cluster = await pool.submit(spec("true", n_workers=4, request=Request(memory_bytes=1 << 20)), tag="TF-few")

    seen = await wait_until(pool, cluster, lambda seen: not seen.n_left)

    assert seen.counts == {("COMPLETED", "Done"): 4}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(requirements="Cpus >"), ["condor_requirements", "Cpus >"]),
        (Request(requirements="true) || (true"), ["condor_requirements", "true) || (true"]),
    ],
)
async def test_what_the_schedd_would_refuse_is_refused_in_words_and_nothing_is_left(
    pool: CondorPool, request_: Request, words: list[str]
) -> None:
    with pytest.raises(RejectedError) as refused:
        await pool.submit(spec(request=request_), tag="TF-bad")

    assert all(word in str(refused.value) for word in words)
    assert await pool.find("TF-bad") is None
    assert not await pool.list_placed()


@pytest.mark.parametrize("factory_from", [1_000_000])
async def test_more_procs_than_the_schedd_takes_are_refused_naming_its_settings(pool: CondorPool) -> None:
    with pytest.raises(RejectedError, match=r"n_workers 20001.*MAX_JOBS_PER_SUBMISSION.*MAX_JOBS_PER_OWNER"):
        await pool.submit(spec(n_workers=20_001), tag="TF-many")

    assert await Schedd().query(f'{TAG} == "TF-many"', ["ClusterId"]) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            {
                "SUBMIT_REQUIREMENT_NAMES": "Mem",
                "SUBMIT_REQUIREMENT_Mem": "RequestMemory >= 4",
                "SUBMIT_REQUIREMENT_Mem_REASON": '"Ask for 4 MB"',
            },
            r"SUBMIT_REQUIREMENT_NAMES: Ask for 4 MB$",
        ),
        (
            {"SUBMIT_REQUIREMENT_NAMES": "Mem", "SUBMIT_REQUIREMENT_Mem": "RequestMemory >= 4"},
            r"SUBMIT_REQUIREMENT_NAMES: Submit requirement Mem not met",
        ),
        ({"MAX_JOBS_PER_OWNER": 1}, r"n_workers 2: .*MAX_JOBS_PER_OWNER"),
        ({"MAX_JOBS_SUBMITTED": 0}, r"the schedd refuses it: MAX_JOBS_SUBMITTED exceeded"),
        ({"SCHEDD_ALLOW_LATE_MATERIALIZE": "false"}, r"n_workers 2000: .*MUSTER_SITE_CONDOR_FACTORY_FROM"),
    ],
)
async def test_what_a_schedd_refuses_is_told_in_its_words_and_nothing_is_left(
    own_condor: Condor, tmp_path: Path, setting: dict[str, object], words: str
) -> None:
    own_condor.reconfigure("condor_schedd", **setting)
    pool = await open_pool(tmp_path)

    with pytest.raises(RejectedError, match=words):
        await pool.submit(spec(n_workers=2000 if "FACTORY" in words else 2), tag="TF-1")

    assert not list((tmp_path / "site" / "taskforces").iterdir())
    assert await Schedd().query("true", ["ClusterId"]) == []
    await pool.close()


async def test_a_schedd_that_hangs_keeps_nobody_waiting_who_asks_it_for_our_name(
    own_condor: Condor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.site.adapters.htcondor.schedd.IDENTIFY_S", 2.0)
    schedd = Schedd()
    with own_condor.hung("condor_schedd"), pytest.raises(UnavailableError, match="does not answer"):
        await schedd.identify()

    assert (await schedd.identify()).users


async def test_a_requirement_that_only_warns_lets_a_cluster_be(own_condor: Condor, tmp_path: Path) -> None:
    warns = {"SUBMIT_REQUIREMENT_NAMES": "Mem", "SUBMIT_REQUIREMENT_Mem": "RequestMemory >= 4"}
    own_condor.reconfigure("condor_schedd", SUBMIT_REQUIREMENT_Mem_IS_WARNING="true", **warns)
    pool = await open_pool(tmp_path)

    assert await pool.submit(spec(), tag="TF-1")

    await pool.close()


async def test_a_user_who_is_disabled_is_refused_and_one_without_the_right_waits_for_it(
    own_condor: Condor, tmp_path: Path
) -> None:
    pool = await open_pool(tmp_path)
    user = (await Schedd().identify()).users[0]
    first = await pool.submit(spec(), tag="TF-1")  # whom the schedd does not know it cannot disable
    own_condor.run("condor_qusers", "-disable", user, "-reason", "on holiday")
    with pytest.raises(RejectedError, match="on holiday"):
        await pool.submit(spec(), tag="TF-2")
    own_condor.run("condor_qusers", "-enable", user)

    own_condor.reconfigure("condor_schedd", DENY_WRITE=user)
    with pytest.raises(UnavailableError):
        await pool.submit(spec(), tag="TF-2")
    own_condor.reconfigure("condor_schedd", DENY_WRITE="mallory@*")
    assert await pool.find("TF-2") is None
    assert await pool.submit(spec(), tag="TF-2") > first

    await pool.close()


async def test_a_worker_that_is_held_for_trouble_is_tried_again_then_given_up_and_its_reason_is_told(
    pool: CondorPool, condor: Condor, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.csv"
    gone.write_text("x")
    cluster = await pool.submit(spec("true", request=NOWHERE, input_files=(str(gone),)), tag="TF-held")
    gone.unlink()
    condor.run("condor_qedit", str(cluster), "Requirements", "true")

    seen = await wait_until(pool, cluster, lambda seen: not seen.n_left)

    assert seen.counts == {("REMOVED", None): 1}
    [error] = seen.errors
    assert "gone.csv" in error


async def test_an_input_file_is_what_its_link_led_to_when_it_was_placed_under_the_name_of_the_link(
    pool: CondorPool, condor: Condor, tmp_path: Path
) -> None:
    for name, text in {"first.csv": "good", "other.csv": "bad"}.items():
        (tmp_path / name).write_text(text)
    for link in ("data.csv", "same.csv"):
        (tmp_path / link).symlink_to(tmp_path / "first.csv")
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    given = tuple(str(tmp_path / name) for name in ("data.csv", "same.csv", "folder/first.csv"))
    shows = 'test "$(cat inputs/data.csv inputs/same.csv inputs/first.csv)" = goodgoodgood'
    cluster = await pool.submit(spec("sh", "-c", shows, request=NOWHERE, input_files=given), tag="TF-link")
    for link in ("data.csv", "same.csv", "folder"):
        (tmp_path / link).unlink()
        (tmp_path / link).symlink_to(tmp_path / "other.csv")
    condor.run("condor_qedit", str(cluster), "Requirements", "true")

    seen = await wait_until(pool, cluster, lambda seen: not seen.n_left)

    assert seen.counts == {("COMPLETED", "Done"): 1}


async def test_who_was_held_by_hand_stays_held_until_that_hand_lets_go(pool: CondorPool) -> None:
    cluster = await pool.submit(spec(n_workers=2), tag="TF-by-hand")
    schedd = Schedd()
    await schedd.act(Action.HOLD, f"ClusterId == {cluster}", reason="lunch")
    held = ("HELD: The user put the job on hold with condor_hold", None)

    seen = await wait_until(pool, cluster, lambda seen: seen.counts == {held: 2})
    assert seen.facts is not None
    assert sum(seen.facts.holds.values()) == 2
    for _ in range(3):
        await look(pool, timeout_s=1.0)
    assert (await pool.observe(cluster)).counts == {held: 2}
    assert [text.startswith("2 of 2 workers are held") for text in await pool.explain(cluster)][:1] == [True]

    await schedd.act(Action.RELEASE, f"ClusterId == {cluster}", reason="coffee")
    await wait_until(pool, cluster, lambda seen: seen.counts == {("IDLE", None): 2})


async def test_a_cluster_whose_folder_was_lost_is_taken_up_and_a_second_one_of_its_tag_is_removed(
    pool: CondorPool, tmp_path: Path
) -> None:
    first = await pool.submit(spec(n_workers=2), tag="TF-lost")
    other = await open_pool(tmp_path, "another-folder")
    try:
        assert [one.cluster for one in await other.list_placed()] == [first]
        assert await other.find("TF-lost") == first
        seen = await wait_until(other, first, lambda seen: seen.counts == {("IDLE", None): 2})
        assert seen.n_left == 2

        (tmp_path / "another-folder" / "taskforces" / "TF-lost").rename(tmp_path / "mislaid")
        third = await open_pool(tmp_path, "third-folder")
        attributes = {f"+{TAG}": '"TF-lost"', f"+{AGENT}": quote(tmp_path.name), f"+{FENCE}": "3", f"+{WORKERS}": "1"}
        second = await third._schedd.submit({"executable": "/bin/true", "requirements": "false", **attributes}, count=1)
        await pool.list_placed()
        assert await is_gone_within(third._schedd, second, "TF-lost", DEADLINE_S)
        assert await pool.find("TF-lost") == first
        await third.close()
    finally:
        await other.close()


async def test_what_the_log_does_not_tell_the_queue_and_the_history_do(pool: CondorPool, tmp_path: Path) -> None:
    cluster = await pool.submit(spec("sleep", "600", n_workers=2, request=Request(memory_bytes=1 << 20)), tag="TF-1")
    await wait_until(pool, cluster, lambda seen: seen.counts == {("RUNNING", None): 2})
    log = tmp_path / "site" / "taskforces" / "TF-1" / "events.log"
    log.unlink()
    log.mkdir()  # nobody can write into it any more

    await Schedd().act(Action.REMOVE, f"ClusterId == {cluster}", reason="behind our back")

    seen = await wait_until(pool, cluster, lambda seen: not seen.n_left)
    assert seen.counts == {("REMOVED", None): 2}


async def test_a_hold_that_the_log_does_not_tell_the_queue_does_with_its_codes(
    pool: CondorPool, tmp_path: Path
) -> None:
    cluster = await pool.submit(spec(n_workers=3), tag="TF-1")
    await wait_until(pool, cluster, lambda seen: seen.counts == {("IDLE", None): 3})
    log = tmp_path / "site" / "taskforces" / "TF-1" / "events.log"
    log.unlink()
    log.mkdir()

    await Schedd().act(Action.HOLD, f"ClusterId == {cluster} && ProcId != 1", reason="lunch", code=5)

    held = ("HELD: The user put the job on hold with condor_hold: 5 (unknown)", None)
    await wait_until(pool, cluster, lambda seen: seen.counts == {held: 2, ("IDLE", None): 1})


async def test_a_job_that_only_looks_like_ours_is_nobodys_cluster(pool: CondorPool, tmp_path: Path) -> None:
    for fence, tag in (('"x"', "TF-odd"), ("3", "../odd"), ("undefined", "TF-odd")):
        attributes = {f"+{TAG}": quote(tag), f"+{AGENT}": quote(tmp_path.name), f"+{FENCE}": fence, f"+{WORKERS}": "1"}
        description = {"executable": "/bin/true", "requirements": "false", **attributes}
        await Schedd().submit(description, count=1)

    assert await pool.list_placed() == []

    await Schedd().act(Action.REMOVE, f"{AGENT} == {quote(tmp_path.name)}", reason="odd")


@pytest.mark.parametrize("somebody", ["mallory@pool.local", "nobody@elsewhere.example"])
async def test_a_job_of_another_user_with_all_our_attributes_is_nobodys_cluster(
    pool: CondorPool, condor: Condor, tmp_path: Path, somebody: str
) -> None:
    attributes = {
        f"MY_{TAG}": quote("TF-theirs"),
        f"MY_{AGENT}": quote(tmp_path.name),
        f"MY_{FENCE}": 3,
        f"MY_{WORKERS}": 1,
    }
    sleeping = {"executable": "/bin/sleep", "arguments": 600, "requirements": "false"}
    with condor.identity(somebody):
        theirs = condor.submit(tmp_path, **sleeping, **attributes)

    assert await pool.find("TF-theirs") is None
    assert await pool.list_placed() == []
    ours = await pool.submit(spec(), tag="TF-theirs")
    assert [one.cluster for one in await pool.list_placed()] == [ours]
    assert await pool.find("TF-theirs") == ours
    await pool.pause(grace_s=0)
    [theirs_now] = await Schedd().query(f"ClusterId == {theirs}", ["JobStatus", "User"])
    assert theirs_now == {"JobStatus": 1, "User": somebody}

    await pool.remove(ours, grace_s=0)
    await pool.forget(ours)
    with condor.identity(somebody):
        condor.run("condor_rm", str(theirs))
    assert await pool.find("TF-theirs") is None  # nor is one of theirs that has ended


async def test_a_factory_that_was_paused_goes_on_with_the_next_agent(pool: CondorPool, tmp_path: Path) -> None:
    cluster = await pool.submit(spec(n_workers=2000), tag="TF-1")
    await wait_until(pool, cluster, lambda seen: seen.counts == {("IDLE", None): 2000})

    await pool.pause(grace_s=0)

    await pool.close()
    later = await open_pool(tmp_path)
    try:
        await wait_until(later, cluster, lambda seen: seen.counts == {("IDLE", None): 2000})
        factory = f"ClusterId == {cluster} && ProcId =?= undefined"
        with anyio.fail_after(DEADLINE_S):
            while await is_paused(factory):
                await look(later, timeout_s=0.5)
    finally:
        await later.remove(cluster, grace_s=0)
        await later.close()


async def is_paused(factory: str) -> bool:
    [ad] = await Schedd().query(factory, ["JobMaterializePaused"], factories=True)
    return bool(ad.get("JobMaterializePaused"))


async def test_workers_that_were_paused_go_on_with_the_next_agent(pool: CondorPool, tmp_path: Path) -> None:
    cluster = await pool.submit(spec("sleep", "600", n_workers=2, request=Request(memory_bytes=1 << 20)), tag="TF-1")
    await wait_until(pool, cluster, lambda seen: seen.counts == {("RUNNING", None): 2})

    await pool.pause(grace_s=5)

    assert await Schedd().query(f"ClusterId == {cluster} && JobStatus == 2", ["ProcId"]) == []
    await pool.close()
    later = await open_pool(tmp_path)
    try:
        await wait_until(later, cluster, lambda seen: seen.counts == {("RUNNING", None): 2})
    finally:
        await later.remove(cluster, grace_s=0)
        await later.close()


async def test_only_who_the_agent_has_paused_goes_on_with_it_whatever_the_words_of_another_hold_say(
    pool: CondorPool, tmp_path: Path
) -> None:
    cluster = await pool.submit(spec(n_workers=3), tag="TF-1")
    schedd = Schedd()
    for proc, reason in ((0, f"not this one; {PAUSED}, they say"), (1, PAUSED)):
        code = 0 if reason == PAUSED else 5
        await schedd.act(Action.HOLD, f"ClusterId == {cluster} && ProcId == {proc}", reason=reason, code=code)
    await pool.pause(grace_s=0)
    held = await schedd.query(f"ClusterId == {cluster} && JobStatus == 5", ["ProcId", "HoldReasonSubCode"])
    assert {ad["ProcId"]: ad["HoldReasonSubCode"] for ad in held} == {0: 5, 1: 0, 2: PAUSED_SUBCODE}
    assert any("its next start lets them go on" in sentence for sentence in await pool.explain(cluster))

    await pool.tend()

    held = await schedd.query(f"ClusterId == {cluster} && JobStatus == 5", ["ProcId"])
    assert [ad["ProcId"] for ad in held] == [0]  # the second was paused by an agent of before


async def test_a_description_says_how_a_cluster_was_placed_and_no_secret(pool: CondorPool) -> None:
    cluster = await pool.submit(spec(), tag="TF-1")

    told = await pool.describe(cluster)

    assert told.submit_dict["+EWMSTaskforceUUID"] == '"TF-1"'
    assert told.log.endswith("/TF-1/events.log")
    ads = await Schedd().query(f"ClusterId == {cluster}", ["Environment", "Arguments", "TransferInput", "Requirements"])
    assert "s3cret" not in repr((told, ads))


async def test_a_cluster_whose_folder_was_damaged_goes_on_with_what_can_be_made_again(
    pool: CondorPool, condor: Condor, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_text("good")
    given = (str(tmp_path / "data.csv"),)
    shows = 'test "$(cat inputs/data.csv)" = good && test -s muster-enrol.json'
    cluster = await pool.submit(spec("sh", "-c", shows, input_files=given, n_workers=2), tag="TF-1")
    folder = tmp_path / "site" / "taskforces" / "TF-1"
    (folder / "cluster.json").write_text("{")
    for name in ("launch.sh", "muster-worker.pyz", "muster-inputs"):
        (folder / name).unlink()
    (tmp_path / "worker").write_text("a worker")
    await pool.close()

    later = await open_pool(tmp_path)
    try:
        assert len(later.damaged) == 1
        assert await later.find("TF-1") == cluster
        await later.tend()
        condor.run("condor_qedit", str(cluster), "Requirements", "true")
        seen = await wait_until(later, cluster, lambda seen: not seen.n_left)
        assert seen.counts == {("COMPLETED", "Done"): 2}
        assert "HELD" not in (folder / "events.log").read_text()
        assert b"Job was held" not in (folder / "events.log").read_bytes()
    finally:
        await later.close()


@pytest.mark.parametrize("n_workers", [2, 2000])
async def test_workers_whose_enrolment_is_lost_do_not_start_in_vain_until_it_is_back(
    pool: CondorPool, condor: Condor, tmp_path: Path, n_workers: int
) -> None:
    cluster = await pool.submit(spec("true", n_workers=n_workers), tag="TF-1")
    await wait_until(pool, cluster, lambda seen: seen.counts == {("IDLE", None): n_workers})
    folder = tmp_path / "site" / "taskforces" / "TF-1"
    enrolment = (folder / "muster-enrol.json").read_bytes()
    (folder / "cluster.json").unlink()
    (folder / "muster-enrol.json").write_bytes(b"")
    await pool.close()

    later = await open_pool(tmp_path)
    try:
        assert [one.cluster for one in await later.list_placed()] == [cluster]
        for _ in range(2):
            with pytest.raises(
                UnavailableError, match=rf"cluster {cluster} .*TF-1.*muster-enrol.json.*condor_rm {cluster}"
            ):
                await later.tend()
        waiting = await Schedd().query(f"ClusterId == {cluster} && JobStatus == 1", ["ProcId"])
        assert waiting == []
        [sentence] = [one for one in await later.explain(cluster) if "held by the agent" in one]
        assert "muster-enrol.json" in sentence

        (folder / "muster-enrol.json").write_bytes(enrolment)

        with anyio.fail_after(DEADLINE_S):
            while not await Schedd().query(f"ClusterId == {cluster} && JobStatus == 1", ["ProcId"], limit=1):
                await tend_in_trouble(later)
        await later.tend()
    finally:
        await later.remove(cluster, grace_s=0)
        await later.close()


async def test_a_cluster_is_taken_up_also_where_its_workers_could_not_be_held_at_once(
    pool: CondorPool, condor: Condor, tmp_path: Path
) -> None:
    cluster = await pool.submit(spec("true", n_workers=2), tag="TF-1")
    (tmp_path / "site" / "taskforces" / "TF-1" / "cluster.json").unlink()
    (tmp_path / "site" / "taskforces" / "TF-1" / "muster-enrol.json").unlink()
    await pool.close()
    later = await open_pool(tmp_path, schedd=FailingOnce())
    try:
        with pytest.raises(UnavailableError, match="busy"):
            await later.list_placed()

        assert [one.cluster for one in await later.list_placed()] == [cluster]
        assert await later.find("TF-1") == cluster
        with anyio.fail_after(DEADLINE_S):
            while await Schedd().query(f"ClusterId == {cluster} && JobStatus == 1", ["ProcId"], limit=1):
                await tend_in_trouble(later)
    finally:
        await later.remove(cluster, grace_s=0)
        await later.close()


async def tend_in_trouble(pool: CondorPool) -> None:
    with contextlib.suppress(UnavailableError):
        await pool.tend()
    await pool.wait_for_change(timeout_s=0.5)
