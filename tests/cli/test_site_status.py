"""Does `muster site status` tell an agent that runs, one that stands still, and one that is gone, and what each has in hand?"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.stack import MUSTER, Stack, clean_environment
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.site.standing import STALE_S, Life, look

pytestmark = [pytest.mark.system]


def run(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [MUSTER, "site", "status", *words],
        cwd=directory.parent,
        env=clean_environment() | {"MUSTER_SITE_DIRECTORY": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_agent_is_seen_running_standing_still_and_gone(stack: Stack) -> None:
    stack.start_serve()
    part = stack.start_site(MUSTER_SITE_CONTAINERS="none")
    directory = stack.state / "site"
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="cat {{INFILE}}",
        input_queue_aliases=["in"],
        infile_ext="json",
        n_workers=2,
    )
    with stack.client() as client:
        workflow = client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=["in"])).workflow_id
        wait_for(lambda: look(directory).stages == {"confirmed": 1}, "its taskforce is placed")
        wait_for(lambda: sum(look(directory).taskforces[0].workers.values()) == 2, "its workers are told of")

        told = run(directory)
        assert told.returncode == 0, told.stdout + told.stderr
        assert f"running: process {part.process.pid}" in told.stdout
        assert "1 confirmed" in told.stdout
        found = json.loads(run(directory, "--json").stdout)
        assert found["standing"]["claimed_at"] is not None
        assert found["taskforces"][0]["n_workers"] == 2

        os.kill(part.process.pid, signal.SIGSTOP)
        try:
            assert look(directory, now=time.time() + STALE_S + 5).life is Life.STUCK
        finally:
            os.kill(part.process.pid, signal.SIGCONT)
        stack.kill("serve")
        wait_for(lambda: "claiming" in {one.doing for one in look(directory).troubles}, "the outage is told")
        assert "cannot: claiming:" in run(directory).stdout

        stack.kill("site")
        gone = run(directory)
        assert gone.returncode == 1
        assert "stopped: no process has the directory; it last told how it stands" in gone.stdout
        assert "1 confirmed" in gone.stdout
    assert workflow


def test_where_no_agent_ever_ran_it_says_so(tmp_path: Path) -> None:
    told = run(tmp_path / "none")
    assert told.returncode == 1
    assert "stopped: no process has the directory" in told.stdout
    assert "taskforces" in told.stdout
    assert not (tmp_path / "none").exists()


def test_the_agent_is_started_by_run_as_by_the_bare_word(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o600)
    variables = {
        "MUSTER_SITE_DIRECTORY": str(tmp_path / "plain"),
        "MUSTER_SITE_TOKEN_FILE": str(tmp_path / "token"),
    }
    ends = [
        subprocess.run(
            [MUSTER, "site", *words],
            cwd=tmp_path,
            env=clean_environment() | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        for words in ([], ["run"], ["--stop-workers"], ["run", "--stop-workers"])
    ]
    assert {(one.returncode, one.stderr) for one in ends} == {(4, ends[0].stderr)}
