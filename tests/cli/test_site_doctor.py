"""Does `muster site doctor` tell a person and a program the same, beside a real service and a real pool, and end with 1 on errors?"""

import json
import subprocess
from pathlib import Path

import pytest

from harness.stack import MUSTER, Stack, clean_environment
from services.condor import Condor

pytestmark = [pytest.mark.system]


def run(folder: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [MUSTER, "site", "doctor", *words],
        cwd=folder,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def variables(stack: Stack) -> dict[str, str]:
    return {
        "MUSTER_SITE_URL": stack.url,
        "MUSTER_SITE_TOKEN_FILE": str(stack.state / "token"),
        "MUSTER_SITE_DIRECTORY": str(stack.state / "unused"),
        "MUSTER_SITE_CONTAINERS": "none",
    }


def test_an_agent_that_could_work_has_no_errors_and_nothing_is_made(running: Stack, tmp_path: Path) -> None:
    told, as_json = run(tmp_path, **variables(running)), run(tmp_path, "--json", **variables(running))
    assert (told.returncode, as_json.returncode) == (0, 0), told.stdout + told.stderr
    checks = json.loads(as_json.stdout)["checks"]
    assert {"directory", "disk", "open files", "token", "service", "clock", "sign-in", "location"} <= {
        one["what"] for one in checks
    }
    for one in checks:
        assert f"{one['verdict']:<8} {one['what']}" in told.stdout
    assert "the agent can work: 0 errors" in told.stdout
    assert not (running.state / "unused").exists()


def test_each_error_is_told_with_the_setting_that_mends_it(running: Stack, tmp_path: Path) -> None:
    wrong = variables(running) | {"MUSTER_SITE_LOCATIONS": "typo", "MUSTER_SITE_TOKEN_FILE": str(tmp_path / "token")}
    (tmp_path / "token").write_text("not-the-token")
    (tmp_path / "token").chmod(0o600)
    refused = run(tmp_path, **wrong)
    assert refused.returncode == 1
    assert "error    sign-in" in refused.stdout
    unknown = run(tmp_path, **(variables(running) | {"MUSTER_SITE_LOCATIONS": "typo"}))
    assert unknown.returncode == 1
    assert "typo is not known to the service, which has local" in unknown.stdout
    assert "MUSTER_SITE_LOCATIONS" in unknown.stdout


def test_settings_that_are_at_fault_are_errors_too(tmp_path: Path) -> None:
    told = run(tmp_path, "--json", MUSTER_SITE_POOL="slurm", MUSTER_SITE_LOCATOINS="x")
    assert told.returncode == 1
    checks = json.loads(told.stdout)["checks"]
    assert {one["what"] for one in checks} == {"settings"}
    assert any("MUSTER_SITE_POOL" in one["found"] for one in checks)
    assert any("MUSTER_SITE_LOCATIONS" in one["found"] for one in checks)


def test_without_a_configuration_of_htcondor_nothing_is_asked_of_it(tmp_path: Path) -> None:
    told = run(tmp_path, "--json", MUSTER_SITE_POOL="htcondor", CONDOR_CONFIG="/dev/null")
    checks = {one["what"]: one for one in json.loads(told.stdout)["checks"]}
    assert checks["configuration"]["verdict"] == "error"
    assert "schedd" not in checks


@pytest.mark.server
def test_beside_a_real_pool_it_says_whose_the_jobs_would_be(running: Stack, condor: Condor, tmp_path: Path) -> None:
    told = run(tmp_path, "--json", **(variables(running) | condor.environment))
    checks = {one["what"]: one for one in json.loads(told.stdout)["checks"]}
    assert told.returncode == 0, told.stdout
    assert "owns the jobs" in checks["submission"]["found"]
    assert checks["location"]["verdict"] == "warning"  # `muster up` calls its schedd "local"
