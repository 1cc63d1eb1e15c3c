"""Which reports of a TMS are refused, and does the refusal name everything that is wrong with them?

Source: wms.md sections 2.3, 4.14, 4.16, 4.18, 21 ("a 4xx to the TMS ends its process, so TMS routes should be lenient");
tms.md section 3. Open: a failure reported without a body at all.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.parties import Desk
from compat.samples import submit_report, without

TF = "TF-6b0259da-962b1dcf-6713e685-1b7b398a"
SUBMIT, COMPLETE = f"/tms/condor-submit/taskforces/{TF}", f"/tms/condor-complete/taskforces/{TF}"


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def assert_refused(desk: Desk, path: str, body: Any, *names: str) -> None:
    answer = desk.tms.post(path, body, status=400)
    assert [name for name in names if name not in answer.error] == [], answer.error


@pytest.mark.parametrize("name", sorted(submit_report()))
def test_a_submit_is_confirmed_with_four_fields(desk: Desk, name: str) -> None:
    assert_refused(desk, SUBMIT, without(submit_report(), name), name)


def test_all_that_lacks_is_named_at_once(desk: Desk) -> None:
    assert_refused(desk, SUBMIT, {}, *submit_report())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cluster_id", ["5", 1.5, True, [], {}]),
        ("n_workers", ["5", 1.5, True, [], {}]),
        ("submit_dict", [None, [], "text", {"a": None}, {"a": 1.5}, {"a": True}, {"a": []}, {"a": {}}]),
        ("job_event_log_fpath", [None, 5, [], {}]),
    ],
)
def test_the_fields_of_a_submit_have_their_types(desk: Desk, name: str, values: list[Any]) -> None:
    for value in values:
        assert_refused(desk, SUBMIT, submit_report(**{name: value}), name)


def test_extra_fields_are_refused(desk: Desk) -> None:
    assert_refused(desk, SUBMIT, submit_report(nonsense_a=1, nonsense_b=2), "nonsense_a", "nonsense_b")
    assert_refused(desk, COMPLETE, {"condor_complete_ts": 1, "nonsense": 1}, "nonsense")


@pytest.mark.parametrize("value", [None, "1", 1.5, True, [], {}])
def test_an_end_has_a_whole_number_of_seconds(desk: Desk, value: Any) -> None:
    assert_refused(desk, COMPLETE, {"condor_complete_ts": value}, "condor_complete_ts")
    assert_refused(desk, COMPLETE, {}, "condor_complete_ts")


@pytest.mark.parametrize("value", [None, 5, [], {}])
@pytest.mark.parametrize("what", ["condor-submit", "condor-rm"])
def test_the_text_of_a_failure_is_a_string(desk: Desk, what: str, value: Any) -> None:
    assert_refused(desk, f"/tms/{what}/taskforces/{TF}/failed", {"error": value}, "error")


@pytest.mark.parametrize("path", [SUBMIT, COMPLETE, "/tms/statuses/taskforces"])
@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"null", b"5", b"\xff"], ids=ascii)
def test_a_body_that_is_no_object_is_refused(desk: Desk, path: str, data: bytes | None) -> None:
    desk.tms.call("POST", path, status=400, data=data)


@pytest.mark.parametrize("path", [SUBMIT, COMPLETE, "/tms/statuses/taskforces"])
def test_another_content_type_is_refused(desk: Desk, path: str) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        desk.tms.call("POST", path, status=400, data=b"{}", headers={"Content-Type": content_type})


@pytest.mark.parametrize("what", ["condor-submit", "condor-rm"])
def test_a_failure_without_a_body_is_no_failure_of_the_service(desk: Desk, what: str) -> None:
    uuid = desk.bring_to("pending-starter")["taskforce_uuid"]

    desk.tms.call("POST", f"/tms/{what}/taskforces/{uuid}/failed", status={200, 400})

    assert desk.taskforce(uuid)["phase"] == "pending-starter"


def test_whole_numbers_may_be_written_with_a_point(desk: Desk) -> None:
    uuid = desk.ready()["taskforce_uuid"]
    report = submit_report(cluster_id=77.0, n_workers=4.0)

    desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", report)
    desk.tms.post(f"/tms/condor-complete/taskforces/{uuid}", {"condor_complete_ts": 1.79e9})

    taskforce = desk.taskforce(uuid)
    assert (taskforce["cluster_id"], taskforce["n_workers"]) == (77, 4)
    assert taskforce["phase_change_log"][-1]["source_event_time"] == 1_790_000_000


def test_a_refused_report_changes_nothing(desk: Desk) -> None:
    before = desk.ready()
    uuid = before["taskforce_uuid"]

    assert_refused(desk, f"/tms/condor-submit/taskforces/{uuid}", submit_report(cluster_id="5"), "cluster_id")
    assert_refused(desk, f"/tms/condor-submit/taskforces/{uuid}/failed", {"error": 5}, "error")
    assert_refused(desk, f"/tms/condor-complete/taskforces/{uuid}", {"condor_complete_ts": "1"}, "condor_complete_ts")

    assert desk.taskforce(uuid) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster_id": 2**63},
        {"cluster_id": -1},
        {"n_workers": None},
        {"n_workers": 10**30},
        {"submit_dict": {"nul": "\0", "half": "\ud800", "": 10**30}},
        {"job_event_log_fpath": "nul \0"},
    ],
    ids=ascii,
)
def test_a_hard_value_is_taken_or_refused_but_no_failure_of_the_service(desk: Desk, changes: Any) -> None:
    uuid = desk.ready()["taskforce_uuid"]

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", submit_report(**changes), status={200, 400})

    phase = desk.taskforce(uuid)["phase"]
    assert phase == ("condor-submit" if answer.status == 200 else "pending-starter")


@pytest.mark.parametrize("error", ["", "nul \0", "half \ud800", "x" * 9_000, "</script>", "süd\r\nline"], ids=ascii)
def test_a_hard_text_of_a_failure_is_taken_or_refused(desk: Desk, error: str) -> None:
    before = desk.ready()
    uuid = before["taskforce_uuid"]

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}/failed", {"error": error}, status={200, 400})

    after = desk.dialect.read_log(desk.taskforce(uuid))
    assert len(after) == len(before["phase_change_log"]) + (answer.status == 200)
    if error.isprintable():
        assert answer.status == 200
        assert after[-1][3] == f"ERROR: {error}"
