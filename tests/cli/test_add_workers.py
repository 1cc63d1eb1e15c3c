"""Is it told at once that workers that were ordered have to wait?"""

import json

import pytest

from harness.stack import Stack
from harness.waiting import wait_for

pytestmark = pytest.mark.system


def test_an_order_for_which_there_is_no_room_beside_the_tasks_own_workers_says_so(stack: Stack) -> None:
    stack.start_up(MUSTER_WORKERS_MAX="3")
    task = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": "true",
        "input_queue_aliases": ["in"],
        "n_workers": 2,
    }
    file = stack.root / "flow.json"
    file.write_text(json.dumps({"tasks": [task], "public_queue_aliases": ["in"]}))
    workflow = stack.run_json("workflow", "submit", str(file))["workflow_id"]
    show = ("workflow", "show", workflow)
    wait_for(lambda: stack.run_json(*show)["taskforces"][0]["phase"] == "condor-submit", "it is in", deadline_s=60)

    fits = stack.run("workflow", "add-workers", workflow, "--workers", "1")
    waits = stack.run("workflow", "add-workers", workflow, "--workers", "2")
    as_json = stack.run("workflow", "add-workers", workflow, "--workers", "1", "--json")

    assert (fits.returncode, fits.stderr) == (0, "1 worker was ordered at local\n")
    ordered, minded = waits.stderr.splitlines()
    assert (waits.returncode, ordered) == (0, "2 workers were ordered at local")
    assert minded.startswith(
        "mind: there is no room for it beside the workers that its workflow has at work: with the "
    )
    assert "are more than the 3 that there may be at once" in minded
    assert (as_json.returncode, as_json.stderr) == (0, "")
