"""Does a task that misbehaves hurt only its own event, and does its user see why in one command?"""

import json
from pathlib import Path

import pytest

from harness.processes import attempts_alive, workers_alive
from harness.stack import Stack
from harness.tally import TASKS, Tally, check_after_fault, check_cause_is_shown
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow

pytestmark = pytest.mark.system


def a_workflow(tally: Tally, *, finish_when_done: bool = True, **fields: object) -> NewWorkflow:
    values: dict[str, object] = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": "python misbehave.py",
        "task_env": tally.environment,
        "input_queue_aliases": ["in"],
        "output_queue_aliases": ["out"],
        "input_files": [str(TASKS / "misbehave.py")],
        "infile_ext": "json",
        "outfile_ext": "json",
        "n_workers": 2,
        "attempts": 2,
        "retry_s": 0.3,
        "timeout_s": 3.0,
    }
    return NewWorkflow(
        tasks=[NewTask(**(values | fields))],  # type: ignore[arg-type]
        public_queue_aliases=["in", "out"],
        finish_when_done=finish_when_done,
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
def test_one_bad_event_among_good_ones(
    stack: Stack,
    do: str,
    dead: bool,  # noqa: FBT001
    cause: str | None,
    tmp_path: Path,
) -> None:
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        timeout_s = 30.0 if do == "flood" else 3.0
        workflow = client.submit_workflow(a_workflow(tally, timeout_s=timeout_s)).workflow_id
        tally.publish(client, workflow, ({"n": n, "do": do if n == 3 else "well"} for n in range(8)), close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", f"{do} ends", deadline_s=90)

        assert attempts_alive(stack.root) == {}, "what an attempt leaves behind ends with it"
        check_after_fault(
            stack,
            client,
            workflow,
            tally,
            done=7 if dead else 8,
            dead=1 if dead else 0,
            silent={3} if do == "no-output" else (),
        )
    assert tally.runs()[3] == (2 if dead else 1), "as often as it has attempts"
    if cause is not None:
        check_cause_is_shown(stack, workflow, cause)
        letters = stack.run_json("dead-letter", "list", workflow)["dead_letters"]
        assert [(letter["event"], letter["attempts"]) for letter in letters] == [(tally.published[3], 2)]
    assert _largest_file(stack.root) < 64 << 20, "a flood of output does not fill the disk"


def _largest_file(root: Path) -> int:
    return max(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def test_dead_letters_go_on_after_the_fix(stack: Stack, tmp_path: Path) -> None:
    """A task that needs a file fails until somebody puts it there; then the dead letters are replayed."""
    stack.start_serve()
    stack.start_site()
    needed = tmp_path / "needed"
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        new = a_workflow(tally, finish_when_done=False, attempts=1)
        workflow = client.submit_workflow(new).workflow_id
        tally.publish(client, workflow, ({"n": n, "do": "need", "file": str(needed)} for n in range(5)))
        wait_for(lambda: client.get_progress(workflow).input.dead == 5, "all are dead letters")
        check_cause_is_shown(stack, workflow, "No such file")
        needed.touch()

        replayed = stack.run_json("dead-letter", "replay", workflow, "--all")

        assert sorted(replayed["replayed"]) == sorted(tally.published.values())
        wait_for(lambda: client.get_progress(workflow).input.done == 5, "all are done")
        client.finish_workflow(workflow)
        check_after_fault(stack, client, workflow, tally, done=5)
        assert tally.runs() == dict.fromkeys(range(5), 2)
        errors = json.loads(stack.run("workflow", "errors", workflow, "--json").stdout)
        assert [group["failures"] for group in errors["groups"]] == [5]


def test_an_image_without_a_container_runtime_is_refused_in_words(stack: Stack, tmp_path: Path) -> None:
    stack.start_serve()
    stack.start_site(MUSTER_SITE_CONTAINERS="none")
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = client.submit_workflow(a_workflow(tally, task_image="docker.io/library/debian:12")).workflow_id
        tally.publish(client, workflow, ({"n": n, "do": "well"} for n in range(3)))

        wait_for(lambda: client.get_errors(workflow).taskforces, "the taskforce is reported")

        check_cause_is_shown(stack, workflow, "no container runtime here")
        assert client.get_progress(workflow).workers == 0
        assert workers_alive(stack.root) == {}
        client.abort_workflow(workflow)
        check_after_fault(stack, client, workflow, tally, done=0)
