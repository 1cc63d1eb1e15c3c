"""Is it told where a filter can find nothing, for a slip in the name of a field or a text for a number, and nowhere else?"""

from collections.abc import Sequence

import msgspec
import pytest

from harness.stack import Stack
from muster.cli.query import SHAPES
from muster.server.doors.muster.queries.sources import TASK_SOURCES, TASKFORCE_SOURCES, WORKFLOW_SOURCES

A_TIME = "a number, the seconds since 1970; a text like"
DATE = "`date -d '2026-11-01 12:00' +%s` prints such a number"
WHICH = "which is 2026-11-01 02:00:00 UTC-0200"
TEXTS = """{"$or": [
  {"phase_change_log": {"$elemMatch": {"at": {"$not": {"$in": [1, "2026-11-01T06:00+02:00"]}}}}},
  {"phase_change_log.0.source_event_time": "last week"}, {"compound_statuses.a.b": "x"}, {"phase": "y"},
  {"claim_until": null}, {"created_at": {"$regex": "^2026"}}, {"worker_config.n_cores": "4"}
]}"""


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
        (
            ("workflows", '{"created_at": {"$gte": "2026-11-01", "$lt": "2026-12-01T00:00Z"}, "priority": "3"}'),
            [
                f"created_at is {A_TIME} '2026-11-01' never fits it: write 1793498400, which is 2026-11-01 00:00:00 UTC-0200",
                "priority is a number; a text like '3' never fits it: write 3 without quotes",
            ],
        ),
        (
            ("taskforces", TEXTS, "--json"),
            [
                f"phase_change_log.at is {A_TIME} '2026-11-01T06:00+02:00' never fits it: write 1793505600, {WHICH}",
                f"phase_change_log.0.source_event_time is {A_TIME} 'last week' never fits it; {DATE}",
                "compound_statuses.a.b is a number; a text like 'x' never fits it",
                f"created_at is {A_TIME} '^2026' never fits it; {DATE}",
            ],
        ),
        (
            ("workflows", '{"created_at": {"$gte": 1793491200}, "ended_at": {"$in": [null, 1]}, "name": "2026-11-01"}'),
            [],
        ),
        (("taskforces", '{"worker_config.n_cores": {"$gt": 1}, "$nor": [{"held_reason": null}]}', "-f", "_id"), []),
    ],
)
def test_a_name_that_nothing_has_and_a_text_for_a_number_are_told_with_what_is_meant(
    running: Stack, arguments: Sequence[str], told: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XXX+2")  # two hours west of Greenwich, all the year

    done = running.run("query", *arguments)

    assert done.returncode == 0, done.stderr
    minded = [line.removeprefix("mind: ") for line in done.stderr.splitlines() if line.startswith("mind: ")]
    assert minded == told
