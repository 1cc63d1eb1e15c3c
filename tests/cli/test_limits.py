"""Does `muster limits` show what the running service has, not what the variables of its caller say?"""

import pytest

from harness.stack import Stack
from muster.cli.limits import put_limits
from muster.client.shapes.service import Limits, LimitView


def test_people_read_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    own = LimitView("MUSTER_WORKERS_MAX_PER_OWNER", "workers", "owner", at_most=200, in_use=198)
    every = LimitView("MUSTER_WORKERS_MAX", "workers", "all", at_most=None, in_use=None)

    put_limits(Limits("ada\x1b[2J", [own, every]))

    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()] == [
        ["what", "of", "in", "use", "at", "most", "set", "by"],
        ["workers", "ada\\x1b[2J", "198", "200", "MUSTER_WORKERS_MAX_PER_OWNER"],
        ["workers", "all", "together", "-", "any", "number", "MUSTER_WORKERS_MAX"],
    ]
    assert told.err == "how much all together use is shown to operators\n"


@pytest.mark.system
def test_what_the_service_was_started_with_is_shown(stack: Stack) -> None:
    stack.environment["MUSTER_WORKERS_MAX_PER_OWNER"] = "7"
    stack.start_up()

    found = stack.run_json("limits")
    told = stack.run("limits")

    assert [(one["at_most"], one["in_use"]) for one in found["limits"] if one["what"] == "workers"] == [
        (7, 0),
        (None, 0),  # who has its token is an operator
    ]
    assert told.returncode == 0, told.stderr
    assert "MUSTER_WORKERS_MAX_PER_OWNER" in told.stdout
