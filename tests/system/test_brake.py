"""Does a real workflow stop for a while when it is told to, or when all of it fails, and go on without losing or doubling anything?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.processes import workers_alive
from harness.stack import Stack
from harness.tally import Tally, check_account, check_after_fault
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.synchronous import Client

pytestmark = pytest.mark.system

EVENTS = 200


@pytest.fixture
def chain(stack: Stack) -> Stack:
    """Service and agent."""
    stack.start_serve()
    stack.start_site()
    return stack


def begin(client: Client, tally: Tally, **changes: object) -> str:
    """A workflow that is at work on many short events; returns its id."""
    task = tally.make_task(warm=False, **changes)
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
    workflow = client.submit_workflow(new).workflow_id
    tally.publish(client, workflow, ({"n": n, "sleep_s": 0.01} for n in range(EVENTS)), batch=100, close=True)
    wait_for(lambda: client.get_progress(workflow).input.done > 10, "it is at work")
    return workflow


def wait_until_still(client: Client, workflow: str) -> int:
    """Wait until nothing is at work; returns how many events are done."""
    wait_for(lambda: client.get_progress(workflow).input.in_work == 0, "what was at work has ended")
    return client.get_progress(workflow).input.done


@pytest.mark.parametrize("how", ["pause", "drain"])
def test_it_stops_in_a_moment_and_goes_on_where_it_was(chain: Stack, how: str, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with chain.client() as client:
        workflow = begin(client, tally)
        before = workers_alive(chain.root)

        stop: Callable[[str], object] = client.pause_workflow if how == "pause" else client.drain_workflow
        stop(workflow)

        done = wait_until_still(client, workflow)
        assert 10 < done < EVENTS
        if how == "pause":
            assert workers_alive(chain.root) == before, "they wait"
        else:
            wait_for(lambda: workers_alive(chain.root) == {}, "they are gone")
            wait_for(
                lambda: [one.phase for one in client.get_workflow(workflow).taskforces] == ["condor-complete"],
                "their agent has said so",
            )
        assert client.get_progress(workflow).input.done == done, "nothing was begun since"

        client.resume_workflow(workflow)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)
        check_after_fault(chain, client, workflow, tally, done=EVENTS)
        assert tally.runs() == dict.fromkeys(range(EVENTS), 1)


def test_a_task_that_always_fails_costs_some_hundred_attempts_and_no_event(chain: Stack, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with chain.client() as client:
        task = tally.make_task(task_args="cat /no/such/file", warm=False, attempts=5, brake_attempts=20)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        tally.publish(client, workflow, ({"n": n} for n in range(2000)), batch=1000, close=True)

        wait_for(lambda: client.get_workflow(workflow).brake is not None, "it has stopped itself")

        brake = client.get_workflow(workflow).brake
        assert brake is not None
        assert brake.by == "muster"
        assert "of its last 20 attempts failed, each time: exit 1: cat: <path>" in brake.reason
        wait_until_still(client, workflow)
        account = check_account(client, workflow, published=2000, done=0)
        assert account.waiting == 2000
        failures = client.get_progress(workflow).failures
        assert 20 <= failures <= 200
        shown = chain.run("workflow", "explain", workflow)
        assert "it stopped itself" in shown.stdout + shown.stderr
        client.abort_workflow(workflow)
