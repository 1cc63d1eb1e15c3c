"""Is anything lost, doubled or left behind, wherever a process is killed between a write, an act and its confirmation?

Every crash point of the registry is walked, twice each: the process that reaches it kills itself, is started again as systemd would,
reaches it again and kills itself again. Meanwhile a user goes on: submits, publishes, waits, consumes, aborts.
"""

import os
import signal
from pathlib import Path

import pytest

from harness.processes import attempts_alive, workers_alive
from harness.stack import Stack
from harness.tally import TASKS, Tally, check_account, consume_values, publish_ids
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client
from muster.worker.crash_points import CRASH_POINTS

pytestmark = pytest.mark.system

EVENTS = 30


def a_workflow(tally: Tally, *, warm: bool, finish_when_done: bool) -> NewWorkflow:
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="python tally.py",
        task_env={"TALLY": str(tally.path)},
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        input_files=[str(TASKS / "tally.py")],
        infile_ext="json",
        outfile_ext="json",
        n_workers=2,
        warm=warm,
        lease_s=2.0,
    )
    return NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=finish_when_done)


@pytest.mark.parametrize("point", sorted(CRASH_POINTS))
def test_twice_at_every_crash_point_nothing_is_lost_or_doubled(stack: Stack, point: str, tmp_path: Path) -> None:
    part = point.split(".", maxsplit=1)[0]
    crash = {"crash": point, "times": 2}
    stack.start_serve(**(crash if part == "server" else {}))  # type: ignore[arg-type]
    stack.start_site(**(crash if part in {"site", "pool", "worker"} else {}))  # type: ignore[arg-type]
    finishing, aborted = Tally(tmp_path / "finishing.jsonl"), Tally(tmp_path / "aborted.jsonl")

    with stack.keep_running("serve", "site"), stack.client() as client:
        _finish_by_itself(client, stack, finishing)
        _abort_in_the_middle(client, stack, aborted)
        # asking is not enough: the walk must have come through the point, twice
        crashes = stack.root / f"crashes-{point}"
        wait_for(lambda: crashes.read_text() == "0", f"{point} is reached twice (left: {crashes.read_text()})")
        wait_for(lambda: not workers_alive(stack.root), "all workers are gone")
        assert attempts_alive(stack.root) == {}


def _finish_by_itself(client: Client, stack: Stack, tally: Tally) -> None:
    """Half of the events, a worker killed with work in hand, the other half; then everything must be done once."""
    workflow = client.submit_workflow(a_workflow(tally, warm=True, finish_when_done=True)).workflow_id
    published = publish_ids(client, workflow, "in", ({"n": n, "sleep_s": 0.02} for n in range(EVENTS // 2)))
    wait_for(lambda: client.get_progress(workflow).input.done > 2, "some events are done")
    victims = workers_alive(stack.root)
    if victims:
        os.kill(min(victims), signal.SIGKILL)
    published += publish_ids(client, workflow, "in", ({"n": n} for n in range(EVENTS // 2, EVENTS)), close=True)

    wait_for(lambda: client.get_workflow(workflow).state == "FINISHED", "the workflow finishes itself", deadline_s=90)

    results = [value["n"] for value in consume_values(client, workflow, "out")]
    assert sorted(results) == list(range(EVENTS)), "every event has one result"
    assert len(set(published)) == EVENTS, "every event was published once"
    assert set(tally.runs()) == set(range(EVENTS)), "every event's task was run"
    account = check_account(client, workflow, published=EVENTS, done=EVENTS)
    assert account.state == "FINISHED"
    taskforces = client.get_workflow(workflow).taskforces
    assert len(taskforces) == 1
    wait_for(
        lambda: client.get_taskforce(taskforces[0].taskforce_uuid).phase == "condor-complete",
        "the taskforce is complete",
    )


def _abort_in_the_middle(client: Client, stack: Stack, tally: Tally) -> None:
    """Abort with work in hand: what ran is stopped, what was done stays done, the rest waits."""
    workflow = client.submit_workflow(a_workflow(tally, warm=False, finish_when_done=False)).workflow_id
    client.publish(workflow, "in", ({"n": n, "sleep_s": 0 if n < 4 else 60} for n in range(10)))
    wait_for(lambda: client.get_progress(workflow).input.done >= 4, "the short events are done")
    wait_for(lambda: client.get_progress(workflow).input.in_work > 0, "a long event is in work")

    client.abort_workflow(workflow)

    wait_for(lambda: not workers_alive(stack.root), "the workers are stopped")
    wait_for(lambda: client.get_progress(workflow).input.in_work == 0, "nothing is in work")
    account = check_account(client, workflow, published=10)
    assert (account.state, account.done, account.waiting) == ("ABORTED", 4, 6)
