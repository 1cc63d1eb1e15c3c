"""Does every POST do no harm when it arrives twice, as the clients' retries make it do?

Source: wms.md section 2.5, tms.md sections 3 and 12, the issue's item 7: without a key, two creations make two objects;
confirmations and reports change nothing the second time. Open, so that either is right: whether the second of a submit's
confirmation is a 200 or upstream's 404, that of an abort or finish likewise (test_deactivation), whether the second of two
equal failures in a row counts.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import remove_failed, submit_failed
from compat.parties import Desk
from compat.samples import request, submit_report, unknown_ids


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def test_two_requests_for_a_workflow_make_two(desk: Desk) -> None:
    body = request()

    first, second = desk.create(body), desk.create(body)

    assert first["workflow"]["workflow_id"] != second["workflow"]["workflow_id"]
    desk.ready_all([*first["taskforces"], *second["taskforces"]])


def test_two_requests_for_more_workers_make_two_taskforces(desk: Desk) -> None:
    running = desk.bring_to("condor-submit")

    added = [desk.add_workers(running["task_id"], "test-alpha", 1)["taskforce_uuid"] for _ in range(2)]

    found = desk.find("taskforces", {"task_id": running["task_id"]})
    assert [one["taskforce_uuid"] for one in found] == [running["taskforce_uuid"], *added]


def test_a_confirmed_submit_is_confirmed_once(desk: Desk) -> None:
    uuid = desk.ready()["taskforce_uuid"]
    report = desk.confirm_submit(uuid)
    before = desk.taskforce(uuid)

    again = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", report, status={200, 404})

    if again.status == 404:
        assert again.error == f"no 'pending-starter' taskforce found with uuid: {uuid}"
    else:
        assert again.body == {"taskforce_uuid": uuid}
    assert desk.taskforce(uuid) == before


def test_a_failed_submit_counts_once_or_twice(desk: Desk) -> None:
    ready = desk.ready()
    uuid = ready["taskforce_uuid"]

    for _ in range(2):
        desk.fail_submit(uuid, "no room")

    after = desk.taskforce(uuid)
    new = desk.dialect.read_log(after)[len(ready["phase_change_log"]) :]
    assert new in ([submit_failed("no room")], [submit_failed("no room")] * 2)
    assert desk.to_start("SCHEDD1") == after


def test_a_confirmed_removal_is_recorded_once(desk: Desk) -> None:
    uuid = desk.bring_to("pending-stopper")["taskforce_uuid"]
    desk.confirm_removal(uuid)
    before = desk.taskforce(uuid)

    desk.confirm_removal(uuid)

    assert desk.taskforce(uuid) == before


def test_a_failed_removal_counts_once_or_twice(desk: Desk) -> None:
    stopping = desk.bring_to("pending-stopper")
    uuid = stopping["taskforce_uuid"]

    for _ in range(2):
        desk.fail_removal(uuid, "no answer")

    after = desk.taskforce(uuid)
    new = desk.dialect.read_log(after)[len(stopping["phase_change_log"]) :]
    assert new in ([remove_failed("no answer")], [remove_failed("no answer")] * 2)
    assert desk.to_stop("SCHEDD1") == after


def test_an_end_is_recorded_once(desk: Desk) -> None:
    uuid = desk.bring_to("condor-submit")["taskforce_uuid"]
    desk.confirm_complete(uuid, ended_at=1_790_000_001)
    before = desk.taskforce(uuid)

    desk.confirm_complete(uuid, ended_at=1_790_000_001)

    assert desk.taskforce(uuid) == before


def test_an_end_at_another_time_is_taken_and_changes_no_phase(desk: Desk) -> None:
    uuid = desk.bring_to("condor-submit")["taskforce_uuid"]
    desk.confirm_complete(uuid, ended_at=1_790_000_001)
    before = desk.taskforce(uuid)

    desk.confirm_complete(uuid, ended_at=1_790_000_002)

    after = desk.taskforce(uuid)
    assert after == {**before, "phase_change_log": after["phase_change_log"]}
    assert after["phase_change_log"][: len(before["phase_change_log"])] == before["phase_change_log"]


def test_a_report_of_statuses_says_the_same_twice(desk: Desk) -> None:
    uuid, unknown = desk.create()["taskforces"][0]["taskforce_uuid"], unknown_ids()["taskforce_uuid"]
    body = {
        "compound_statuses_by_taskforce": {uuid: {"RUNNING": {"Tasking": 1}}, unknown: {}},
        "top_task_errors_by_taskforce": {uuid: {"e": 1}},
    }
    first = desk.tms.post("/tms/statuses/taskforces", body, status=207)
    ready = desk.wait_for_phase(uuid, "pending-starter")

    second = desk.tms.post("/tms/statuses/taskforces", body, status=207)

    assert second.body == first.body
    assert desk.taskforce(uuid) == ready


def test_an_abort_and_a_finish_end_a_workflow_once(desk: Desk) -> None:
    for action in ("abort", "finished"):
        running = desk.bring_to("condor-submit")
        workflow_id, uuid = running["workflow_id"], running["taskforce_uuid"]
        assert desk.deactivate(workflow_id, action) == 1
        before = (desk.workflow(workflow_id), desk.taskforce(uuid))

        desk.user.post(f"/workflows/{workflow_id}/actions/{action}", status={200, 404})

        assert (desk.workflow(workflow_id), desk.taskforce(uuid)) == before
        desk.confirm_removal(uuid)


def test_a_query_says_the_same_twice(desk: Desk) -> None:
    desk.ready_all(desk.create()["taskforces"])

    for kind in ("workflows", "task-directives", "taskforces"):
        body = {"query": {"timestamp": {"$gt": 0}}, "projection": ["workflow_id"]}
        first, second = (desk.user.post(f"/query/{kind}", body) for _ in range(2))
        assert second.body == first.body


def test_a_reservation_is_made_once(desk: Desk) -> None:
    workflow_id = unknown_ids()["workflow_id"]

    first, second = (desk.reserve(workflow_id, ["a", "b"], ["a"]) for _ in range(2))

    assert second == first
    assert [desk.profile(one["mqid"]) for one in first["mqprofiles"]] == first["mqprofiles"]


def test_an_activation_may_be_repeated(desk: Desk) -> None:
    workflow_id = unknown_ids()["workflow_id"]
    reserved = desk.reserve(workflow_id, ["a", "b"], ["a"])

    for _ in range(2):
        activated = desk.activate(workflow_id, priority=3)
        assert activated["mqgroup"] == {**reserved["mqgroup"], "criteria": {"priority": 3}}
        assert [one["mqid"] for one in activated["mqprofiles"]] == [one["mqid"] for one in reserved["mqprofiles"]]
        assert [one["is_activated"] for one in activated["mqprofiles"]] == [True, True]


def test_a_whole_life_of_doubled_posts_is_one_life(desk: Desk) -> None:
    created = desk.create()
    (ready,) = desk.ready_all(created["taskforces"])
    uuid, workflow_id = ready["taskforce_uuid"], ready["workflow_id"]
    steps = [
        (desk.tms, f"/tms/condor-submit/taskforces/{uuid}", submit_report()),
        (desk.tms, "/tms/statuses/taskforces", {"compound_statuses_by_taskforce": {uuid: {"IDLE": {"null": 3}}}}),
        (desk.user, f"/workflows/{workflow_id}/actions/finished", {}),
        (desk.tms, f"/tms/condor-rm/taskforces/{uuid}", {}),
        (desk.tms, f"/tms/condor-complete/taskforces/{uuid}", {"condor_complete_ts": 1_790_000_001}),
    ]

    for caller, path, body in steps:
        caller.post(path, body)
        caller.post(path, body, status={200, 404})

    targets = [entry[0] for entry in desk.log(uuid)]
    assert targets == [
        "pre-mq-activation",
        "pre-launch",
        "pending-starter",
        "condor-submit",
        "pending-stopper",
        "condor-rm",
        "condor-complete",
    ]
