"""Is it seen from the command line which workers are up, how the others fare at their site, and why some wait?"""

import json
from typing import Any

import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from muster.cli.console import make_console
from muster.cli.pool_facts import list_facts
from muster.cli.watch_taskforce import Look, _Changes, render, render_line
from muster.client.shapes.sites import SiteReport, WorkerFacts
from muster.client.shapes.workflows import TaskforceView

FACTS = WorkerFacts(
    restarts=1, evictions=2, disconnected=1, holds={"no such\nfile": 3}, hosts={"c7": 1}, sites={"north": 4, "south": 1}
)
WHY = "3 of 9 workers are held: no such file"
TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
    "n_workers": 2,
}
GONE = "TF-6b0259da-962b1dcf-6713e685-1b7b398a"


def make_view(**changes: Any) -> TaskforceView:
    fields: dict[str, Any] = {
        "taskforce_uuid": "TF-1",
        "task_id": "TK-1",
        "workflow_id": "WF-1",
        "created_at": 0.0,
        "priority": 50,
        "location": "far",
        "schedd": "ap.far",
        "n_workers": 9,
        "workers": 5,
        "origin": "submitted",
        "phase": "condor-submit",
        "phase_change_log": [],
        "cluster_id": 7,
        "job_event_log_fpath": "",
        "compound_statuses": {"RUNNING": {"Tasking": 4, "null": 1}, "HELD: no such\x1b[2Jfile": {"null": 3}},
        "top_task_errors": {},
        "worker_config": {},
        "pilot_config": {},
        "submit_dict": {},
        "claim_agent": "a",
        "claim_until": None,
        "claim_fence": 1,
        "submit_failures": 0,
        "remove_failures": 0,
        "held_reason": None,
        "facts": FACTS,
        "reasons": [WHY],
    }
    return TaskforceView(**fields | changes)


def test_facts_are_told_by_name_and_what_there_is_none_of_is_left_out() -> None:
    assert list(list_facts(FACTS)) == [
        ("sites", "4 north, 1 south"),
        ("hosts", "1 c7"),
        ("held", "3 no such file"),
        ("out of reach", "1"),
        ("so far", "1 restart, 2 evictions"),
    ]
    assert list(list_facts(WorkerFacts())) == []


def test_a_look_is_a_line_with_why_workers_wait() -> None:
    assert render_line(Look(make_view(), at=1.0, events_per_s=12.4)) == (
        "condor-submit: 5 of 9 up; its site sees 5 RUNNING, 3 HELD: no such\\x1b[2Jfile; sites 4 north, 1 south; hosts 1 c7; "
        "held 3 no such file; out of reach 1; so far 1 restart, 2 evictions; 12 events/s in its workflow; "
        f"workers wait: {WHY}"
    )
    unheard = make_view(compound_statuses={}, facts=None, reasons=[], workers=0, held_reason="no room")
    assert render_line(Look(unheard, at=1.0, events_per_s=None)) == "condor-submit (held): 0 of 9 up; held: no room"


def test_a_look_is_a_table_with_facts_and_reasons_beneath() -> None:
    console = make_console()
    with console.capture() as capture:
        console.print(render(Look(make_view(), at=1.0, events_per_s=None)))

    shown = [line.rstrip() for line in capture.get().splitlines()]
    assert shown[0] == "TF-1  condor-submit at far; 5 of 9 workers up"
    assert [line.split() for line in shown[1:4]] == [
        ["job", "pilot", "workers"],
        ["RUNNING", "Tasking", "4"],
        ["RUNNING", "null", "1"],
    ]
    assert "\x1b" not in "".join(shown)
    assert shown[-1] == WHY


def test_a_line_is_written_when_something_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    changes = _Changes(as_json=True)
    for at, view in enumerate([make_view(), make_view(), make_view(workers=6), make_view(workers=6, reasons=[])]):
        changes.show(Look(view, at=float(at), events_per_s=float(at)))

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["at"], one["workers"], one["reasons"]) for one in told] == [
        (0.0, 5, [WHY]),
        (2.0, 6, [WHY]),
        (3.0, 6, []),
    ]
    assert told[0]["facts"]["sites"] == {"north": 4, "south": 1}


@pytest.mark.system
def test_workers_are_listed_shown_and_watched_until_they_are_gone(running: Stack) -> None:
    flow = running.root / "flow.json"
    flow.write_text(json.dumps({"tasks": [TASK], "public_queue_aliases": ["in"], "finish_when_done": True}))
    made = running.run_json("workflow", "submit", str(flow))
    workflow, uuid = made["workflow_id"], made["taskforces"][0]["taskforce_uuid"]
    wait_for(lambda: len(running.run_json("worker", "list", workflow)["workers"]) == 2, "both are up", deadline_s=60)

    [first, second] = running.run_json("worker", "list", uuid)["workers"]
    page = running.run_json("worker", "list", "latest", "--limit", "1")
    listed = running.run("worker", "list", workflow)
    assert {first["proc"], second["proc"]} == {0, 1}
    assert (first["taskforce_uuid"], first["in_hand"]) == (uuid, 0)
    assert [one["worker"] for one in page["workers"]] == [first["worker"]]
    behind = running.run_json("worker", "list", workflow, "--after", page["next_after"])
    assert [one["worker"] for one in behind["workers"]] == [second["worker"]]
    for word in (first["worker"], "up since", "in hand", " ago"):
        assert word in listed.stdout

    with running.client() as client:
        assert client.report(SiteReport("local", facts={uuid: FACTS}, reasons={uuid: [WHY]})) == []
    shown = running.run("taskforce", "show", uuid).stdout
    explained = running.run("workflow", "explain", workflow).stdout
    for words in (
        "sites         4 north, 1 south",
        "so far        1 restart, 2 evictions",
        f"as its site says\n  {WHY}",
    ):
        assert words in shown
    assert f"others wait: {WHY}" in explained

    running.run("queue", "publish", workflow, "in", "-", "--close", stdin="1\n2\n")
    watched = running.run("taskforce", "watch", uuid, "--json")
    told = [json.loads(line) for line in watched.stdout.splitlines()]
    assert (watched.returncode, told[-1]["phase"], told[-1]["reasons"]) == (0, "condor-complete", [])
    assert told[-1]["compound_statuses"] == {"REMOVED": {"null": 2}}
    assert told[-1]["facts"]["sites"] == {"north": 4, "south": 1}
    assert f"muster taskforce log {uuid}" in watched.stderr
    assert "condor-complete: 0 of 2 up" in running.run("taskforce", "watch", uuid).stdout
    assert "no worker is up" in running.run("worker", "list", uuid).stderr


@pytest.mark.system
@pytest.mark.parametrize(
    ("command", "status", "word"),
    [
        (("worker", "list", "x"), 4, "is not the id of a workflow"),
        (("worker", "list", GONE), 3, GONE),
        (("worker", "list", "WF-6b0259da-962b1dcf"), 3, "WF-6b0259da-962b1dcf"),
        (("taskforce", "watch", "x"), 4, "`muster taskforce list` shows them"),
        (("taskforce", "watch", GONE), 3, GONE),
    ],
)
def test_what_is_not_there_is_told(running: Stack, command: tuple[str, ...], status: int, word: str) -> None:
    told = running.run(*command)

    assert (told.returncode, word in told.stderr) == (status, True)
