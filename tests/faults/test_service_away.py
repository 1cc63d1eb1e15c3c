"""Are results that nobody could take still there when service and workers are back, and does each count once?"""

import os
import signal
from pathlib import Path

import pytest

from harness.processes import workers_alive
from harness.stack import Stack
from harness.tally import Tally, check_after_fault
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow

pytestmark = pytest.mark.system

WORKERS = 2


def test_results_outlive_the_service_and_their_workers(stack: Stack, tmp_path: Path) -> None:
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        # A dead worker's event waits before it is given to another: long enough for the next start to come with its result.
        task = tally.make_task(n_workers=WORKERS, warm=False, lease_s=60.0, retry_s=20.0)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        slow = [{"n": n, "sleep_s": 2} for n in range(WORKERS)]
        tally.publish(client, workflow, [*slow, *({"n": n} for n in range(WORKERS, 6))], close=True)
        wait_for(lambda: len(tally.runs()) == WORKERS, "every worker is at work")

        stack.kill("serve")
        wait_for(lambda: len(list_results(stack)) == WORKERS, "the results are on disk")
        for pid in workers_alive(stack.root):
            os.kill(pid, signal.SIGKILL)
        assert len(list_results(stack)) == WORKERS
        stack.start_serve()

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)
        check_after_fault(stack, client, workflow, tally, done=6)
        assert set(tally.runs().values()) == {1}, "nothing was run twice"
    assert list_results(stack) == []


def test_a_worker_that_gives_up_leaves_its_result_to_its_next_start(stack: Stack, tmp_path: Path) -> None:
    stack.environment["MUSTER_SITE_WORKER_OFFLINE_S"] = "2"
    stack.start_serve()
    stack.start_site(MUSTER_SITE_WORKER_RESTART_S="0.1", MUSTER_SITE_WORKER_RESTART_S_MAX="1")
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        task = tally.make_task(n_workers=1, warm=False, lease_s=60.0, retry_s=20.0)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        tally.publish(client, workflow, [{"n": 0, "sleep_s": 1}], close=True)
        wait_for(lambda: bool(tally.runs()), "it is at work")

        stack.kill("serve")
        wait_for(lambda: len(list_results(stack)) == 1, "the result is on disk")
        [told] = stack.state.glob("site/clusters/*/procs/*/proc.json")
        wait_for(lambda: "attempts on disk that were not handed in: 1" in told.read_text(), "its site is told")
        stack.start_serve()

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)
        check_after_fault(stack, client, workflow, tally, done=1)
        assert tally.runs() == {0: 1}


def test_a_service_that_was_away_for_longer_than_a_lease_has_its_workers_go_on(stack: Stack, tmp_path: Path) -> None:
    """Nothing is begun, ends or is given to anybody while it is away; so nothing that is at work is run twice."""
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        task = tally.make_task(n_workers=WORKERS, warm=False, lease_s=2.0, retry_s=0.3)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        slow = [{"n": 0, "sleep_s": 5}, {"n": 1, "sleep_s": 10}]
        tally.publish(client, workflow, [*slow, *({"n": n} for n in range(WORKERS, 6))], close=True)
        wait_for(lambda: len(tally.runs()) == WORKERS, "every worker is at work")

        stack.kill("serve")
        wait_for(lambda: len(list_results(stack)) == 1, "a task has ended meanwhile, leases later")
        stack.start_serve()

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)
        check_after_fault(stack, client, workflow, tally, done=6)
        assert set(tally.runs().values()) == {1}, "nothing was run twice"
        assert client.get_progress(workflow).failures == 0


def list_results(stack: Stack) -> list[Path]:
    """The results on the disks of all workers."""
    return [path for path in stack.state.glob("site/clusters/*/procs/*/spool/*") if path.suffix != ".new"]
