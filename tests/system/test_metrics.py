"""Does a real service, over a real run, count what happened in it?"""

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from harness.processes import workers_alive
from harness.stack import Stack
from harness.tally import Tally
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow
from muster.server.adapters.sql.migrate import get_head
from muster.server.adapters.sql.replicas import PROGRAM

pytestmark = pytest.mark.system
GOOD = 20
ATTEMPTS = 2


def read(stack: Stack) -> dict[str, float]:
    text = httpx.get(f"{stack.url}/metrics", headers={"authorization": f"Bearer {stack.token}"}).text
    return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_what_happened_in_a_run_is_what_the_metrics_say(
    stack: Stack, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Twenty events are done; one kills its worker each time, until it is dead."""
    if kind == "postgresql":
        stack.database_url = request.getfixturevalue("postgres_url")
    stack.start_serve(MUSTER_COUNT_INTERVAL_S="0.2")
    stack.start_site(MUSTER_SITE_WORKER_RESTART_S="0.05")
    tally = Tally(tmp_path / "tally.jsonl")
    task = tally.make_task(
        n_workers=1,
        lease_s=1.0,
        retry_s=0.2,
        attempts=ATTEMPTS,
    )
    with stack.client() as client:
        workflow = client.submit_workflow(
            NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=False)
        ).workflow_id
        wait_for(lambda: read(stack).get('muster_sessions{kind="workers"}') == 1, "the worker is counted")
        tally.publish(
            client, workflow, ({"n": n, "kills_worker": n == GOOD} for n in range(GOOD + 1)), batch=7, close=True
        )
        wait_for(lambda: client.get_progress(workflow).input.dead == 1, "one is dead")
        wait_for(lambda: client.get_progress(workflow).input.done == GOOD, "the others are done")
        wait_for(
            lambda: (
                read(stack).get('muster_events{reader="tasks",state="dead"}') == 1
                and read(stack).get('muster_events{reader="people",state="waiting"}') == GOOD
            ),
            "that is counted",
        )
        found = read(stack)

        assert found['muster_events_published_total{by="people"}'] == GOOD + 1
        assert found['muster_events_published_total{by="tasks"}'] == GOOD
        assert found['muster_attempts_total{outcome="done"}'] == GOOD
        assert found["muster_events_leased_total"] >= GOOD + ATTEMPTS
        assert found["muster_events_retried_total"] >= 1
        assert found['muster_tokens_minted_total{kind="worker"}'] >= 1 + ATTEMPTS - 1
        assert found['muster_events{reader="tasks",state="done"}'] == GOOD
        assert found['muster_workflows{state="active"}'] == 1
        assert found['muster_taskforces{location="local",phase="condor-submit"}'] == 1
        assert found["muster_workflows_activated_total"] == found["muster_taskforces_launched_total"] == 1
        assert found[f'muster_build_info{{database="{kind}",era="0",schema="{get_head()}",version="{PROGRAM}"}}'] == 1
        for call in ("read", "write", "engine"):
            assert found[f'muster_database_calls_total{{call="{call}"}}'] > 0
            assert found[f'muster_database_call_seconds_total{{call="{call}"}}'] > 0
        assert sum(value for name, value in found.items() if name.startswith("muster_database_connections_max{")) >= 5
        assert found["process_resident_memory_bytes"] > 1e7
        assert found["process_open_fds"] > 5
        assert min(value for name, value in found.items() if name.startswith("muster_daemon_passes_total{")) >= 1

        stack.parts["site"].process.kill()
        for pid in workers_alive(stack.root):
            os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: read(stack)["muster_sessions_expired_total"] > found["muster_sessions_expired_total"],
            "it fell silent",
        )
        client.abort_workflow(workflow)
        wait_for(lambda: read(stack).get('muster_workflows{state="aborted"}') == 1, "its end is counted")
        assert 'muster_events{reader="tasks",state="done"}' not in read(stack)
