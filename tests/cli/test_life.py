"""Does every command do what it says, against the real service?"""

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.stack import MUSTER, Stack
from harness.waiting import wait_for

pytestmark = pytest.mark.system

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
    "infile_ext": "json",
    "outfile_ext": "json",
}
FAILING = "sh -c 'echo the detector is off >&2; exit 3'"


def _submit(stack: Stack, *, ends: bool = True, **task: Any) -> str:
    flow = stack.root / "flow.json"
    whole = {"tasks": [TASK | task], "public_queue_aliases": ["in", "out"], "finish_when_done": ends}
    flow.write_text(json.dumps(whole))
    return str(stack.run_json("workflow", "submit", str(flow))["workflow_id"])


def _write(folder: Path, *values: object) -> str:
    file = folder / "values.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in values))
    return str(file)


def test_a_workflow_from_file_to_results(running: Stack, tmp_path: Path) -> None:
    values = [{"n": number} for number in range(50)]
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"tasks": [TASK], "public_queue_aliases": ["in", "out"], "finish_when_done": True}))

    submitted = running.run("workflow", "submit", str(flow), "--name", "copies")
    workflow = submitted.stdout.strip()
    published = running.run("queue", "publish", workflow, "in", _write(tmp_path, *values), "--close", "--batch", "7")
    watched = running.run("workflow", "watch", workflow)
    consumed = running.run("queue", "consume", workflow, "out")
    account = running.run("workflow", "account", workflow, "--recount")
    usage = running.run_json("workflow", "usage", workflow)
    told = running.run("workflow", "usage", workflow)

    assert f"(copies) is submitted\nnext:\n  muster queue publish {workflow} in FILE --close" in submitted.stderr
    assert published.stdout == "50 published; the queue is closed\n"
    assert watched.returncode == 0
    assert watched.stdout.splitlines()[-1].startswith("finished: 0 waiting, 0 in work, 50 done, 0 dead of 50")
    assert sorted(json.loads(line)["n"] for line in consumed.stdout.splitlines()) == list(range(50))
    assert account.stdout.splitlines()[0] == "50 published, 50 done, 0 lost, 0 counted twice"
    assert account.returncode == 0
    assert "the sums of usage differ" not in account.stdout
    assert usage["total"]["done"] == 50
    assert usage["total"]["cpu_s"] > 0
    assert usage["total"]["memory_bytes"] > 0
    assert usage["total"]["bytes_in"] == usage["total"]["bytes_out"] == sum(len(json.dumps(one)) for one in values)
    assert "50 done, 0 failed" in told.stdout


def test_submit_and_watch_in_one(running: Stack) -> None:
    flow = running.root / "closed.json"
    flow.write_text(json.dumps({"tasks": [TASK], "public_queue_aliases": ["in", "out"]}))
    command = [str(MUSTER), "workflow", "submit", str(flow), "--watch", "--json", "--dir", str(running.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        aborted = running.run("workflow", "abort", first["workflow_id"])
        rest = [json.loads(line) for line in process.stdout]

    assert process.returncode == 1  # it was aborted
    assert aborted.stdout == f"{first['workflow_id']} aborted\n"
    assert (first["state"], rest[-1]["state"]) == ("active", "aborted")


def test_the_same_key_and_file_give_the_same_workflow(running: Stack, tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"tasks": [TASK]}))

    ids = {running.run("workflow", "submit", str(flow), "--idempotency-key", "k-1").stdout for _ in range(2)}

    assert len(ids) == 1


def test_publishing_that_is_repeated_with_its_key_publishes_once(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running, ends=False)
    file = _write(tmp_path, *range(10))
    again = ["queue", "publish", workflow, "in", file, "--batch", "3", "--idempotency-key", "p-1"]

    for _ in range(2):
        assert running.run(*again).stdout == "10 published\n"

    assert running.run_json("workflow", "account", workflow)["published"] == 10
    running.run("workflow", "abort", workflow)


def test_events_with_a_key_are_published_once(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running)
    file = _write(tmp_path, {"id": "a"}, {"id": "b"}, {"id": "a"})

    first = running.run("queue", "publish", workflow, "in", file, "--key-field", "id")
    second = running.run("queue", "publish", workflow, "in", file, "--key-field", "id", "--close")

    assert first.stdout == "2 published, 1 known by their key\n"
    assert second.stdout == "0 published, 3 known by their key; the queue is closed\n"


def test_a_bad_line_sends_nothing(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running, ends=False)
    file = tmp_path / "bad.jsonl"
    file.write_text("1\n" * 2500 + "{\n")

    refused = running.run("queue", "publish", workflow, "in", str(file), "--close")

    assert refused.returncode == 4
    assert "nothing was published" in refused.stderr
    assert "bad.jsonl:2501: is not JSON" in refused.stderr
    assert running.run_json("workflow", "account", workflow)["published"] == 0
    running.run("workflow", "abort", workflow)


def test_bytes_go_in_and_come_out_as_they_are(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running, infile_ext="in", outfile_ext="out")
    contents = [b"\x00\xff\n", b"", b"PNG"]
    files = [tmp_path / f"file-{number}" for number in range(3)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)

    running.run("queue", "publish", workflow, "in", "--bytes", "--close", *map(str, files))
    assert running.run("workflow", "watch", workflow).returncode == 0
    rows = running.run("event", "list", workflow, "--queue", "in", "--json")
    event = json.loads(rows.stdout)["events"][0]["event"]
    shown = subprocess.run(
        [MUSTER, "event", "show", event, "--body", "--dir", running.state], capture_output=True, check=True
    )
    published = running.run_json("workflow", "account", workflow)["published"]

    assert shown.stdout == contents[0]
    assert published == 3


def test_what_a_failed_attempt_printed_is_told_to_its_first_line(running: Stack, tmp_path: Path) -> None:
    prints = "echo first; seq 30000; echo to stderr >&2; exit 3"
    workflow = _submit(running, task_args=f"sh -c '{prints}'", attempts=1)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, 1))
    wait_for(lambda: running.run_json("workflow", "account", workflow)["dead"] == 1, "it died", interval_s=0.2)
    [event] = running.run_json("event", "list", workflow, "--queue", "in")["events"]

    shown = running.run("event", "show", event["event"])
    stdout = running.run("event", "logs", event["event"], "--stream", "stdout")
    both = running.run("event", "logs", event["event"])

    expected = "".join(f"{line}\n" for line in ("first", *range(1, 30001)))
    assert stdout.stdout == expected
    assert "\nstderr (10 B)\n  to stderr\n" in both.stdout
    assert " of CPU, " in shown.stdout
    assert running.run("event", "logs", event["event"], "--attempt", "2").returncode != 0


def test_what_a_task_prints_is_followed_until_its_event_is_over(running: Stack, tmp_path: Path) -> None:
    gate = running.root / "go-on"
    loop = f"echo begun; while ! [ -e {gate} ]; do sleep 0.1; done; echo gone on; exit 3"
    workflow = _submit(running, task_args=f"sh -c '{loop}'", attempts=1)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, 1))
    [event] = running.run_json("event", "list", workflow, "--queue", "in")["events"]
    command = [MUSTER, "event", "logs", event["event"], "--follow", "--dir", running.state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        first = following.stdout.readline()
        gate.touch()
        rest, said = following.stdout.read(), following.stderr.read()

    assert first == "begun\n"
    assert rest in ("", "gone on\n")
    assert f"{event['event']} is dead: muster event logs {event['event']}" in said
    assert following.returncode == 0


def test_what_fails_is_explained_and_replayed(running: Stack, tmp_path: Path) -> None:
    switch = running.root / "repaired"
    command = f"sh -c 'if [ -e {switch} ]; then cp {{{{INFILE}}}} {{{{OUTFILE}}}}; else {FAILING[7:-1]}; fi'"
    workflow = _submit(running, task_args=command, attempts=2)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, 1, 2, 3))
    wait_for(
        lambda: running.run_json("workflow", "account", workflow)["dead"] == 3, "three dead letters", interval_s=0.2
    )

    errors = running.run("workflow", "errors", workflow).stdout
    letters = running.run("dead-letter", "list", workflow).stdout
    event = running.run_json("dead-letter", "list", workflow)["dead_letters"][0]["event"]
    shown = running.run("dead-letter", "show", event).stdout

    assert "6 failures of 3 events" in errors
    assert "by now" not in errors
    assert "the detector is off" in errors
    assert letters.count("the detector is off") == 3
    assert "attempt 1: failed" in shown
    assert "attempt 2: failed" in shown
    assert shown.count("exit code  3") == 2
    assert shown.count("the detector is off") == 2, "once for each attempt"
    assert "muster event show EV-" in errors

    switch.touch()
    one = running.run("dead-letter", "replay", workflow, event)
    rest = running.run("dead-letter", "replay", workflow, "--all")
    running.run("queue", "close", workflow, "in")

    assert one.stdout == "1 replayed, 2 left\n"
    assert rest.stdout == "2 replayed, 0 left\n"
    watched = running.run("workflow", "watch", workflow)
    assert (watched.returncode, watched.stderr) == (0, "")
    assert running.run("workflow", "account", workflow).stdout.startswith(
        "3 published, 3 done, 0 lost, 0 counted twice"
    )
    later = running.run("workflow", "errors", workflow).stdout
    assert "6 failures of 3 events" in later
    assert "all of them are done by now" in later


def test_what_an_ended_workflow_leaves_waiting_is_told_with_what_one_can_do(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running, task_args="sleep 30", ends=False)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, *range(5)))

    finished = running.run("workflow", "finish", workflow)
    watched = running.run("workflow", "watch", workflow)

    told = r"events wait and will not be worked on\n"
    commands = f"muster event export {workflow} in --state dead --state waiting --with-ids > left-in.jsonl &&\n"
    assert "1 taskforce is being stopped\n" in finished.stderr
    assert re.search(r"\n[45] " + told, finished.stderr)
    assert all("next:\n  to take what is not done to a new workflow" in one.stderr for one in (finished, watched))
    assert all(commands in one.stderr for one in (finished, watched))
    assert watched.returncode == 1
    assert re.search(r"[45] " + told + r"status 1: [45] events waiting(, 1 event in work)?\nnext:", watched.stderr)
    assert re.fullmatch(r"finished: [45] waiting, [01] in work, 0 done, 0 dead of 5\n", watched.stdout)


def test_dead_letters_of_a_finished_workflow_are_replayed_and_the_user_is_told_what_comes_next(
    running: Stack, tmp_path: Path
) -> None:
    switch = running.root / "repaired-later"
    command = f"sh -c 'if [ -e {switch} ]; then cp {{{{INFILE}}}} {{{{OUTFILE}}}}; else {FAILING[7:-1]}; fi'"
    workflow = _submit(running, task_args=command, attempts=1, ends=False)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, 1, 2, 3))
    wait_for(
        lambda: running.run_json("workflow", "account", workflow)["dead"] == 3, "three dead letters", interval_s=0.2
    )
    running.run("workflow", "finish", workflow)
    switch.touch()

    replayed = running.run("dead-letter", "replay", workflow, "--all")
    shown = running.run_json("workflow", "show", workflow)
    closed = running.run("queue", "publish", workflow, "in", _write(tmp_path, 4))
    again = running.run_json("dead-letter", "replay", workflow, "--all")

    assert (replayed.returncode, replayed.stdout) == (0, "3 replayed, 0 left\n")
    assert f"workflow {workflow} is active again" in replayed.stderr
    assert f"muster workflow finish {workflow}" in replayed.stderr
    assert (shown["state"], len(shown["taskforces"])) == ("active", 2)
    assert "queue in is closed" in closed.stderr
    assert again == {"replayed": [], "left": 0, "reopened": False}
    wait_for(lambda: running.run_json("workflow", "account", workflow)["done"] == 3, "all are done", interval_s=0.2)
    running.run("workflow", "finish", workflow)
    assert running.run("workflow", "watch", workflow).returncode == 0
    assert len(running.run("queue", "consume", workflow, "out").stdout.splitlines()) == 3


def test_workers_are_added_to_the_task_and_at_the_place_that_are_meant(running: Stack) -> None:
    one = _submit(running)
    flow = running.root / "two.json"
    further = {**TASK, "input_queue_aliases": ["out"], "output_queue_aliases": ["end"]}
    flow.write_text(json.dumps({"tasks": [TASK, further], "public_queue_aliases": ["in", "end"]}))
    two = str(running.run_json("workflow", "submit", str(flow))["workflow_id"])
    tasks = [task["task_id"] for task in running.run_json("workflow", "show", two)["tasks"]]

    added = running.run("workflow", "add-workers", one, "--workers", "1")
    again = [running.run_json("workflow", "add-workers", one, "--workers", "1", "--idempotency-key", "k") for _ in "ab"]
    unnamed = running.run("workflow", "add-workers", two, "--workers", "1")
    unknown = running.run("workflow", "add-workers", two, "--workers", "1", "--task", "TK-1")
    nowhere = running.run("workflow", "add-workers", one, "--workers", "1", "--location", "mars")
    named = running.run_json(
        "workflow", "add-workers", two, "--workers", "2", "--task", tasks[1], "--location", "local"
    )

    assert added.stderr == "1 worker was ordered at local\n"
    assert again[0] == again[1]
    found = [taskforce["taskforce_uuid"] for taskforce in running.run_json("workflow", "show", one)["taskforces"]]
    assert len(found) == 3
    assert {added.stdout.strip(), again[0]["taskforce_uuid"]} < set(found)
    assert unnamed.returncode == 2
    assert f"has the tasks {', '.join(tasks)}: name one with --task" in unnamed.stderr
    assert unknown.returncode != 0
    assert f"its tasks: {', '.join(tasks)}" in unknown.stderr
    assert nowhere.returncode != 0
    assert "there is no location 'mars'" in nowhere.stderr
    assert (named["task_id"], named["location"], named["n_workers"]) == (tasks[1], "local", 2)
    for workflow in (one, two):
        running.run("workflow", "abort", workflow)


def test_a_reader_that_goes_away_takes_no_more_than_was_written(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running)
    # More than a pipe holds: the reader leaves before all of it is written.
    values = [f"{number:04}" + "x" * 4000 for number in range(200)]
    running.run("queue", "publish", workflow, "in", _write(tmp_path, *values), "--close")
    assert running.run("workflow", "watch", workflow).returncode == 0

    command = f'"{MUSTER}" queue consume {workflow} out --dir {running.state} | head -n 3; echo ${{PIPESTATUS[0]}}'
    some = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    rest = running.run("queue", "consume", workflow, "out", "--with-ids")

    *first, status = some.stdout.splitlines()
    again = [json.loads(line) for line in rest.stdout.splitlines()]
    assert (len(first), status) == (3, "141")
    assert set(again[0]) == {"event", "key", "kind", "body"}
    assert "--max takes no more" in some.stderr
    assert len({one["event"] for one in again}) == len(again) > 100
    assert {one["body"] for one in again} | {json.loads(line) for line in first} <= set(values)
    assert running.run("queue", "consume", workflow, "out").stdout == ""


def test_a_limit_takes_so_many_and_leaves_the_rest(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, *range(20)), "--close")
    assert running.run("workflow", "watch", workflow).returncode == 0

    some = running.run("queue", "consume", workflow, "out", "--max", "6").stdout.split()
    rest = running.run("queue", "consume", workflow, "out", "--no-wait").stdout.split()

    assert (len(some), sorted(map(int, some + rest))) == (6, list(range(20)))


def test_lists_and_views(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running, ends=False)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, *range(5)))
    wait_for(lambda: running.run_json("workflow", "account", workflow)["done"] == 5, "all done", interval_s=0.2)

    assert running.run("workflow", "list", "--limit", "1").stdout.splitlines()[1].startswith(workflow)
    assert workflow in running.run("workflow", "show", "latest").stdout
    assert (
        running.run_json("workflow", "list", "--state", "active", "--limit", "1")["workflows"][0]["state"] == "active"
    )
    assert len(running.run_json("event", "list", workflow, "--queue", "in", "--state", "done")["events"]) == 5
    assert "more: --after EV-" in running.run("event", "list", workflow, "--queue", "in", "--limit", "2").stderr
    assert {one["alias"] for one in running.run_json("queue", "list", workflow)["queues"]} == {"in", "out"}
    assert running.run_json("queue", "close", workflow, "in")["closed_at"] is not None
    assert running.run_json("workflow", "finish", workflow)["state"] == "finished"
    assert running.run_json("status")["status"] == "ready"


def test_an_unknown_alias_names_those_that_are_known(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running, ends=False)

    refused = running.run("queue", "publish", workflow, "on", _write(tmp_path, 1))

    assert refused.returncode == 3
    assert "its queues: in, out" in refused.stderr
    running.run("workflow", "abort", workflow)


def test_a_wrong_token_is_told_with_the_remedy(running: Stack, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(base64.b64encode(b"somebody else's").decode())

    refused = running.run("workflow", "list", "--token-file", str(tmp_path / "token"))

    assert refused.returncode == 6
    assert "--token-file" in refused.stderr


def test_every_finding_of_the_service_is_told(running: Stack, tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"tasks": [TASK | {"cluster_locations": ["mars"], "n_workers": 0, "attempts": 0}]}))

    refused = running.run("workflow", "submit", str(flow))

    assert refused.returncode == 4
    for field in ("tasks[0].n_workers", "tasks[0].attempts", "mars"):
        assert field in refused.stderr


def test_the_worker_is_written_as_one_file(running: Stack, tmp_path: Path) -> None:
    done = running.run("worker", "bundle", str(tmp_path / "worker.pyz"))

    assert done.stdout == f"{tmp_path / 'worker.pyz'}\n"
    assert (tmp_path / "worker.pyz").stat().st_size > 1000
