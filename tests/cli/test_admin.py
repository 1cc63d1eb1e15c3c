"""Can an operator see what would go, and have it gone? And empty a service for tests, and no other?"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stack import Stack

pytestmark = pytest.mark.system

FLOW: dict[str, Any] = {
    "tasks": [
        {
            "cluster_locations": ["local"],
            "task_image": "",
            "task_args": "cp {{INFILE}} {{OUTFILE}}",
            "input_queue_aliases": ["in"],
            "output_queue_aliases": ["out"],
            "infile_ext": "json",
            "outfile_ext": "json",
        }
    ],
    "public_queue_aliases": ["in", "out"],
    "finish_when_done": True,
}


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that keeps the bodies of done events for no time, and looks for them only when it is told to."""
    stack = Stack(tmp_path_factory.mktemp("up"), host="127.0.0.1", environment={"MUSTER_BODIES_KEPT_S": "0"})
    try:
        stack.start_up(MUSTER_PURGE_INTERVAL_S="86400", MUSTER_TEST_RESET="true")
        yield stack
    finally:
        stack.close()


def _work_through(stack: Stack, folder: Path, count: int, *, flow: dict[str, Any] = FLOW) -> str:
    (folder / "flow.json").write_text(json.dumps(flow))
    (folder / "values.jsonl").write_text("".join(f"{number}\n" for number in range(count)))
    workflow = str(stack.run_json("workflow", "submit", str(folder / "flow.json"))["workflow_id"])
    stack.run("queue", "publish", workflow, "in", str(folder / "values.jsonl"), "--close")
    stack.run("workflow", "watch", workflow)
    return workflow


def test_what_would_go_is_told_and_then_it_goes(forgetful: Stack, tmp_path: Path) -> None:
    forgetful.run("admin", "reset", "--yes")
    workflow = _work_through(forgetful, tmp_path, 3)

    dry = forgetful.run("admin", "purge", "--dry-run")
    done = forgetful.run_json("admin", "purge")

    lines = {what: told for what, *told in (re.split("  +", line) for line in dry.stdout.splitlines())}
    assert lines["what"] == ["is kept for", "would go"]
    assert lines["bodies of events that are done"] == ["no time", "3"]
    assert lines["workflows that ended, with all their events"] == ["ever", "0"]
    assert lines["notices for streams"] == ["30 days", "0"]
    assert done["removed"]["bodies"] == 3
    assert done["kept_s"]["bodies"] == 0
    assert not done["dry_run"]
    assert forgetful.run_json("admin", "purge")["removed"]["bodies"] == 0

    event = forgetful.run_json("event", "list", workflow, "--queue", "in")["events"][0]["event"]
    assert "not kept any more" in forgetful.run("event", "show", event).stdout
    refused = forgetful.run("event", "show", event, "--body")
    assert refused.returncode != 0
    assert f"the body of {event} is not kept any more" in refused.stderr
    exported = forgetful.run("event", "export", workflow, "in")
    assert exported.stdout == ""
    assert "3 were left out: their bodies are not kept any more" in exported.stderr
    assert sorted(forgetful.run("event", "export", workflow, "out").stdout.split()) == ["0", "1", "2"]
    assert forgetful.run_json("workflow", "account", workflow, "--recount")["adds_up"]


def test_the_result_of_a_task_without_an_output_queue_is_shown_until_its_body_goes(
    forgetful: Stack, tmp_path: Path
) -> None:
    forgetful.run("admin", "reset", "--yes")
    task = {**FLOW["tasks"][0], "output_queue_aliases": []}
    workflow = _work_through(forgetful, tmp_path, 1, flow={**FLOW, "tasks": [task], "public_queue_aliases": ["in"]})
    [event] = forgetful.run_json("event", "list", workflow)["events"]

    shown = forgetful.run("event", "show", event["event"]).stdout
    assert re.search(r"^body \(json\).*^result \(json\).*^attempt 1: done", shown, re.DOTALL | re.MULTILINE), shown

    forgetful.run("admin", "purge")
    assert "result (" not in forgetful.run("event", "show", event["event"]).stdout


def test_emptying_must_be_meant_and_allowed(running: Stack, forgetful: Stack, tmp_path: Path) -> None:
    _work_through(forgetful, tmp_path, 1)

    unsaid = forgetful.run("admin", "reset")
    assert unsaid.returncode == 2
    assert "say --yes where that is meant" in unsaid.stderr
    refused = running.run("admin", "reset", "--yes")
    assert refused.returncode != 0
    assert "MUSTER_TEST_RESET=true" in refused.stderr

    assert forgetful.run("admin", "reset", "--yes").stdout.startswith("removed ")
    assert forgetful.run_json("workflow", "list")["workflows"] == []
    assert forgetful.run_json("workflow", "account", _work_through(forgetful, tmp_path, 2))["done"] == 2
