"""Does the service's grace reach the tasks of a finished workflow, whatever the site's own is?"""

from pathlib import Path

import pytest

from harness.processes import attempts_alive, workers_alive
from harness.stack import Stack
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client

pytestmark = pytest.mark.system


def finish_at_work(client: Client, tmp_path: Path, *, task_s: int) -> str:
    """Finish a workflow while a task of `task_s` seconds is at work; the workflow's id."""
    (tmp_path / "slow.sh").write_text(f"touch {tmp_path}/begun\nsleep {task_s}\n")
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args=f"sh {tmp_path}/slow.sh",
        input_queue_aliases=["in"],
    )
    workflow = client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=["in"])).workflow_id
    client.publish(workflow, "in", [1])
    wait_for((tmp_path / "begun").exists, "a task is at work", deadline_s=60)
    client.finish_workflow(workflow)
    return workflow


def test_a_task_may_end_within_the_services_grace_though_the_sites_is_shorter(stack: Stack, tmp_path: Path) -> None:
    stack.start_serve(MUSTER_STOP_GRACE_S="60")
    stack.start_site(MUSTER_SITE_STOP_GRACE_S="2")
    with stack.client() as client:
        workflow = finish_at_work(client, tmp_path, task_s=5)
        wait_for(lambda: not workers_alive(stack.root), "all workers are gone", deadline_s=60)

        account = client.get_account(workflow)

    assert (account.done, account.waiting) == (1, 0)


def test_a_task_is_stopped_after_the_services_grace_though_the_sites_is_longer(stack: Stack, tmp_path: Path) -> None:
    stack.start_serve(MUSTER_STOP_GRACE_S="1")
    stack.start_site(MUSTER_SITE_STOP_GRACE_S="600")
    with stack.client() as client:
        workflow = finish_at_work(client, tmp_path, task_s=600)
        wait_for(lambda: not workers_alive(stack.root), "all workers are gone", deadline_s=60)

        (event,) = client.list_events(workflow, queue="in").events
        (attempt,) = client.get_event(event.event).history

    assert attempts_alive(stack.root) == {}
    # The pool would have killed the worker after 9 s, and nobody would have said how long the task had run.
    assert (event.state, attempt.outcome) == ("waiting", "released")
    assert attempt.wall_s >= 1
