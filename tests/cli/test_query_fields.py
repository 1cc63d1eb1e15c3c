"""Is a slip in the name of a field told, and no other name?"""

from collections.abc import Sequence

import msgspec
import pytest

from harness.stack import Stack
from muster.cli.query import SHAPES
from muster.server.doors.muster.queries.sources import TASK_SOURCES, TASKFORCE_SOURCES, WORKFLOW_SOURCES


def test_the_fields_that_are_known_are_those_that_the_service_finds_by() -> None:
    by_service = {"workflows": WORKFLOW_SOURCES, "tasks": TASK_SOURCES, "taskforces": TASKFORCE_SOURCES}

    known = {what: {one.encode_name for one in msgspec.structs.fields(shape)} for what, shape in SHAPES.items()}

    assert known == {what: {*sources} for what, sources in by_service.items()}


@pytest.mark.system
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("workflows", '{"sate": "active"}'), ["workflows have no field 'sate'; did you mean 'state'?"]),
        (
            ("taskforces", '{"$or": [{"phse.a": 1}, {"_id": 2}], "phse": 3}', "--json"),
            ["taskforces have no field 'phse'; did you mean 'phase'?"],
        ),
        (
            ("taskforces", '{"$and": [{"phase": 1}, {"$or": [{"phse": 1}, {"$nor": [{"lcation.a": 2}]}]}]}'),
            [
                "taskforces have no field 'phse'; did you mean 'phase'?",
                "taskforces have no field 'lcation'; did you mean 'location'?",
            ],
        ),
        (
            ("tasks", "{}", "-f", "task_id", "-f", "xxxx.yyyy", "--sort", "task_ags", "--limit", "1"),
            [
                "tasks have no field 'xxxx'; docs/reference/query.md says where their names stand",
                "tasks have no field 'task_ags'; did you mean 'task_args'?",
            ],
        ),
        (("taskforces", '{"worker_config.n_cores": {"$gt": 1}, "$nor": [{"held_reason": null}]}', "-f", "_id"), []),
    ],
)
def test_a_name_that_nothing_has_is_told_with_the_nearest(
    running: Stack, arguments: Sequence[str], told: Sequence[str]
) -> None:
    done = running.run("query", *arguments)

    assert done.returncode == 0, done.stderr
    minded = [line.removeprefix("mind: ") for line in done.stderr.splitlines() if line.startswith("mind: ")]
    assert minded == told
