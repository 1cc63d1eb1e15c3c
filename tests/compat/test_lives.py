"""Does a taskforce live as the table says, from its creation to its end, with one log entry a step?

Source: wms.md section 8 (the table and the facts below it), sections 4.13 to 4.18, 9, 17; tms.md section 3.1.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import (
    ACTIVATED,
    COMPLETED,
    DEACTIVATIONS,
    LAUNCHED,
    REMOVED,
    SUBMITTED,
    stopped,
    was_over,
)
from compat.parties import Desk
from compat.samples import request, submit_report, task


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def test_a_new_workflow_is_made_ready_to_start_by_itself(desk: Desk) -> None:
    created = desk.create()
    (taskforce,) = created["taskforces"]
    assert taskforce["phase"] == "pre-mq-activation"

    ready = desk.wait_for_phase(taskforce["taskforce_uuid"], "pending-starter")

    assert desk.dialect.read_log(ready) == [desk.dialect.created, ACTIVATED, LAUNCHED]
    assert desk.group(taskforce["workflow_id"])["criteria"] == {"priority": created["workflow"]["priority"]}
    profiles = desk.public_profiles(taskforce["workflow_id"])
    assert {one["alias"]: one["is_activated"] for one in profiles} == {"in": True, "out": True}
    workflow = desk.workflow(taskforce["workflow_id"])
    assert workflow["deactivated"] is None
    if desk.version == "v0":
        assert workflow["mq_activated_ts"] >= workflow["timestamp"]
        assert workflow["_mq_activation_retry_at_ts"] is None


def test_a_life_without_a_user_s_hand_leaves_the_workflow_active(desk: Desk) -> None:
    ready = desk.ready()
    uuid = ready["taskforce_uuid"]
    offered = desk.to_start("SCHEDD1")
    assert offered == ready

    report = desk.confirm_submit(uuid, n_workers=2)
    submitted = desk.taskforce(uuid)
    assert desk.to_start("SCHEDD1") is None
    desk.confirm_complete(uuid, ended_at=1_790_000_123)
    ended = desk.taskforce(uuid)

    assert {name: submitted[name] for name in report} == report
    assert submitted["phase"] == "condor-submit"
    assert ended == {
        **submitted,
        "phase": "condor-complete",
        "phase_change_log": ended["phase_change_log"],
    }
    assert desk.dialect.read_log(ended) == [*desk.dialect.offered_log, SUBMITTED, COMPLETED]
    assert ended["phase_change_log"][-1]["source_event_time"] == 1_790_000_123
    assert desk.workflow(ready["workflow_id"])["deactivated"] is None


@pytest.mark.parametrize("action", sorted(DEACTIVATIONS))
def test_a_life_ended_by_its_user_is_stopped_removed_and_complete(desk: Desk, action: str) -> None:
    ready = desk.ready()
    uuid = ready["taskforce_uuid"]
    desk.confirm_submit(uuid)
    assert desk.to_stop("SCHEDD1") is None

    assert desk.deactivate(ready["workflow_id"], action) == 1
    stopping = desk.taskforce(uuid)
    assert desk.to_stop("SCHEDD1") == stopping
    assert desk.to_stop("SCHEDD2") is None
    desk.confirm_removal(uuid)
    removed = desk.taskforce(uuid)
    assert desk.to_stop("SCHEDD1") is None
    desk.confirm_complete(uuid)
    ended = desk.taskforce(uuid)

    assert [one["phase"] for one in (stopping, removed, ended)] == ["pending-stopper", "condor-rm", "condor-complete"]
    log = [*desk.dialect.offered_log, SUBMITTED, stopped(action), REMOVED, COMPLETED]
    assert desk.dialect.read_log(stopping) == log[:-2]
    assert desk.dialect.read_log(removed) == log[:-1]
    assert desk.dialect.read_log(ended) == log
    workflow = desk.workflow(ready["workflow_id"])
    assert workflow["deactivated"] == DEACTIVATIONS[action]
    assert workflow["deactivated_ts"] >= workflow["timestamp"]


def test_a_cluster_may_end_before_its_stopper_comes(desk: Desk) -> None:
    stopping = desk.bring_to("pending-stopper")
    uuid = stopping["taskforce_uuid"]

    desk.confirm_complete(uuid)

    ended = desk.taskforce(uuid)
    assert ended["phase"] == "condor-complete"
    assert desk.dialect.read_log(ended)[-2:] == [stopped("abort"), COMPLETED]
    assert desk.to_stop("SCHEDD1") is None


def test_a_workflow_whose_work_is_all_done_can_still_be_finished(desk: Desk) -> None:
    ended = desk.bring_to("condor-complete")
    uuid = ended["taskforce_uuid"]

    assert desk.deactivate(ended["workflow_id"], "finished") == 0

    after = desk.taskforce(uuid)
    assert after["phase"] == "condor-complete"
    assert desk.dialect.read_log(after) == [*desk.dialect.read_log(ended), was_over("finished")]
    assert desk.workflow(ended["workflow_id"])["deactivated"] == "FINISHED"


def test_every_access_point_serves_its_own_part_of_a_workflow(desk: Desk) -> None:
    tasks = [
        task(task_args="first", cluster_locations=["test-alpha", "test-beta"]),
        task(task_args="second", cluster_locations=["test-beta"]),
    ]
    created = desk.create(request(*tasks))
    ready = desk.ready_all(created["taskforces"])

    started: dict[str, set[str]] = {}
    for schedd in ("SCHEDD1", "SCHEDD2"):
        while (offer := desk.to_start(schedd)) is not None:
            assert desk.taskforce(offer["taskforce_uuid"])["phase"] == "pending-starter"
            desk.confirm_submit(offer["taskforce_uuid"])
            started.setdefault(schedd, set()).add(offer["taskforce_uuid"])
    assert started == {
        schedd: {one["taskforce_uuid"] for one in ready if one["schedd"] == schedd} for schedd in ("SCHEDD1", "SCHEDD2")
    }

    assert desk.deactivate(created["workflow"]["workflow_id"], "finished") == 3
    stopped_at: dict[str, set[str]] = {}
    for schedd in ("SCHEDD1", "SCHEDD2"):
        while (stopping := desk.to_stop(schedd)) is not None:
            desk.confirm_removal(stopping["taskforce_uuid"])
            stopped_at.setdefault(schedd, set()).add(stopping["taskforce_uuid"])
    assert stopped_at == started

    for one in ready:
        desk.confirm_complete(one["taskforce_uuid"])
    found = desk.find("taskforces", {"workflow_id": created["workflow"]["workflow_id"]})
    assert {one["phase"] for one in found} == {"condor-complete"}


def test_many_workflows_at_once_are_all_made_ready(desk: Desk) -> None:
    created = [desk.create(request(task(task_args=str(number)), priority=1 + number)) for number in range(20)]

    for one in created:
        (taskforce,) = desk.ready_all(one["taskforces"])
        assert desk.dialect.read_log(taskforce) == desk.dialect.offered_log


def test_a_confirmed_submit_shows_what_was_reported(desk: Desk) -> None:
    uuid = desk.ready(n_workers=9)["taskforce_uuid"]
    report = submit_report(
        cluster_id=2**31 - 1,
        n_workers=4,
        submit_dict={"a.b": "c", "$d": 5, "": "", "+EWMS": '"x"', "süd": "<b>", "n": -1},
        job_event_log_fpath="/scratch/süd/2026-11-29.tms.jel",
    )

    desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", report)

    taskforce = desk.taskforce(uuid)
    assert {name: taskforce[name] for name in report} == report


def test_a_confirmation_takes_four_fields_of_the_whole_taskforce_and_leaves_the_rest(desk: Desk) -> None:
    ready = desk.ready()
    uuid = ready["taskforce_uuid"]
    report = {**ready, **submit_report(), "phase": "condor-complete", "top_task_errors": {"made up": 1}}

    desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", report)

    after = desk.taskforce(uuid)
    assert (after["phase"], after["top_task_errors"]) == ("condor-submit", {})
    assert desk.dialect.read_log(after) == [*desk.dialect.offered_log, SUBMITTED]
