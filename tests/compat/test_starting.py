"""What is a starter given, in which order, and how often?

Source: wms.md sections 4.13, 4.14, 13, 17 (`/v0`: the bare taskforce; `collector` filters too), tms.md section 3. Open, so
that either is right: a missing `collector` on `/v0`, whether `/v0` orders by the worker's priority or by the workflow's (the
two agree here), how often two equal reports of failure in a row count.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import SUBMITTED, submit_failed
from compat.exact import Json
from compat.parties import Desk
from compat.samples import request, task, worker_config


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def prepare(desk: Desk, *priorities: int) -> list[Json]:
    """Taskforces that are ready to start, oldest first; `/v0` took the worker's priority for the order, so it says the same."""
    ready = []
    for priority in priorities:
        config = worker_config(priority=priority if desk.version == "v0" else 100 - priority)
        created = desk.create(request(task(worker_config=config), priority=priority))
        ready += desk.ready_all(created["taskforces"])
    return ready


def offered_uuid(desk: Desk, schedd: str = "SCHEDD1") -> str | None:
    offered = desk.to_start(schedd)
    return None if offered is None else str(offered["taskforce_uuid"])


def test_the_offer_has_the_form_of_its_version(desk: Desk) -> None:
    body = request(task(input_queue_aliases=["a", "b"], output_queue_aliases=["b", "c"]), public_queue_aliases=["a"])
    created = desk.create(body)
    (ready,), (directive,) = desk.ready_all(created["taskforces"]), created["task_directives"]

    offer = desk.ask_for("pending-starter", "SCHEDD1")

    assert offer is not None
    if desk.version == "v0":
        assert offer == ready
        return
    mqids = {*directive["input_queues"], *directive["output_queues"]}
    profiles = sorted(offer.pop("mqprofiles"), key=lambda one: str(one["mqid"]))
    assert offer == {"taskforce": ready, "task_directive": directive}
    assert profiles == [desk.profile(mqid) for mqid in sorted(mqids)]
    assert {one["alias"]: one["is_activated"] for one in profiles} == {"a": True, "b": True, "c": True}


def test_asking_changes_nothing(desk: Desk) -> None:
    (ready,) = prepare(desk, 50)

    offers = [desk.to_start("SCHEDD1") for _ in range(3)]

    assert offers == [ready] * 3
    assert desk.taskforce(ready["taskforce_uuid"]) == ready


def test_a_starter_is_given_what_is_for_its_schedd(desk: Desk) -> None:
    created = desk.create(request(task(cluster_locations=["test-alpha", "test-beta"])))
    alpha, beta = desk.ready_all(created["taskforces"])

    assert offered_uuid(desk, "SCHEDD1") == alpha["taskforce_uuid"]
    assert offered_uuid(desk, "SCHEDD2") == beta["taskforce_uuid"]
    assert offered_uuid(desk, "SCHEDD3") is None


@pytest.mark.parametrize("what", ["pending-starter", "pending-stopper"])
def test_a_collector_filters_on_v0_and_is_ignored_on_v1(desk: Desk, what: str) -> None:
    taskforce = desk.bring_to(what)
    path = f"/tms/{what}/taskforces"

    fitting = desk.tms.get(path, {"schedd": "SCHEDD1", "collector": "COLLECTOR1"})
    other = desk.tms.get(path, {"schedd": "SCHEDD1", "collector": "COLLECTOR2"})

    assert taskforce["taskforce_uuid"].encode() in fitting.raw
    assert other.body == ({} if desk.version == "v0" else fitting.body)


@pytest.mark.parametrize("what", ["pending-starter", "pending-stopper"])
def test_the_schedd_must_be_named(desk: Desk, what: str) -> None:
    path = f"/tms/{what}/taskforces"
    for query in ({}, {"schedd": ""}, {"collector": "COLLECTOR1"}, {"schedd": "", "collector": "COLLECTOR1"}):
        assert "schedd" in desk.tms.get(path, query, status=400).error

    answer = desk.tms.get(path, {"schedd": "SCHEDD1"}, status=200 if desk.version == "v1" else {200, 400})
    if answer.status == 400:
        assert "collector" in answer.error


def test_a_higher_priority_goes_first_then_the_older(desk: Desk) -> None:
    low, middle, high, also_high = (one["taskforce_uuid"] for one in prepare(desk, 10, 50, 90, 90))

    order = []
    for _ in range(4):
        uuid = offered_uuid(desk)
        assert uuid is not None
        desk.confirm_submit(uuid)
        order.append(uuid)

    assert order == [high, also_high, middle, low]
    assert offered_uuid(desk) is None


def test_among_equals_the_one_that_failed_less_goes_first(desk: Desk) -> None:
    older, younger = (one["taskforce_uuid"] for one in prepare(desk, 50, 50))
    assert offered_uuid(desk) == older

    desk.fail_submit(older, "first")
    assert offered_uuid(desk) == younger
    desk.fail_submit(younger, "first")
    assert offered_uuid(desk) == older


def test_a_higher_priority_goes_first_although_it_failed(desk: Desk) -> None:
    _, high = prepare(desk, 10, 90)
    desk.fail_submit(high["taskforce_uuid"], "once")

    assert offered_uuid(desk) == high["taskforce_uuid"]


def test_a_failed_submit_is_recorded_and_tried_again(desk: Desk) -> None:
    (ready,) = prepare(desk, 50)
    uuid = ready["taskforce_uuid"]

    desk.fail_submit(uuid, "no space: <left> on\ndevice süd")

    after = desk.taskforce(uuid)
    assert after == {**ready, "phase_change_log": after["phase_change_log"]}
    assert desk.dialect.read_log(after)[-1] == submit_failed("no space: <left> on\ndevice süd")
    assert desk.to_start("SCHEDD1") == after
    desk.confirm_submit(uuid)
    assert desk.log(uuid)[-1] == SUBMITTED


def test_after_three_failures_it_is_offered_no_more(desk: Desk) -> None:
    (ready,) = prepare(desk, 50)
    uuid = ready["taskforce_uuid"]
    for _ in range(3):
        assert offered_uuid(desk) == uuid
        desk.fail_submit(uuid, "the same each time")

    assert offered_uuid(desk) is None
    after = desk.taskforce(uuid)
    assert after["phase"] == "pending-starter"
    assert desk.dialect.read_log(after)[-3:] == [submit_failed("the same each time")] * 3


def test_the_ones_that_failed_too_often_do_not_stand_in_the_way(desk: Desk) -> None:
    stuck, other = prepare(desk, 90, 10)
    for _ in range(3):
        desk.fail_submit(stuck["taskforce_uuid"], "again")

    assert offered_uuid(desk) == other["taskforce_uuid"]


def test_what_failed_too_often_can_still_be_confirmed_and_stopped(desk: Desk) -> None:
    first, second = prepare(desk, 50, 50)
    for one in (first, second):
        for _ in range(3):
            desk.fail_submit(one["taskforce_uuid"], "again")

    desk.confirm_submit(first["taskforce_uuid"])
    assert desk.deactivate(second["workflow_id"], "abort") == 1

    assert desk.taskforce(first["taskforce_uuid"])["phase"] == "condor-submit"
    assert desk.taskforce(second["taskforce_uuid"])["phase"] == "pending-stopper"


def test_a_failed_submit_may_come_without_a_text(desk: Desk) -> None:
    (ready,) = prepare(desk, 50)
    uuid = ready["taskforce_uuid"]

    assert desk.tms.post(f"/tms/condor-submit/taskforces/{uuid}/failed", {}).body == {"taskforce_uuid": uuid}

    target, was_successful, source, text = desk.log(uuid)[-1]
    assert (target, was_successful, source) == ("condor-submit", False, "TMS")
    assert text.startswith("ERROR:")


def test_a_user_may_look_at_what_is_to_start(desk: Desk) -> None:
    (ready,) = prepare(desk, 50)

    for caller in (desk.user, desk.stranger):
        offer = desk.ask_for("pending-starter", "SCHEDD1", caller=caller)
        assert offer is not None
        taskforce = offer if desk.version == "v0" else offer["taskforce"]
        assert taskforce["taskforce_uuid"] == ready["taskforce_uuid"]
