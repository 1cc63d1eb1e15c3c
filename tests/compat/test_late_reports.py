"""What does a report do that comes in a phase where nobody waits for it?

Source: wms.md sections 4.14, 4.16, 4.18, 8, 21. Reports of removal and of an end are taken in every phase. Open, so that
either is right: a submit confirmed after an abort (404, or the cluster is remembered and stopped), a removal reported after
the end (recorded or not).
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import COMPLETED, REMOVED, remove_failed
from compat.parties import Desk
from compat.samples import submit_report

ALL = ["pending-starter", "condor-submit", "pending-stopper", "condor-rm", "condor-complete"]


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


@pytest.mark.parametrize("phase", ["pending-starter", "condor-submit", "pending-stopper"])
def test_a_removal_is_taken_in_every_earlier_phase(desk: Desk, phase: str) -> None:
    before = desk.bring_to(phase)
    uuid = before["taskforce_uuid"]

    desk.confirm_removal(uuid)

    after = desk.taskforce(uuid)
    assert after == {**before, "phase": "condor-rm", "phase_change_log": after["phase_change_log"]}
    assert desk.dialect.read_log(after) == [*desk.dialect.read_log(before), REMOVED]


@pytest.mark.parametrize("phase", ["pending-starter", "condor-submit", "pending-stopper", "condor-rm"])
def test_an_end_is_taken_in_every_earlier_phase(desk: Desk, phase: str) -> None:
    before = desk.bring_to(phase)
    uuid = before["taskforce_uuid"]

    desk.confirm_complete(uuid, ended_at=1_790_000_777)

    after = desk.taskforce(uuid)
    assert after == {**before, "phase": "condor-complete", "phase_change_log": after["phase_change_log"]}
    assert desk.dialect.read_log(after) == [*desk.dialect.read_log(before), COMPLETED]
    assert after["phase_change_log"][-1]["source_event_time"] == 1_790_000_777
    assert desk.to_start("SCHEDD1") is None
    assert desk.to_stop("SCHEDD1") is None


def test_a_removal_after_the_end_is_answered_and_at_most_recorded(desk: Desk) -> None:
    before = desk.bring_to("condor-complete")
    uuid = before["taskforce_uuid"]

    desk.confirm_removal(uuid)

    after = desk.taskforce(uuid)
    assert after["phase"] in {"condor-complete", "condor-rm"}
    log = desk.dialect.read_log(after)
    assert log[: len(before["phase_change_log"])] == desk.dialect.read_log(before)
    assert [entry[0] for entry in log[len(before["phase_change_log"]) :]] in ([], ["condor-rm"])
    assert desk.to_stop("SCHEDD1") is None


@pytest.mark.parametrize("phase", ALL)
@pytest.mark.parametrize("error", ["no such cluster: <1>", None])
def test_a_failed_removal_is_recorded_in_every_phase_and_changes_none(
    desk: Desk, phase: str, error: str | None
) -> None:
    before = desk.bring_to(phase)
    uuid = before["taskforce_uuid"]

    desk.fail_removal(uuid, error)

    after = desk.taskforce(uuid)
    assert after == {**before, "phase_change_log": after["phase_change_log"]}
    *earlier, last = desk.dialect.read_log(after)
    assert earlier == desk.dialect.read_log(before)
    assert last[:3] == ("condor-rm", False, "TMS")
    assert last[3].startswith("ERROR:")
    if error is not None:
        assert last == remove_failed(error)


@pytest.mark.parametrize("phase", ["condor-submit", "condor-rm", "condor-complete"])
def test_another_submit_of_what_is_submitted_is_refused(desk: Desk, phase: str) -> None:
    before = desk.bring_to(phase)
    uuid = before["taskforce_uuid"]

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", submit_report(cluster_id=77), status=404)

    assert answer.error == f"no 'pending-starter' taskforce found with uuid: {uuid}"
    assert desk.taskforce(uuid) == before


@pytest.mark.parametrize("phase", ["condor-submit", "condor-rm", "condor-complete"])
def test_a_failed_submit_of_what_is_submitted_is_refused(desk: Desk, phase: str) -> None:
    before = desk.bring_to(phase)
    uuid = before["taskforce_uuid"]

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}/failed", {"error": "late"}, status=404)

    assert answer.error == f"no 'pending-starter' taskforce found with uuid: {uuid}"
    assert desk.taskforce(uuid) == before


@pytest.mark.parametrize("action", ["abort", "finished"])
def test_a_submit_that_an_abort_overtook_is_refused_or_its_cluster_is_stopped(desk: Desk, action: str) -> None:
    ready = desk.ready()
    uuid = ready["taskforce_uuid"]
    desk.deactivate(ready["workflow_id"], action)
    before = desk.taskforce(uuid)
    report = submit_report()

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", report, status={200, 404})

    after = desk.taskforce(uuid)
    assert after["phase"] == "pending-stopper"
    if answer.status == 404:
        assert answer.error == f"no 'pending-starter' taskforce found with uuid: {uuid}"
        assert after == before
        assert desk.to_stop("SCHEDD1") is None
    else:
        assert answer.body == {"taskforce_uuid": uuid}
        assert {name: after[name] for name in report} == report
        assert desk.to_stop("SCHEDD1") == after
        desk.confirm_removal(uuid)
        assert desk.taskforce(uuid)["phase"] == "condor-rm"


def test_a_failed_submit_that_an_abort_overtook_changes_no_phase(desk: Desk) -> None:
    ready = desk.ready()
    uuid = ready["taskforce_uuid"]
    desk.deactivate(ready["workflow_id"], "abort")

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}/failed", {"error": "late"}, status={200, 404})

    if answer.status == 404:
        assert answer.error == f"no 'pending-starter' taskforce found with uuid: {uuid}"
    assert desk.taskforce(uuid)["phase"] == "pending-stopper"


def test_a_submit_before_it_was_offered_is_refused_or_late_enough(desk: Desk) -> None:
    (taskforce,) = desk.create()["taskforces"]
    uuid = taskforce["taskforce_uuid"]

    answer = desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}", submit_report(), status={200, 404})

    if answer.status == 404:
        assert answer.error == f"no 'pending-starter' taskforce found with uuid: {uuid}"
        assert desk.wait_for_phase(uuid, "pending-starter")["cluster_id"] is None
    else:
        assert desk.taskforce(uuid)["phase"] == "condor-submit"
