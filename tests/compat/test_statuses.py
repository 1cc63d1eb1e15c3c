"""What becomes of the statuses and errors that a TMS reports?

Source: wms.md sections 4.17, 13, 21. Each field that is sent is replaced whole, in every phase, and nothing is logged.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.exact import Json, check
from compat.parties import Desk
from compat.samples import unknown_ids
from compat.wms_shapes import StatusResults

PATH = "/tms/statuses/taskforces"
NOT_FOUND = "no taskforce found with uuid"

STATUSES = {
    "IDLE": {"null": 12},
    "RUNNING": {"Tasking": 3, "null": 1},
    "HELD: Transfer output files failure: [Errno 2] ./a.b/c$d <none>": {"FatalError": 2},
    "null": {"null": 1},
    "COMPLETED": {"Done": 2**31},
}
ERRORS = {"FileNotFoundError: 'a.b'": 2, "$where: süd\nline two": 1, "x" * 3000: 4, "": 0}


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def report(desk: Desk, *, statuses: Json | None = None, errors: Json | None = None, status: int = 200) -> list[Json]:
    """Report; the results, by uuid within each kind."""
    body = {}
    if statuses is not None:
        body["compound_statuses_by_taskforce"] = statuses
    if errors is not None:
        body["top_task_errors_by_taskforce"] = errors
    answer = desk.tms.post(PATH, body, status=status)
    check(answer.body, StatusResults)
    results: list[Json] = answer.body["results"]
    return sorted(results, key=lambda one: (one["status"], one["uuid"]))


def updated(*uuids: str) -> list[Json]:
    return [{"uuid": uuid, "status": "updated"} for uuid in sorted(uuids)]


def failed(*uuids: str) -> list[Json]:
    return [{"uuid": uuid, "status": "failed", "error": NOT_FOUND} for uuid in sorted(uuids)]


def seen(desk: Desk, uuid: str) -> tuple[Json, Json]:
    taskforce = desk.taskforce(uuid)
    return taskforce["compound_statuses"], taskforce["top_task_errors"]


def test_an_empty_report_is_answered_by_no_results(desk: Desk) -> None:
    assert desk.tms.post(PATH, {}).body == {"results": []}


def test_what_is_reported_is_what_is_read_everywhere(desk: Desk) -> None:
    desk.empty_the_schedds()
    before = desk.bring_to("pending-stopper")
    uuid = before["taskforce_uuid"]

    assert report(desk, statuses={uuid: STATUSES}, errors={uuid: ERRORS}) == updated(uuid)

    after = {**before, "compound_statuses": STATUSES, "top_task_errors": ERRORS}
    assert desk.taskforce(uuid) == after
    assert desk.to_stop("SCHEDD1") == after
    assert desk.find("taskforces", {"taskforce_uuid": uuid}, caller=desk.tms) == [desk.found(after)]


def test_a_field_is_replaced_whole_and_the_other_one_is_left(desk: Desk) -> None:
    uuid = desk.create()["taskforces"][0]["taskforce_uuid"]

    report(desk, statuses={uuid: STATUSES}, errors={uuid: ERRORS})
    report(desk, statuses={uuid: {"RUNNING": {"Done": 1}}})
    assert seen(desk, uuid) == ({"RUNNING": {"Done": 1}}, ERRORS)

    report(desk, errors={uuid: {"e": 1}})
    assert seen(desk, uuid) == ({"RUNNING": {"Done": 1}}, {"e": 1})


def test_an_empty_object_clears_a_field(desk: Desk) -> None:
    uuid = desk.create()["taskforces"][0]["taskforce_uuid"]
    report(desk, statuses={uuid: STATUSES}, errors={uuid: ERRORS})

    report(desk, statuses={uuid: {"RUNNING": {}}})
    assert seen(desk, uuid) == ({"RUNNING": {}}, ERRORS)
    report(desk, statuses={uuid: {}}, errors={uuid: {}})
    assert seen(desk, uuid) == ({}, {})


@pytest.mark.parametrize(
    "phase", ["pending-starter", "condor-submit", "pending-stopper", "condor-rm", "condor-complete"]
)
def test_a_report_is_taken_in_every_phase_and_is_not_logged(desk: Desk, phase: str) -> None:
    before = desk.bring_to(phase)
    uuid = before["taskforce_uuid"]

    assert report(desk, statuses={uuid: STATUSES}) == updated(uuid)

    assert desk.taskforce(uuid) == {**before, "compound_statuses": STATUSES}


def test_an_end_still_follows_a_report_after_the_removal(desk: Desk) -> None:
    removed = desk.bring_to("condor-rm")
    uuid = removed["taskforce_uuid"]
    report(desk, statuses={uuid: {"REMOVED": {"null": 3}}})

    desk.confirm_complete(uuid)

    ended = desk.taskforce(uuid)
    assert (ended["phase"], ended["compound_statuses"]) == ("condor-complete", {"REMOVED": {"null": 3}})


def test_one_report_is_about_many_taskforces_each_with_what_is_said_of_it(desk: Desk) -> None:
    first, second, third, untouched = (desk.create()["taskforces"][0]["taskforce_uuid"] for _ in range(4))

    results = report(
        desk,
        statuses={first: {"IDLE": {"null": 1}}, second: {"RUNNING": {"Tasking": 2}}},
        errors={second: {"e": 1}, third: {"f": 2}},
    )

    assert results == updated(first, second, third)
    assert [seen(desk, uuid) for uuid in (first, second, third, untouched)] == [
        ({"IDLE": {"null": 1}}, {}),
        ({"RUNNING": {"Tasking": 2}}, {"e": 1}),
        ({}, {"f": 2}),
        ({}, {}),
    ]


def test_unknown_taskforces_make_it_a_207_and_do_not_hinder_the_known(desk: Desk) -> None:
    known = [desk.create()["taskforces"][0]["taskforce_uuid"] for _ in range(2)]
    unknown = [unknown_ids()["taskforce_uuid"] for _ in range(2)]
    everything = {uuid: {"IDLE": {"null": 1}} for uuid in (known[0], unknown[0], known[1], unknown[1])}

    results = report(desk, statuses=everything, errors={unknown[1]: {"e": 1}}, status=207)

    assert results == failed(*unknown) + updated(*known)
    assert [seen(desk, uuid)[0] for uuid in known] == [{"IDLE": {"null": 1}}] * 2


def test_only_unknown_taskforces_are_a_207_too(desk: Desk) -> None:
    for uuid in (unknown_ids()["taskforce_uuid"], "TF-1", "a.b $c", ""):
        assert report(desk, errors={uuid: {"e": 1}}, status=207) == failed(uuid)


def test_counts_may_be_written_with_a_point(desk: Desk) -> None:
    uuid = desk.create()["taskforces"][0]["taskforce_uuid"]

    report(desk, statuses={uuid: {"IDLE": {"null": 3.0}}}, errors={uuid: {"e": 1e2}})

    assert seen(desk, uuid) == ({"IDLE": {"null": 3}}, {"e": 100})


COMPOUND, TOP = "compound_statuses_by_taskforce", "top_task_errors_by_taskforce"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({COMPOUND: {}}, [COMPOUND]),
        ({TOP: {}}, [TOP]),
        ({COMPOUND: None}, [COMPOUND]),
        ({COMPOUND: [], TOP: "text"}, [COMPOUND, TOP]),
        ({COMPOUND: {"TF-1": None}}, [COMPOUND]),
        ({COMPOUND: {"TF-1": {"IDLE": 1}}}, [COMPOUND]),
        ({COMPOUND: {"TF-1": {"IDLE": {"null": "1"}}}}, [COMPOUND]),
        ({COMPOUND: {"TF-1": {"IDLE": {"null": 1.5}}}}, [COMPOUND]),
        ({COMPOUND: {"TF-1": {"IDLE": {"null": True}}}}, [COMPOUND]),
        ({TOP: {"TF-1": 1}}, [TOP]),
        ({TOP: {"TF-1": {"e": None}}, COMPOUND: {"TF-1": {"IDLE": []}}}, [TOP, COMPOUND]),
        ({"compound_statuses": {"TF-1": {}}}, ["compound_statuses"]),
        ({TOP: {"TF-1": {}}, "nonsense": 1}, ["nonsense"]),
    ],
)
def test_a_wrong_report_is_refused_by_the_names_of_what_is_wrong(desk: Desk, body: Any, names: list[str]) -> None:
    answer = desk.tms.post(PATH, body, status=400)

    assert [name for name in names if name not in answer.error] == [], answer.error


def test_a_wrong_report_changes_nothing_of_what_was_right_in_it(desk: Desk) -> None:
    uuid = desk.create()["taskforces"][0]["taskforce_uuid"]
    desk.tms.post(PATH, {COMPOUND: {uuid: {"IDLE": {"null": 1}}}, TOP: {uuid: {"e": "1"}}}, status=400)

    assert seen(desk, uuid) == ({}, {})
