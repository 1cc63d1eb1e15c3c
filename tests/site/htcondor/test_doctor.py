"""Does the doctor see what is wrong beside a schedd, at a real pool, and of what no pool here has?"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.stack import MUSTER, clean_environment
from harness.waiting import wait_for
from muster.site.adapters.htcondor.classads import Values
from muster.site.adapters.htcondor.describe import Policy, quote
from muster.site.adapters.htcondor.doctor import (
    CHANNEL_BINDING,
    Beside,
    Report,
    Tmp,
    examine_pool,
    has_private_tmp,
    judge_access,
    judge_bindings,
    judge_limits,
    judge_log_folder,
    judge_schedd,
    judge_slots,
    look_at_tmp,
    look_tokens,
    name_fs_remedy,
)
from muster.site.adapters.htcondor.inquiry import Access, Bindings, ScheddFacts, Slots, count_slots
from muster.site.ports.checks import Check, Verdict
from services.condor import Condor
from services.fetching import ROOT

NOBODY = Access("nobody@pool.local", "FS", is_allowed=True)


def beside(folder: Path, *, schedd: str = "", workers_max: int = 100_000, policy: Policy | None = None) -> Beside:
    return Beside(schedd, folder, policy or Policy("agent"), workers_max, folder / "htcondor")


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {one.what: one for one in checks}


def examine_settled(told: Beside) -> Report:
    """As soon as the collector answers. This process may have spoken to another pool at the same address: its library then remembers a
    session that this one does not know, and loses one call. A doctor is a process of its own.
    """
    reports = []

    def has_answered() -> bool:
        reports.append(examine_pool(told))
        return not any("Failed communication with collector" in one.found for one in reports[-1].checks)

    wait_for(has_answered, "the collector answers")
    return reports[-1]


def schedd(**changed: object) -> ScheddFacts:
    facts = {"name": "ap", "machine": "ap", "version": "25.0", "address": "", "ahead_s": 0.0, "running_max": 10}
    return ScheddFacts(**{**facts, **changed})  # type: ignore[arg-type]


@pytest.mark.server
def test_a_pool_that_is_as_it_should_be_has_no_errors(condor: Condor, tmp_path: Path) -> None:
    report = examine_settled(beside(tmp_path / "site"))
    checks = by_name(report.checks)
    assert [one for one in report.checks if one.verdict is Verdict.ERROR] == []
    assert report.schedd
    assert f"collector {condor.address}" in checks["configuration"].found
    assert "nobody owns the jobs" in checks["submission"].found or os.geteuid()
    assert "by FS" in checks["submission"].found
    assert "MAX_JOBS_PER_SUBMISSION 20000" in checks["limits"].found
    assert checks["slots"].found.startswith("1 of 1 (64 of 64 CPUs) meet")
    assert checks["schedd's clock"].verdict is Verdict.OK
    assert not (tmp_path / "site").exists()


@pytest.mark.server
def test_requirements_that_no_slot_meets_and_a_schedd_that_nobody_knows_are_told(
    condor: Condor, tmp_path: Path
) -> None:
    policy = Policy("agent", requirements="HasSingularity && TARGET.Cpus > 1000")
    report = examine_settled(beside(tmp_path, schedd="no-such-schedd", policy=policy))
    checks = by_name(report.checks)
    assert checks["schedd"].verdict is Verdict.ERROR
    assert "MUSTER_SITE_CONDOR_SCHEDD" in checks["schedd"].remedy
    assert checks["slots"].verdict is Verdict.WARNING
    assert checks["slots"].found.startswith("0 of 1 ")
    wrong = by_name(examine_pool(beside(tmp_path, policy=Policy("agent", requirements="Cpus >> ("))).checks)
    assert wrong["slots"].verdict is Verdict.ERROR


@pytest.mark.server
def test_limits_of_the_schedd_and_a_user_who_may_not_submit_are_told(own_condor: Condor, tmp_path: Path) -> None:
    own_condor.stop()
    own_condor.configure(MAX_JOBS_PER_SUBMISSION=10, MAX_JOBS_PER_OWNER=50, DENY_WRITE="nobody@*, root@*")
    own_condor.start()
    own_condor.use()
    checks = by_name(examine_settled(beside(tmp_path)).checks)
    assert checks["submission"].verdict is Verdict.ERROR
    assert checks["limits"].verdict is Verdict.ERROR
    assert "MUSTER_SITE_CONDOR_FACTORY_FROM=10" in checks["limits"].remedy


def test_a_library_that_found_no_configuration_is_an_error() -> None:
    checks = [*judge_bindings(Bindings("25.14.1", None, "", None), "")]
    assert checks[-1].verdict is Verdict.ERROR
    assert "CONDOR_CONFIG" in checks[-1].remedy
    assert [*judge_bindings(Bindings("25.14.1", "/c", "", None), "")][-1].verdict is Verdict.ERROR


@pytest.mark.parametrize(
    "access",
    [
        Access("root@pool.local", "FS", is_allowed=True),
        Access("condor@pool.local", "IDTOKENS", is_allowed=True),
        Access("unauthenticated@unmapped", "", is_allowed=True),
        Access("nobody@pool.local", "FS", is_allowed=False),
    ],
)
def test_those_who_may_not_submit_or_own_no_jobs_are_told(access: Access) -> None:
    check = judge_access(access)
    assert check.verdict is Verdict.ERROR
    assert access.identity in check.found
    assert check.remedy


def test_what_keeps_fs_from_working_is_seen_from_here() -> None:
    private, readable, good = Tmp(True, True), Tmp(False, False), Tmp(False, True)
    assert "PrivateTmp=no" in name_fs_remedy(private, library="25.14.1", schedd="25.14.1")
    assert "no write access to /tmp" in name_fs_remedy(readable, library="25.14.1", schedd="25.14.1")
    older = name_fs_remedy(good, library="25.14.1", schedd="23.9.6")
    assert CHANNEL_BINDING in older
    assert "older" not in name_fs_remedy(good, library="25.14.1", schedd="25.14.1")
    by_password = judge_access(Access("condor@password", "IDTOKENS", is_allowed=True), older)
    assert by_password.remedy.startswith("FS goes first, and did not work: the schedd (23.9.6) is older")


def test_a_tmp_that_systemd_made_for_one_unit_is_known_by_its_mount() -> None:
    mount = "40 22 8:1 {} /tmp rw,relatime - ext4 /dev/sda1 rw\n"
    assert has_private_tmp(mount.format("/tmp/systemd-private-0af-muster-site.service-Xy/tmp"))
    assert not has_private_tmp(mount.format("/"))
    assert not has_private_tmp("nonsense\n")
    assert look_at_tmp() == Tmp(is_private=False, is_writable=True)


@pytest.mark.server
def test_an_agent_with_a_tmp_of_its_own_is_told_what_keeps_fs_from_working(condor: Condor, tmp_path: Path) -> None:
    """Its /tmp is hidden but for the pool's folder, and our own if it is there: the schedd does not see what the agent makes there."""
    if shutil.which("unshare") is None or os.geteuid():
        pytest.skip("mounts need root")
    hide = (
        "mount --bind /tmp /mnt && mount -t tmpfs none /tmp && "
        'for one in "$1" "$2"; do case $one in /tmp/*) mkdir -p "$one" && mount --bind "/mnt/${one#/tmp/}" "$one" ;; esac; done && '
        'cd / && exec "$3" site doctor --json'
    )
    environment = clean_environment() | condor.environment | {"MUSTER_SITE_DIRECTORY": "/var/tmp/muster-none"}
    told = subprocess.run(
        ["unshare", "--mount", "bash", "-c", hide, "-", str(condor.folder), str(ROOT), str(MUSTER)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    checks = {one["what"]: one for one in json.loads(told.stdout)["checks"]}
    assert checks["submission"]["verdict"] == "error"
    assert "PrivateTmp=no" in checks["submission"]["remedy"]


@pytest.mark.server
def test_another_agent_of_the_same_name_is_told_and_so_are_jobs_of_others_that_say_so(
    condor: Condor, tmp_path: Path
) -> None:
    told = beside(tmp_path, policy=Policy(tmp_path.name))
    waiting = {"executable": "/bin/true", "requirements": "false", "MY_MusterAgent": quote(tmp_path.name)}
    for name in ("mine/taskforces/TF-1", "htcondor/taskforces/TF-2"):
        (tmp_path / name).mkdir(parents=True)
        condor.submit(tmp_path, log=tmp_path / name / "events.log", **waiting)
    with condor.identity("mallory@pool.local"):
        condor.submit(tmp_path, **waiting)
    try:
        report = examine_settled(told)
    finally:
        condor.run("condor_rm", "-constraint", f"MusterAgent == {quote(tmp_path.name)}")

    folder, user = [one for one in report.checks if one.what == "name"]
    assert (folder.verdict, user.verdict) == (Verdict.WARNING, Verdict.WARNING)
    assert folder.found.startswith(f"1 of 2 clusters of an agent {tmp_path.name!r} were placed")
    assert folder.found.endswith(f"{tmp_path}/mine/taskforces")
    assert "MUSTER_SITE_NAME" in folder.remedy
    assert user.found.startswith("1 clusters of mallory@pool.local say")
    assert "name" not in by_name(examine_settled(told).checks)


def test_limits_are_judged_by_what_is_submitted_at_once(tmp_path: Path) -> None:
    told = beside(tmp_path, workers_max=5000)
    assert judge_limits(20000, 100_000, 10_000, told).verdict is Verdict.OK
    few = judge_limits(500, 100_000, 10_000, told)
    assert few.verdict is Verdict.ERROR
    assert "MUSTER_SITE_CONDOR_FACTORY_FROM=500" in few.remedy
    assert judge_limits(20000, 1000, 10_000, told).verdict is Verdict.WARNING
    assert judge_limits(500, 100_000, 10_000, beside(tmp_path, workers_max=100)).verdict is Verdict.OK


def test_event_logs_must_be_in_reach_of_who_writes_them(tmp_path: Path) -> None:
    here = schedd(machine=os.uname().nodename)
    assert judge_log_folder(tmp_path, NOBODY, here, schedd_uid=os.geteuid()).verdict is Verdict.OK
    other = judge_log_folder(tmp_path, NOBODY, here, schedd_uid=os.geteuid() + 1)
    assert other.verdict is Verdict.ERROR  # pytest's folders are 0700
    assert "nobody" in other.remedy
    far = judge_log_folder(tmp_path, NOBODY, schedd(machine="elsewhere.example"), schedd_uid=None)
    assert far.verdict is Verdict.WARNING
    assert "elsewhere.example" in far.found


def test_tokens_that_others_can_read_are_told_since_htcondor_passes_over_them(tmp_path: Path) -> None:
    assert [*look_tokens(tmp_path / "none")] == []
    for name, mode in {"good": 0o600, "open": 0o644}.items():
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    [check] = look_tokens(tmp_path)
    assert check.remedy.startswith(f"chmod 600 {tmp_path / 'open'}")


@pytest.mark.parametrize(("ahead_s", "verdict"), [(0.2, Verdict.OK), (-7.0, Verdict.WARNING), (70.0, Verdict.ERROR)])
def test_the_clock_of_a_schedd_is_compared(ahead_s: float, verdict: Verdict) -> None:
    assert [*judge_schedd(schedd(ahead_s=ahead_s))][-1].verdict is verdict


def test_slots_are_counted_by_what_they_meet_and_what_they_have() -> None:
    busy = {"slottype": "Partitionable", "totalslotcpus": 8, "cpus": 2, "hassingularity": True, "hascontainer": True}
    ads: list[Values] = [busy, {"slottype": "Static", "cpus": 4, "hassingularity": False}, {}]
    slots = count_slots(ads, "(HasSingularity) && TARGET.Cpus > 4")
    assert slots == Slots(3, 12, 1, 8, {"HasContainer": 1, "HasSingularity": 1, "HasDocker": 0})
    assert count_slots(ads, "true").fitting == 3
    with pytest.raises(ValueError, match=r".+"):
        count_slots(ads, "a &&& (")


def test_a_pool_without_slots_or_without_containers_is_warned_of(tmp_path: Path) -> None:
    [none] = judge_slots(Slots(), "true", beside(tmp_path))
    assert none.verdict is Verdict.WARNING
    bare = Slots(2, 8, 2, 8, {"HasContainer": 0, "HasSingularity": 0, "HasDocker": 0})
    assert [one.verdict for one in judge_slots(bare, "true", beside(tmp_path))] == [Verdict.OK, Verdict.WARNING]
    only_plain = Beside("", tmp_path, Policy("agent"), 10, tmp_path / "htcondor", has_containers=False)
    assert [one.verdict for one in judge_slots(bare, "true", only_plain)] == [Verdict.OK, Verdict.OK]
    in_image = Beside(
        "", tmp_path, Policy("agent", worker_image="/i.sif"), 10, tmp_path / "htcondor", has_containers=False
    )
    assert [one.verdict for one in judge_slots(bare, "true", in_image)] == [Verdict.OK, Verdict.WARNING]
