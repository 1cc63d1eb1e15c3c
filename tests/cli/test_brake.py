"""Do pause, drain and resume do what they say, from the command line, against the real service?"""

import json
from typing import Any

import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from harness.watching import watching

pytestmark = pytest.mark.system

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
}


def submit(stack: Stack, **task: Any) -> str:
    flow = stack.root / "flow.json"
    flow.write_text(
        json.dumps({"tasks": [TASK | task], "public_queue_aliases": ["in", "out"], "finish_when_done": True})
    )
    return str(stack.run_json("workflow", "submit", str(flow))["workflow_id"])


def publish(stack: Stack, workflow: str, count: int) -> None:
    file = stack.root / "values.jsonl"
    file.write_text("".join(f"{number}\n" for number in range(count)))
    stack.run_json("queue", "publish", workflow, "in", str(file), "--close")


def test_a_workflow_is_paused_drained_and_resumed(running: Stack) -> None:
    workflow = submit(running)

    paused = running.run("workflow", "pause", workflow, "--reason", "lunch")
    publish(running, workflow, 3)
    shown = running.run("workflow", "show", workflow)
    listed = running.run("workflow", "list")
    explained = running.run("workflow", "explain", workflow)
    drained = running.run_json("workflow", "drain", workflow)
    resumed = running.run("workflow", "resume", workflow)
    watched = running.run("workflow", "watch", workflow)

    assert (paused.returncode, paused.stdout) == (0, f"{workflow} active, paused\n")
    assert f"muster workflow resume {workflow}" in paused.stderr
    assert "paused by " in shown.stdout
    assert ": lunch" in shown.stdout
    assert "active, paused" in listed.stdout
    assert "it was paused by" in explained.stdout
    assert drained["brake"]["state"] == "drained"
    assert (resumed.returncode, resumed.stdout) == (0, f"{workflow} active\n")
    assert "it goes on" in resumed.stderr
    assert watched.returncode == 0
    assert watched.stdout.splitlines()[-1].startswith("finished: 0 waiting, 0 in work, 3 done, 0 dead of 3")


def test_one_that_stopped_itself_goes_on_with_its_dead_letters(running: Stack) -> None:
    needed = running.root / "needed"
    workflow = submit(running, task_args=f"cp {needed} {{{{OUTFILE}}}}", attempts=1, brake_attempts=10)
    publish(running, workflow, 200)
    wait_for(lambda: running.run_json("workflow", "show", workflow)["brake"], "it has stopped itself")

    shown = running.run("workflow", "show", workflow)
    needed.write_text("found")
    resumed = running.run("workflow", "resume", workflow, "--dead-letters")

    assert "paused by muster" in shown.stdout
    assert "of its last 10 attempts failed, each time: exit 1: cp: cannot stat" in shown.stdout
    assert "dead letters went back" in resumed.stderr
    wait_for(
        lambda: running.run_json("workflow", "show", workflow)["state"] == "finished",
        "it finishes itself",
        deadline_s=60,
    )
    account = running.run_json("workflow", "account", workflow, "--recount")
    assert (account["done"], account["dead"], account["adds_up"]) == (200, 0, True)


def test_who_watches_is_told_why_it_stopped_itself_and_what_to_type(running: Stack) -> None:
    workflow = submit(running, task_args="cp --no-such-option {{INFILE}} {{OUTFILE}}", brake_attempts=10, retry_s=0)
    with watching(running, workflow) as watched:
        wait_for(watched.lines, "the first line")
        publish(running, workflow, 100)
        wait_for(lambda: f"muster workflow resume {workflow}" in watched.said(), "what to type is told")
        wait_for(lambda: "active, paused: " in watched.lines()[-1], "the line of it is the last one")
        stopped, said = watched.lines()[-1], watched.said()
        running.run("workflow", "resume", workflow)
        wait_for(lambda: watched.said().count("it stopped itself") == 2, "it has stopped itself again")
        running.run("workflow", "abort", workflow)
        assert watched.wait_for_end() == 1

    assert "; it stopped itself: task TK-" in stopped
    lines = said.splitlines()
    assert lines[0].startswith("it stopped itself: task TK-")
    assert "10 of its last 10 attempts failed, each time: exit 1: " in lines[0]
    assert lines[1:3] == [
        "no event of it is begun until it is resumed, once the cause is mended or to go on as it is",
        "next:",
    ]
    assert lines[-2:] == [f"  muster workflow explain {workflow}", f"  muster workflow resume {workflow}"]


def test_what_cannot_be_stopped_any_more_is_said(running: Stack) -> None:
    workflow = submit(running)
    running.run("workflow", "abort", workflow)

    refused = running.run("workflow", "pause", workflow)

    assert refused.returncode != 0
    assert "is aborted, and nothing of it runs" in refused.stderr


def test_a_task_that_stopped_its_workflow_is_mended_and_goes_on(running: Stack) -> None:
    workflow = submit(running, task_args="cp --no-such-option {{INFILE}} {{OUTFILE}}", brake_attempts=10, retry_s=0)
    publish(running, workflow, 100)
    wait_for(lambda: running.run_json("workflow", "show", workflow)["brake"], "it has stopped itself")
    task_id = running.run_json("workflow", "show", workflow)["tasks"][0]["task_id"]

    mended = running.run(
        *("task", "revise", workflow, "--args", "cp {{INFILE}} {{OUTFILE}}", "--env", "MODE=fast", "--reason", "a slip")
    )
    resumed = running.run("workflow", "resume", workflow)

    assert (mended.returncode, mended.stdout) == (0, f"{task_id} revision 2\n")
    assert "changed: task_args, task_env" in mended.stderr
    assert "its workflow is still stopped: paused by muster" in mended.stderr
    assert resumed.returncode == 0
    wait_for(
        lambda: running.run_json("workflow", "show", workflow)["state"] == "finished",
        "it finishes itself",
        deadline_s=60,
    )
    account = running.run_json("workflow", "account", workflow, "--recount")
    assert (account["done"], account["dead"], account["adds_up"]) == (100, 0, True)
    shown = running.run("task", "show", task_id).stdout
    assert "revision 2, by " in shown
    assert "(a slip)" in shown
    assert "MODE=fast" in shown
    events = running.run_json("event", "list", workflow, "--state", "done", "--limit", "100")["events"]
    revisions = [
        [one["revision"] for one in running.run_json("event", "show", event["event"])["history"]]
        for event in events
        if event["queue"] == "in"
    ][:20]
    assert any(one[0] == 1 for one in revisions), "some were tried before"
    assert all(one[-1] == 2 for one in revisions)


def test_changes_of_a_task_come_from_a_file_and_faults_of_it_are_told_with_their_places(running: Stack) -> None:
    workflow = submit(running)
    good, bad = running.root / "good.yaml", running.root / "bad.yaml"
    (running.root / "table.txt").write_text("1")
    good.write_text("timeout_s: 60\ninput_files: [table.txt]\nworker_config: {worker_memory: 1G}\n")
    bad.write_text("timeout_s: soon\ntask_arg: x\nworker_config: {n_core: 1}\n")

    revised = running.run_json("task", "revise", workflow, "--from", str(good), "--memory", "2G")
    refused = running.run("task", "revise", workflow, "--from", str(bad))
    nothing = running.run("task", "revise", workflow, "--timeout-s", "60")

    changes = revised["revisions"][0]["changes"]
    assert (changes["timeout_s"], changes["worker_config"]["worker_memory"]) == (60.0, "2G")
    assert changes["pilot_config"]["input_files"] == [str(running.root / "table.txt")]
    assert refused.returncode != 0
    assert f"{bad}:1: timeout_s: must be a number of seconds, not 'soon'" in refused.stderr
    assert f"{bad}:2: task_arg: is no field; did you mean task_args?" in refused.stderr
    assert f"{bad}:3: worker_config.n_core: is no field; did you mean n_cores?" in refused.stderr
    assert "changes nothing: the task is like this already" in nothing.stderr
    running.run("workflow", "abort", workflow)
