"""What does an activation change, and who sees it?

Source: mqs.md sections 4.4 to 4.7, 5, 8, 10, 11, 13. Open, so that either is right: absent `criteria` (taken as null, or a
400). Without a broker a profile is activated with its three connection fields null (the issue's item 4).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.exact import Json, check
from compat.mqs_shapes import PublicProfiles, Reserved
from compat.parties import Desk
from compat.samples import request, task, unknown_ids, without

CONNECTION = ("auth_token", "broker_type", "broker_address")


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


@pytest.fixture
def workflow_id() -> str:
    return unknown_ids()["workflow_id"]


def bare(profile: Json) -> Json:
    return without(profile, *CONNECTION)


def test_every_profile_is_activated_and_the_group_remembers_the_criteria(desk: Desk, workflow_id: str) -> None:
    reserved = desk.reserve(workflow_id, ["c", "a", "b"], ["a"])

    activated = desk.activate(workflow_id, priority=77)

    assert activated["mqgroup"] == {**reserved["mqgroup"], "criteria": {"priority": 77}}
    assert [bare(one) for one in activated["mqprofiles"]] == [
        {**bare(one), "is_activated": True} for one in reserved["mqprofiles"]
    ]
    assert desk.group(workflow_id) == activated["mqgroup"]
    assert [desk.profile(one["mqid"]) for one in activated["mqprofiles"]] == activated["mqprofiles"]


def test_a_profile_has_its_whole_connection_or_none_of_it(desk: Desk, workflow_id: str) -> None:
    desk.reserve(workflow_id, ["a", "b"], ["a"])

    connections = [tuple(one[name] for name in CONNECTION) for one in desk.activate(workflow_id)["mqprofiles"]]

    assert connections == [(None, None, None)] * 2 or all(map(all, connections))


def test_a_second_activation_replaces_the_criteria(desk: Desk, workflow_id: str) -> None:
    desk.reserve(workflow_id, ["a"], [])
    desk.activate(workflow_id, priority=1)

    assert desk.activate(workflow_id, priority=2)["mqgroup"]["criteria"] == {"priority": 2}
    after = desk.activate(workflow_id, priority=None)
    assert after["mqgroup"]["criteria"] is None
    assert after["mqprofiles"][0]["is_activated"]


@pytest.mark.parametrize("criteria", [{"priority": 9}, None, {"priority": 9.0}, {"priority": -1}, {"priority": 0}])
def test_criteria_are_a_priority_or_null(desk: Desk, workflow_id: str, criteria: Json | None) -> None:
    desk.reserve(workflow_id, ["a"], [])

    answer = desk.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/activation", {"criteria": criteria})

    check(answer.body, Reserved)
    assert answer.body["mqgroup"]["criteria"] == criteria


def test_an_activation_may_name_its_workflow_as_older_services_do(desk: Desk, workflow_id: str) -> None:
    desk.reserve(workflow_id, ["a"], [])
    body = {"workflow_id": workflow_id, "criteria": {"priority": 5}}

    answer = desk.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/activation", body)

    assert check(answer.body, Reserved).mqgroup.workflow_id == workflow_id


def test_absent_criteria_are_null_or_refused(desk: Desk, workflow_id: str) -> None:
    desk.reserve(workflow_id, ["a"], [])

    answer = desk.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/activation", {}, status={200, 400})

    if answer.status == 200:
        assert check(answer.body, Reserved).mqgroup.criteria is None


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"criteria": {"priority": 1}, "nonsense": 1}, "nonsense"),
        ({"criteria": {"priority": 1, "nonsense": 1}}, "nonsense"),
        ({"criteria": {"priority": "1"}}, "priority"),
        ({"criteria": {"priority": 1.5}}, "priority"),
        ({"criteria": {"priority": True}}, "priority"),
        ({"criteria": []}, "criteria"),
        ({"criteria": 5}, "criteria"),
        ({"criteria": {}}, "priority"),
    ],
)
def test_a_wrong_activation_is_refused_on_v1_and_no_failure_on_v0(
    desk: Desk, workflow_id: str, body: Any, name: str
) -> None:
    desk.reserve(workflow_id, ["a"], [])
    path = f"/mqs/workflows/{workflow_id}/mq-group/activation"

    answer = desk.wms.post(path, body, status=400 if desk.version == "v1" else {200, 400})

    if desk.version == "v1":
        assert name in answer.error
        assert desk.group(workflow_id)["criteria"] is None


def test_extra_fields_are_ignored_on_v0(desk: Desk, workflow_id: str) -> None:
    with Desk(desk.service, "v0") as v0:
        v0.reserve(workflow_id, ["a"], [])
        body = {"criteria": {"priority": 3}, "nonsense": 1}
        answer = v0.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/activation", body)
    check(answer.body, Reserved)


def test_the_public_profiles_of_a_workflow_are_shown_before_and_after_its_activation(desk: Desk) -> None:
    body = request(task(input_queue_aliases=["a", "b"], output_queue_aliases=["c"]), public_queue_aliases=["c", "a"])
    created = desk.create(body)
    workflow_id = created["workflow"]["workflow_id"]
    before = desk.public_profiles(workflow_id)
    assert sorted(one["alias"] for one in before) == ["a", "c"]
    assert all(one["is_public"] for one in before)

    desk.ready_all(created["taskforces"])
    after = desk.public_profiles(workflow_id)

    assert [one["mqid"] for one in after] == [one["mqid"] for one in before]
    assert [one["is_activated"] for one in after] == [True, True]
    for one in after:
        assert bare(desk.profile(one["mqid"])) == bare(one)


def test_the_public_profiles_of_a_reservation_are_in_its_order(desk: Desk, workflow_id: str) -> None:
    reserved = desk.reserve(workflow_id, ["d", "b", "c", "a"], ["a", "b", "d"])

    answer = desk.user.get(f"/mqs/workflows/{workflow_id}/mq-profiles/public", status={200, 403})

    if answer.status == 200:  # 403: it has no owner
        check(answer.body, PublicProfiles)
        assert answer.body["mqprofiles"] == [one for one in reserved["mqprofiles"] if one["is_public"]]
