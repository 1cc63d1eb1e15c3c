"""Does what the page of the routes has one type, in its order, give what it prints?"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow

pytestmark = pytest.mark.system

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text()


def read_block(kind: str, *, after: str) -> str:
    """The first block of a language that follows a sentence of the page."""
    match = re.search(rf"```{kind}\n(.*?)```", PAGE.partition(after)[2], re.DOTALL)
    assert match, after
    return match[1]


def read_body(block: str) -> str:
    """What curl sends, where the block names the workflow by `$WF`."""
    match = re.search(r"-d '(.*)'$", block.strip().replace("\\\n", ""), re.DOTALL)
    assert match, block
    return match[1]


def test_the_query_finds_what_is_printed_once_the_workflow_of_the_page_has_finished(stack: Stack) -> None:
    stack.start_up()
    flow = msgspec.json.decode(read_block("json", after="`flow.json` is a"), type=NewWorkflow)
    publish = json.loads(read_body(read_block("sh", after="Publish, and close the queue")))
    with stack.client() as client:
        workflow = client.submit_workflow(flow).workflow_id
        client.publish(workflow, "in", (one["body"] for one in publish["events"]), close=publish["close"])

        def has_ended() -> bool:
            progress = client.get_progress(workflow)
            return progress.state == "finished" and set(progress.phases) == {"condor-complete"}

        wait_for(has_ended, "the workflow and its workers have ended", deadline_s=60)
        query = json.loads(read_body(read_block("sh", after="Find objects by a filter")).replace("'$WF'", workflow))
        found = client.query("taskforces", query["query"], projection=query["projection"], limit=query["limit"])

    printed = json.loads(read_block("json", after="Find objects by a filter"))
    assert [_without_ids(one) for one in found.objects] == [_without_ids(one) for one in printed["objects"]]
    assert [list(one) for one in found.objects] == [list(one) for one in printed["objects"]]
    assert found.next_after == printed["next_after"]


def _without_ids(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "taskforce_uuid"}
