"""Can a person hold, release and remove single workers, and read what one wrote, and does every mistake say what would be right?"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness.stack import Stack
from harness.tally import check_account, count_states
from harness.waiting import wait_for
from muster.cli.worker_names import _read
from muster.client.synchronous import Client
from muster.domain.errors import InvalidError
from muster.domain.worker_order import PROCS_MAX

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "n_workers": 3,
}
GONE = "TF-6b0259da-962b1dcf-6713e685-1b7b398a"


@pytest.mark.parametrize(
    ("words", "clusters", "procs"),
    [
        ([], set(), []),
        (["3"], set(), [3]),
        (["0-2", "7", "1"], set(), [0, 1, 2, 7]),
        (["1,4", "2-3,9"], set(), [1, 4, 2, 3, 9]),
        (["12.3@c7.example.org", "12.4"], {12}, [3, 4]),
        (["4-4"], set(), [4]),
    ],
)
def test_workers_are_named_by_numbers_and_as_they_are_listed(
    words: list[str], clusters: set[int], procs: list[int]
) -> None:
    assert _read(words) == (clusters, procs)


@pytest.mark.parametrize("word", ["x", "-1", "3-1", "1.2.3", "", "٣", "0-99999999999", f"0-{PROCS_MAX}"])
def test_a_word_that_names_no_worker_is_refused(word: str) -> None:
    with pytest.raises(InvalidError, match="worker"):
        _read([word])


@pytest.fixture
def at_work(running: Stack) -> Iterator[tuple[Stack, Client, str, str]]:
    """A workflow of three workers that are up: the stack, a client, the workflow, its taskforce."""
    flow = running.root / "flow.json"
    flow.write_text(json.dumps({"tasks": [TASK], "public_queue_aliases": ["in"]}))
    made = running.run_json("workflow", "submit", str(flow))
    workflow, uuid = made["workflow_id"], made["taskforces"][0]["taskforce_uuid"]
    with running.client() as client:
        wait_for(lambda: client.get_taskforce(uuid).workers == 3, "all are up", deadline_s=60)
        yield running, client, workflow, uuid
        client.abort_workflow(workflow)
        wait_for(lambda: client.get_taskforce(uuid).phase == "condor-complete", "it is over", deadline_s=60)


@pytest.mark.system
def test_single_workers_are_held_released_and_removed(at_work: tuple[Stack, Client, str, str]) -> None:
    stack, client, _, uuid = at_work

    held = stack.run("worker", "hold", "latest", "0", "2", "--reason", "a look inside")

    assert (held.returncode, held.stdout) == (0, f"2 workers of {uuid} held\n"), held.stderr
    reason = f"HELD: asked for by {client.whoami().name}: a look inside"
    wait_for(lambda: count_states(client.get_taskforce(uuid)) == {reason: 2, "RUNNING": 1}, "two are held")
    wait_for(lambda: client.get_taskforce(uuid).workers == 1, "their sessions have ended")
    again = stack.run("worker", "hold", uuid, "0-1")
    assert again.stdout == f"1 worker of {uuid} held; 1 of those that were named is gone, or held before\n"
    nothing = stack.run("worker", "hold", uuid, "0")
    assert (nothing.returncode, "0 workers" in nothing.stdout) == (0, True)

    released = stack.run_json("worker", "release", uuid, "--all")

    assert (released["state"], released["done"], released["procs"]) == ("done", 3, [])
    wait_for(lambda: client.get_taskforce(uuid).workers == 3, "all are up again", deadline_s=60)
    removed = stack.run("worker", "remove", uuid, "1")
    assert (removed.returncode, removed.stdout) == (0, f"1 worker of {uuid} removed\n")
    wait_for(lambda: count_states(client.get_taskforce(uuid)) == {"REMOVED": 1, "RUNNING": 2}, "one is gone for good")
    log = "\n".join(entry.context for entry in client.get_taskforce(uuid).phase_change_log)
    for words in ("asked to hold workers 0, 2: a look inside", "2 held", "asked to release all workers", "1 removed"):
        assert words in log
    shown = stack.run("worker", "order", uuid, released["order_id"])
    assert (shown.returncode, "release all workers" in shown.stdout) == (0, True)


@pytest.mark.system
def test_what_a_held_worker_has_in_hand_is_done_or_given_back_and_the_account_adds_up(
    at_work: tuple[Stack, Client, str, str],
) -> None:
    stack, client, workflow, uuid = at_work
    client.publish(workflow, "in", [{"n": n} for n in range(300)], close=True)

    for _ in range(3):
        stack.run("worker", "hold", uuid, "0", "1")
        stack.run("worker", "release", uuid, "--all")

    wait_for(lambda: client.get_progress(workflow).input.done == 300, "all are done", deadline_s=90)
    check_account(client, workflow, published=300, done=300, dead=0)


@pytest.mark.system
def test_what_a_worker_wrote_is_shown(at_work: tuple[Stack, Client, str, str]) -> None:
    stack, client, _, uuid = at_work
    [first, *_] = client.list_workers(client.get_taskforce(uuid).workflow_id).workers

    shown = stack.run("worker", "logs", "latest", first.worker)
    stderr = stack.run("worker", "logs", uuid, str(first.proc), "--stream", "stderr")

    assert shown.returncode == 0, shown.stderr
    assert f"worker {first.proc} ({first.worker.partition('@')[0]})" in shown.stdout.splitlines()[0]
    assert shown.stdout.splitlines()[2].startswith("stderr (")
    lines = [json.loads(line) for line in stderr.stdout.splitlines()]
    assert lines[0]["what"] == "started"
    assert lines[0]["taskforce"] == uuid
    missing = stack.run("worker", "logs", uuid, str(first.proc), "--stream", "events")
    assert (missing.returncode, "there is: stderr" in missing.stderr) == (3, True)


@pytest.mark.system
def test_mistakes_say_what_would_be_right(at_work: tuple[Stack, Client, str, str]) -> None:
    stack, client, _, uuid = at_work
    cluster = client.get_taskforce(uuid).cluster_id
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("hold", uuid), 2, "their numbers, or --all"),
        (("hold", uuid, "1", "--wait", "nan"), 2, "no number of seconds"),
        (("logs", uuid, "1", "--wait", "-1"), 2, "no number of seconds"),
        (("hold", uuid, "1", "--all"), 2, "--all goes without numbers"),
        (("hold", uuid, "7"), 4, "are 0 to 2"),
        (("hold", uuid, "x"), 4, "a worker is a number, like 3"),
        (("hold", uuid, "1.0"), 4, f"1 is not the cluster of {uuid}, which is {cluster}"),
        (("hold", "latest", "1.0"), 2, "no taskforce with cluster 1"),
        (("logs", uuid, "0-1"), 2, "one at a time"),
        (("logs", uuid, "0", "--stream", "x"), 3, "there is no x of worker 0"),
        (("remove", GONE, "1"), 3, GONE),
        (("order", uuid, "WO-0123456789abcdef"), 3, "WO-0123456789abcdef"),
    ]
    for command, status, words in cases:
        told = stack.run("worker", *command)
        assert (told.returncode, words in told.stderr) == (status, True), (command, told.stderr)


@pytest.mark.system
def test_an_agent_that_is_away_is_told_with_how_to_see_what_comes_of_it(tmp_path: Any) -> None:
    stack = Stack(tmp_path, host="127.0.0.1")
    try:
        stack.start_serve()
        stack.start_site("site")
        with stack.client() as client:
            flow = tmp_path / "flow.json"
            flow.write_text(json.dumps({"tasks": [TASK], "public_queue_aliases": ["in"]}))
            uuid = stack.run_json("workflow", "submit", str(flow))["taskforces"][0]["taskforce_uuid"]
            wait_for(lambda: client.get_taskforce(uuid).workers == 3, "all are up", deadline_s=60)
            stack.kill("site")

            told = stack.run("worker", "hold", uuid, "0", "--wait", "0.5")
            later = stack.run("worker", "hold", uuid, "1", "--wait", "0")

            assert told.returncode == 5
            order = told.stderr.split("muster worker order ")[1].split("`")[0].split()
            assert (later.returncode, "muster worker order" in later.stderr) == (0, True)
            assert stack.run_json("worker", "order", *order)["state"] == "waiting"
            stack.start_site("site")
            wait_for(lambda: stack.run_json("worker", "order", *order)["state"] == "done", "it is done")
            wait_for(lambda: client.get_taskforce(uuid).workers == 1, "two are held")
            stack.run("workflow", "abort", "latest")
            wait_for(lambda: client.get_taskforce(uuid).phase == "condor-complete", "it is over", deadline_s=60)
    finally:
        stack.close()
