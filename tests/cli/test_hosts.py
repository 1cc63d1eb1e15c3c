"""Is it seen on the command line how hosts and sites do, and can one be trusted?"""

import json

import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from muster.cli.hosts import add_up_sites
from muster.client.shapes.hosts import HostView


def make_host(host: str, site: str, *, done: int, failed: int, rests_until: float | None = None) -> HostView:
    return HostView("TK-1", host, site, done, failed, failed // 2, None, None, rests_until, None, None, None)


def test_sites_are_added_up_and_those_with_the_most_failures_come_first() -> None:
    hosts = [
        make_host("c1", "north", done=5, failed=0),
        make_host("c2", "north", done=2, failed=4, rests_until=9.0),
        make_host("c2", "north", done=1, failed=2, rests_until=9.0),
        make_host("d1", "south", done=9, failed=7),
    ]

    south, north = add_up_sites(hosts)

    assert (south.site, south.hosts, south.resting, south.done, south.failed, south.blamed) == ("south", 1, 0, 9, 7, 3)
    assert (north.site, north.hosts, north.resting, north.done, north.failed, north.blamed) == ("north", 2, 1, 8, 6, 3)


@pytest.mark.system
def test_how_the_hosts_of_a_workflow_do(running: Stack) -> None:
    task = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": "false",
        "input_queue_aliases": ["in"],
        "attempts": 1,
    }
    flow, values = running.root / "flow.json", running.root / "values.jsonl"
    flow.write_text(json.dumps({"tasks": [task], "public_queue_aliases": ["in"]}))
    values.write_text("1\n2\n")
    workflow = running.run_json("workflow", "submit", str(flow))["workflow_id"]
    none = running.run("workflow", "errors", workflow, "--by", "site")
    running.run("queue", "publish", workflow, "in", str(values))
    wait_for(lambda: running.run_json("workflow", "errors", workflow, "--by", "host")["hosts"], "it is written down")
    wait_for(
        lambda: running.run_json("workflow", "errors", workflow, "--by", "site")["sites"][0]["failed"] == 2,
        "both have failed",
    )
    [host] = running.run_json("workflow", "errors", workflow, "--by", "host")["hosts"]

    by_host = running.run("workflow", "errors", workflow, "--by", "host")
    by_site = running.run("workflow", "errors", workflow, "--by", "site")
    trusted = running.run("workflow", "trust", workflow, host["host"])
    nobody = running.run("workflow", "trust", workflow, "nobody")

    assert "no attempt has ended so far" in none.stderr
    assert (host["done"], host["failed"], host["rests_until"]) == (0, 2, None)
    assert host["host"] in by_host.stdout
    assert "100 %" in by_host.stdout
    assert "exit 1" in by_host.stdout
    assert "100 %" in by_site.stdout
    assert (trusted.returncode, trusted.stdout) == (0, f"{host['host']} is given events again\n")
    assert nobody.returncode != 0
    assert "no attempt of workflow" in nobody.stderr
    running.run("workflow", "abort", workflow)
