"""What do abort and finished do, in every phase of a taskforce?

Source: wms.md sections 4.5, 4.6, 8, 11, 21. Open, so that either is right: what a second call says (upstream's 404, or the
first answer again without any effect). Nothing may bring a stopped taskforce back (19.4).
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import DEACTIVATIONS, stopped, was_over
from compat.exact import Json, check
from compat.parties import Desk
from compat.samples import request, task
from compat.wms_shapes import Deactivated

ACTIONS = sorted(DEACTIVATIONS)


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("phase", ["pending-starter", "condor-submit"])
def test_a_taskforce_that_waits_or_runs_is_to_be_stopped(desk: Desk, phase: str, action: str) -> None:
    before = desk.bring_to(phase)

    assert desk.deactivate(before["workflow_id"], action) == 1

    after = desk.taskforce(before["taskforce_uuid"])
    assert after == {**before, "phase": "pending-stopper", "phase_change_log": after["phase_change_log"]}
    assert desk.dialect.read_log(after) == [*desk.dialect.read_log(before), stopped(action)]
    assert desk.to_start("SCHEDD1") is None
    assert desk.to_stop("SCHEDD1") == (after if phase == "condor-submit" else None)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("report", ["condor-rm", "condor-complete"])
def test_a_taskforce_that_is_over_is_left_and_its_log_says_so(desk: Desk, report: str, action: str) -> None:
    running = desk.bring_to("condor-submit")
    uuid = running["taskforce_uuid"]
    if report == "condor-rm":
        desk.confirm_removal(uuid)
    else:
        desk.confirm_complete(uuid)
    before = desk.taskforce(uuid)

    assert desk.deactivate(before["workflow_id"], action) == 0

    after = desk.taskforce(uuid)
    assert after["phase"] == report
    assert desk.dialect.read_log(after) == [*desk.dialect.read_log(before), was_over(action)]
    assert desk.workflow(before["workflow_id"])["deactivated"] == DEACTIVATIONS[action]
    assert desk.to_stop("SCHEDD1") is None


@pytest.mark.parametrize("action", ACTIONS)
def test_a_workflow_can_be_ended_as_soon_as_it_is_there_and_stays_ended(desk: Desk, action: str) -> None:
    created = [desk.create() for _ in range(5)]
    for one in created:
        assert desk.deactivate(one["workflow"]["workflow_id"], action) == 1
    ended = [desk.taskforce(one["taskforces"][0]["taskforce_uuid"]) for one in created]
    for _ in range(2):
        desk.ready()  # so the daemons have been round since

    for before in ended:
        assert desk.taskforce(before["taskforce_uuid"]) == before
        log = desk.dialect.read_log(before)
        assert before["phase"] == "pending-stopper"
        assert log[-1] == stopped(action)
        assert log[:-1] == desk.dialect.offered_log[: len(log) - 1]
    assert desk.to_stop("SCHEDD1") is None


@pytest.mark.parametrize("action", ACTIONS)
def test_each_taskforce_of_a_workflow_is_stopped_or_left_by_itself(desk: Desk, action: str) -> None:
    tasks = [task(n_workers=number) for number in range(1, 5)]
    created = desk.create(request(*tasks))
    waiting, running, removed, done = (one["taskforce_uuid"] for one in desk.ready_all(created["taskforces"]))
    for uuid in (running, removed, done):
        desk.confirm_submit(uuid)
    desk.confirm_removal(removed)
    desk.confirm_complete(done)

    assert desk.deactivate(created["workflow"]["workflow_id"], action) == 2

    ends = {uuid: (desk.taskforce(uuid)["phase"], desk.log(uuid)[-1]) for uuid in (waiting, running, removed, done)}
    assert ends == {
        waiting: ("pending-stopper", stopped(action)),
        running: ("pending-stopper", stopped(action)),
        removed: ("condor-rm", was_over(action)),
        done: ("condor-complete", was_over(action)),
    }
    for uuid in ends:
        assert len([entry for entry in desk.log(uuid) if entry[0] == "pending-stopper"]) == 1


def test_workers_that_were_added_are_stopped_too(desk: Desk) -> None:
    running = desk.bring_to("condor-submit")
    added = desk.add_workers(running["task_id"], "test-beta", 2)

    assert desk.deactivate(running["workflow_id"], "finished") == 2

    assert desk.taskforce(added["taskforce_uuid"])["phase"] == "pending-stopper"


@pytest.mark.parametrize("first", ACTIONS)
@pytest.mark.parametrize("second", ACTIONS)
@pytest.mark.parametrize("phase", ["pending-starter", "pending-stopper", "condor-rm", "condor-complete"])
def test_a_workflow_is_ended_once(desk: Desk, phase: str, first: str, second: str) -> None:
    taskforce = desk.bring_to(phase if phase in {"pending-starter", "condor-complete"} else "condor-submit")
    workflow_id, uuid = taskforce["workflow_id"], taskforce["taskforce_uuid"]
    desk.deactivate(workflow_id, first)
    if phase == "condor-rm":
        desk.confirm_removal(uuid)
    before = (desk.workflow(workflow_id), desk.taskforce(uuid))
    assert before[0]["deactivated"] == DEACTIVATIONS[first]

    answer = desk.user.post(f"/workflows/{workflow_id}/actions/{second}", status={200, 404})

    if answer.status == 404:
        assert answer.error == f"no non-deactivated workflow found with workflow_id='{workflow_id}'"
    else:
        assert check(answer.body, Deactivated).workflow_id == workflow_id
    assert (desk.workflow(workflow_id), desk.taskforce(uuid)) == before


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("body", [None, {"reason": "x"}, {"workflow_id": "WF-1"}])
def test_what_is_sent_with_it_is_ignored(desk: Desk, action: str, body: Json | None) -> None:
    workflow_id = desk.create()["workflow"]["workflow_id"]

    answer = desk.user.post(f"/workflows/{workflow_id}/actions/{action}", body)

    assert answer.body == {"workflow_id": workflow_id, "n_taskforces": 1}


@pytest.mark.parametrize("action", ACTIONS)
def test_no_body_is_needed(desk: Desk, action: str) -> None:
    workflow_id = desk.create()["workflow"]["workflow_id"]

    answer = desk.user.call("POST", f"/workflows/{workflow_id}/actions/{action}", status=200)

    assert answer.body == {"workflow_id": workflow_id, "n_taskforces": 1}


def test_queues_outlive_the_workflow(desk: Desk) -> None:
    stopping = desk.bring_to("pending-stopper")

    profiles = desk.public_profiles(stopping["workflow_id"])

    assert sorted(one["alias"] for one in profiles) == ["in", "out"]
    assert all(one["is_activated"] for one in profiles)
