"""Does each event count once when a worker is out of sight for longer than its leases, and then is back?"""

import json
import os
import signal
from pathlib import Path

import pytest

from harness.processes import workers_alive
from harness.stack import Stack
from harness.tally import Tally, check_after_fault
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow
from muster.worker.procfs import find_process

pytestmark = pytest.mark.system

EVENTS = 8
LEASE_S = 2.0
SLOW_S = 1.0


def test_a_worker_that_wakes_up_after_its_lease_has_its_result_counted_once(stack: Stack, tmp_path: Path) -> None:
    """It is stopped as a whole, as a suspended machine's is. Its task goes on and ends; its event goes to the other worker."""
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        task = tally.make_task(n_workers=2, warm=False, lease_s=LEASE_S, retry_s=0.3)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"])
        workflow = client.submit_workflow(new).workflow_id
        tally.publish(client, workflow, [{"n": 0, "sleep_s": SLOW_S}])
        wait_for(lambda: tally.runs()[0] == 1, "it is at work")
        frozen = find_worker(tally)
        assert frozen in workers_alive(stack.root)

        os.kill(frozen, signal.SIGSTOP)
        try:
            tally.publish(client, workflow, ({"n": n} for n in range(1, EVENTS)))
            wait_for(lambda: client.get_progress(workflow).input.done == EVENTS, "the other worker has done all")
            before = client.get_event(tally.published[0])
        finally:
            os.kill(frozen, signal.SIGCONT)

        assert [attempt.outcome for attempt in before.history] == ["expired", "done"]
        assert tally.runs()[0] == 2
        wait_for(lambda: outcomes(stack, tally.published[0]) == ["duplicate", "done"], "its result is there, too")
        after = client.get_event(tally.published[0])
        assert after.result == before.result
        assert after.history[1] == before.history[1]
        client.finish_workflow(workflow)
        check_after_fault(stack, client, workflow, tally, done=EVENTS)


def find_worker(tally: Tally) -> int:
    """The worker whose task is at work."""
    [line] = tally.path.read_text().splitlines()
    found = find_process(json.loads(line)["pid"])
    assert found is not None
    return found.parent


def outcomes(stack: Stack, event: str) -> list[str]:
    """How its attempts ended, by number."""
    with stack.client() as client:
        return [attempt.outcome for attempt in client.get_event(event).history]
