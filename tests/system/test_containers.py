"""Do tasks in containers go the whole way, from one POST to the results and the account, and is it seen what keeps them from it?"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.processes import workers_alive
from harness.stack import Stack
from harness.tally import check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, PilotConfig
from muster.client.synchronous import Client

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SQUARE = """
import os, sys
from muster import task

offset = int(open(os.environ["EWMS_TASK_DATA_HUB_DIR"] + "/offset").read())

def handle(event):
    if event["n"] == 13:
        raise ValueError(f"no square of {event['n']} today")
    return {"n": event["n"], "squared": event["n"] ** 2 + offset}

task.run(handle)
"""


@pytest.fixture
def contained(stack: Stack, apptainer: Path, tmp_path: Path) -> Stack:
    """A stack whose agent has Apptainer."""
    stack.environment["PATH"] = f"{apptainer.parent}{os.pathsep}{os.environ['PATH']}"
    stack.environment["MUSTER_SITE_IMAGE_DIR"] = str(tmp_path / "images")
    stack.start_up()
    return stack


def publish(client: Client, workflow: str, numbers: range) -> None:
    client.publish(workflow, "in", [{"n": n} for n in numbers], close=True)


@pytest.mark.parametrize("warm", [True, False])
def test_every_event_is_done_once_in_a_container(contained: Stack, image: Path, tmp_path: Path, *, warm: bool) -> None:
    own = tmp_path / "own-image"
    subprocess.run(["cp", "-al", image, own], check=True)
    (own / "square.py").write_text(SQUARE)
    task = NewTask(
        cluster_locations=["local"],
        task_image=str(own),
        task_args="python3 /square.py",
        init_image=str(own),
        init_args="sh -c 'printf 7 > {{DATA_HUB}}/offset'",
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        infile_ext="json",
        outfile_ext="json",
        n_workers=2,
        warm=warm,
        attempts=1,
    )
    with contained.client() as client:
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        publish(client, workflow, range(20))

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)

        values = consume_values(client, workflow, "out")
        assert sorted((one["n"], one["squared"]) for one in values) == [(n, n * n + 7) for n in range(20) if n != 13]
        check_account(client, workflow, published=20, done=19, dead=1)
        errors = json.loads(contained.run("workflow", "errors", workflow, "--json").stdout)
        [group] = errors["groups"]
        assert group["fingerprint"] == "exit 1: ValueError: no square of # today"
        wait_for(lambda: workers_alive(contained.root) == {}, "its workers end")


def test_an_image_that_is_not_there_is_seen_and_costs_no_event_an_attempt(contained: Stack) -> None:
    task = NewTask(["local"], "/cvmfs/none/of/this", "true", ["in"], ["out"], n_workers=1)
    with contained.client() as client:
        workflow = client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"])).workflow_id
        client.publish(workflow, "in", [1])

        def say_why() -> str:
            return contained.run("workflow", "errors", workflow).stdout

        wait_for(
            lambda: "image /cvmfs/none/of/this: no such folder or file on this execution point" in say_why(),
            "the workers' reason is shown",
            deadline_s=60,
        )
        progress = client.get_progress(workflow)
        assert (progress.input.waiting, progress.input.failed) == (1, 0)
        client.abort_workflow(workflow)
        wait_for(lambda: workers_alive(contained.root) == {}, "its workers end")


def test_a_folder_of_the_site_is_seen_where_task_and_site_say_so(
    stack: Stack, apptainer: Path, image: Path, tmp_path: Path
) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "one").write_text("42")
    stack.environment |= {
        "PATH": f"{apptainer.parent}{os.pathsep}{os.environ['PATH']}",
        "MUSTER_SITE_IMAGE_DIR": str(tmp_path / "images"),
        "MUSTER_SITE_MOUNTS": f"/cvmfs,{tables}",
    }
    stack.start_up()

    def submit(folder: str) -> str:
        config = PilotConfig(environment={"MUSTER_WORKER_MOUNTS": folder})
        args = f"cp {tables}/one {{{{OUTFILE}}}}"
        task = NewTask(["local"], str(image), args, ["in"], ["out"], outfile_ext="json", pilot_config=config)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", [1], close=True)
        return workflow

    with stack.client() as client:
        good, bad = submit(str(tables)), submit("/etc")
        wait_for(lambda: client.get_workflow(good).state == "finished", "it finishes itself", deadline_s=90)
        assert list(consume_values(client, good, "out")) == [42]
        why = f"MUSTER_WORKER_MOUNTS: /etc is not for tasks here: this site lets them see only what is in /cvmfs, {tables}"
        wait_for(lambda: why in stack.run("workflow", "errors", bad).stdout, "the workers' reason is shown")
        client.abort_workflow(bad)
        wait_for(lambda: workers_alive(stack.root) == {}, "its workers end")
