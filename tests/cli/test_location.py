"""Does `muster location list` show the locations of the running service, and who is there?"""

import re

import pytest

from harness.stack import Stack
from muster.cli.location import put_locations
from muster.client.shapes.service import AskingAgent, DisplacedView, Locations, LocationView, TaskforceCounts

NOW = 1_800_000_000.0
NOTHING = TaskforceCounts(0, 0, 0, 0)


def test_people_read_a_table_and_what_nobody_can_be_told_of_below(capsys: pytest.CaptureFixture[str]) -> None:
    agents = [AskingAgent("a\x1b[2J", NOW - 12, is_there=True), AskingAgent("b", NOW - 300, is_there=False)]
    lab = LocationView("lab", ["here"], "ap.lab", "muster", agents, TaskforceCounts(3, 1, 0, 2), 4)
    far = LocationView("far", [], "ap.far", "upstream", [AskingAgent("", NOW - 60, is_there=True)], NOTHING, None)
    new = LocationView("new", [], "ap.new", "muster", [], NOTHING, 0)
    gone = DisplacedView("old", "ap.old", "it is gone", TaskforceCounts(5, 0, 1, 0), 0)

    put_locations(Locations(NOW, [lab, far, new], [gone]))

    told = capsys.readouterr()
    assert [re.split(" {2,}", line) for line in told.out.splitlines()] == [
        ["location", "aliases", "schedd", "agent", "asked last", "waiting", "running", "stopping", "held", "workers"],
        ["lab", "here", "ap.lab", "muster", "a\\x1b[2J 12 s ago, b 5 min 00 s ago (gone?)", "3", "1", "0", "2", "4"],
        ["far", "-", "ap.far", "upstream", "1 min 00 s ago", "0", "0", "0", "0", "-"],
        ["new", "-", "ap.new", "muster", "nobody", "0", "0", "0", "0", "0"],
        ["mind: no agent can be told of the taskforces at old (schedd ap.old; 5 waiting, 1 stopping): it is gone"],
        [
            (
                "to have an agent told: name these locations in MUSTER_LOCATIONS of the service again, each with its schedd above, "
                "and start it again; or abort the workflows, and submit them elsewhere"
            )
        ],
    ]


def test_a_service_without_locations_is_told_how_to_get_them(capsys: pytest.CaptureFixture[str]) -> None:
    put_locations(Locations(NOW, [], []))

    told = capsys.readouterr()
    assert (told.out, told.err) == (
        "",
        "the service has no locations: MUSTER_LOCATIONS names them to it (docs/how-to/locations.md)\n",
    )


@pytest.mark.system
def test_the_agent_of_muster_up_is_there(stack: Stack) -> None:
    stack.start_up()

    [found] = stack.run_json("location", "list")["locations"]
    told = stack.run("location", "list")

    assert (found["name"], found["agent"]) == ("local", "muster")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[1].split()[:2] == ["local", "-"]
