"""Does a task that misbehaves hurt only its own event, and does its user see why in one command?"""

import json
from pathlib import Path

import pytest

from harness.processes import attempts_alive
from harness.stack import Stack
from harness.tally import TASKS, check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow

pytestmark = pytest.mark.system


def a_workflow(**fields: object) -> NewWorkflow:
    values: dict[str, object] = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": "python misbehave.py",
        "input_queue_aliases": ["in"],
        "output_queue_aliases": ["out"],
        "input_files": [str(TASKS / "misbehave.py")],
        "infile_ext": "json",
        "outfile_ext": "json",
        "n_workers": 2,
        "attempts": 2,
        "timeout_s": 3.0,
    }
    return NewWorkflow(
        tasks=[NewTask(**(values | fields))],  # type: ignore[arg-type]
        public_queue_aliases=["in", "out"],
        finish_when_done=True,
    )


@pytest.mark.parametrize(
    ("do", "dead", "cause"),
    [
        ("fail", True, "is outside the detector"),
        ("hang", True, "timed out"),
        ("crash", True, "signal"),
        ("kill-worker", True, "worker lost"),
        ("no-json", True, "JSON"),
        ("no-output", False, None),
        ("flood", False, None),
        ("escape", False, None),
    ],
)
def test_one_bad_event_among_good_ones(stack: Stack, do: str, dead: bool, cause: str | None) -> None:  # noqa: FBT001
    stack.start_serve()
    stack.start_site()
    with stack.client() as client:
        timeout_s = 30.0 if do == "flood" else 3.0
        workflow = client.submit_workflow(a_workflow(timeout_s=timeout_s)).workflow_id
        client.publish(workflow, "in", [{"n": n, "do": do if n == 3 else "well"} for n in range(8)], close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "FINISHED", f"{do} ends", deadline_s=90)

        check_account(client, workflow, published=8, done=7 if dead else 8, dead=1 if dead else 0)
        expected = sorted(set(range(8)) - ({3} if dead or do == "no-output" else set()))
        assert sorted(value["n"] for value in consume_values(client, workflow, "out")) == expected
    assert attempts_alive(stack.root) == {}

    shown = stack.run("workflow", "errors", workflow)
    assert shown.returncode == 0, shown.stderr
    if cause is not None:
        assert cause in shown.stdout
        letters = stack.run_json("dead-letter", "list", workflow)["dead_letters"]
        assert [letter["attempts"] for letter in letters] == [2]
    assert _largest_file(stack.root) < 64 << 20, "a flood of output does not fill the disk"


def _largest_file(root: Path) -> int:
    return max(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def test_dead_letters_go_on_after_the_fix(stack: Stack, tmp_path: Path) -> None:
    """A task that needs a file fails until somebody puts it there; then the dead letters are replayed."""
    stack.start_serve()
    stack.start_site()
    needed = tmp_path / "needed.txt"
    with stack.client() as client:
        new = a_workflow(task_args=f"cp {needed} {{{{OUTFILE}}}}", input_files=[], outfile_ext="txt", attempts=1)
        new.finish_when_done = False
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", [{"n": n} for n in range(5)])
        wait_for(lambda: client.get_progress(workflow).input.dead == 5, "all are dead letters")
        needed.write_text("found")

        replayed = stack.run_json("dead-letter", "replay", workflow, "--all")

        assert len(replayed["replayed"]) == 5
        wait_for(lambda: client.get_progress(workflow).input.done == 5, "all are done")
        check_account(client, workflow, published=5, done=5)
        errors = json.loads(stack.run("workflow", "errors", workflow, "--json").stdout)
        assert [group["failures"] for group in errors["groups"]] == [5]


def test_an_image_without_a_container_runtime_is_refused_in_words(stack: Stack) -> None:
    stack.start_serve()
    stack.start_site()
    with stack.client() as client:
        workflow = client.submit_workflow(a_workflow(task_image="docker.io/library/debian:12")).workflow_id

        troubles = wait_for(lambda: client.get_errors(workflow).taskforces, "the taskforce is reported")

        assert "no container runtime here" in troubles[0].text
        assert client.get_progress(workflow).workers == 0
