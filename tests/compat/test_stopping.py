"""What is a stopper given, in which order, and how often?

Source: wms.md sections 4.15, 4.16, 8, 19.9. A failed removal comes as `{}` from the real TMS.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import remove_failed
from compat.exact import Json
from compat.parties import Desk
from compat.samples import request, task


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def prepare(desk: Desk, count: int) -> list[Json]:
    """Taskforces with clusters, of workflows that were aborted youngest first; oldest first."""
    created = [desk.create(request(task(), priority=1 + number)) for number in range(count)]
    for one in created:
        (taskforce,) = desk.ready_all(one["taskforces"])
        desk.confirm_submit(taskforce["taskforce_uuid"])
    for one in reversed(created):
        assert desk.deactivate(one["workflow"]["workflow_id"], "abort") == 1
    return [desk.taskforce(one["taskforces"][0]["taskforce_uuid"]) for one in created]


def test_the_older_is_stopped_first_whatever_its_priority(desk: Desk) -> None:
    stopping = prepare(desk, 3)

    given = []
    for _ in stopping:
        one = desk.to_stop("SCHEDD1")
        assert one is not None
        desk.confirm_removal(one["taskforce_uuid"])
        given.append(one)

    assert given == stopping
    assert desk.to_stop("SCHEDD1") is None


def test_asking_changes_nothing(desk: Desk) -> None:
    (stopping,) = prepare(desk, 1)

    assert [desk.to_stop("SCHEDD1") for _ in range(3)] == [stopping] * 3
    assert desk.taskforce(stopping["taskforce_uuid"]) == stopping


def test_what_never_had_a_cluster_is_never_given_to_a_stopper(desk: Desk) -> None:
    ready = desk.ready()
    desk.deactivate(ready["workflow_id"], "abort")

    assert desk.to_stop("SCHEDD1") is None
    assert desk.taskforce(ready["taskforce_uuid"])["phase"] == "pending-stopper"


def test_after_three_failures_it_is_given_no_more(desk: Desk) -> None:
    first, second = prepare(desk, 2)
    uuid = first["taskforce_uuid"]
    for _ in range(3):
        given = desk.to_stop("SCHEDD1")
        assert given is not None
        assert given["taskforce_uuid"] == uuid
        desk.fail_removal(uuid)

    assert desk.to_stop("SCHEDD1") == second
    after = desk.taskforce(uuid)
    assert after["phase"] == "pending-stopper"
    assert [entry[:3] for entry in desk.dialect.read_log(after)[-3:]] == [("condor-rm", False, "TMS")] * 3


def test_a_failed_removal_is_recorded_and_tried_again(desk: Desk) -> None:
    (stopping,) = prepare(desk, 1)
    uuid = stopping["taskforce_uuid"]

    desk.fail_removal(uuid, "schedd: no answer")

    after = desk.taskforce(uuid)
    assert desk.dialect.read_log(after) == [*desk.dialect.read_log(stopping), remove_failed("schedd: no answer")]
    assert desk.to_stop("SCHEDD1") == after
    desk.confirm_removal(uuid)
    assert desk.to_stop("SCHEDD1") is None


def test_an_older_one_that_failed_still_goes_first(desk: Desk) -> None:
    first, _ = prepare(desk, 2)
    desk.fail_removal(first["taskforce_uuid"], "once")

    given = desk.to_stop("SCHEDD1")

    assert given is not None
    assert given["taskforce_uuid"] == first["taskforce_uuid"]


def test_what_failed_too_often_can_still_be_confirmed(desk: Desk) -> None:
    (stopping,) = prepare(desk, 1)
    uuid = stopping["taskforce_uuid"]
    for _ in range(3):
        desk.fail_removal(uuid)

    desk.confirm_removal(uuid)
    desk.confirm_complete(uuid)

    assert desk.taskforce(uuid)["phase"] == "condor-complete"


def test_the_body_of_a_confirmed_removal_may_be_missing(desk: Desk) -> None:
    (stopping,) = prepare(desk, 1)
    uuid = stopping["taskforce_uuid"]

    answer = desk.tms.call("POST", f"/tms/condor-rm/taskforces/{uuid}", status=200)

    assert answer.body == {"taskforce_uuid": uuid}
    assert desk.taskforce(uuid)["phase"] == "condor-rm"


def test_a_user_may_look_at_what_is_to_stop(desk: Desk) -> None:
    (stopping,) = prepare(desk, 1)

    for caller in (desk.user, desk.stranger):
        given = desk.ask_for("pending-stopper", "SCHEDD1", caller=caller)
        assert given is not None
        assert given["taskforce_uuid"] == stopping["taskforce_uuid"]
