"""What does the queue service reserve, and what does it refuse to?

Source: mqs.md sections 4.3, 5, 10, 11 (`/v0` checks no body), 13. Open, so that either is right: a second reservation with
other aliases (the stored one, or a 409), an alias twice (two queues, or a 400), an absent `public` (empty, or a 400).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.exact import Json, check
from compat.mqs_shapes import Reserved
from compat.parties import Desk
from compat.samples import unknown_ids, without

UNSET = {"auth_token": None, "broker_type": None, "broker_address": None}


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


@pytest.fixture
def workflow_id() -> str:
    return unknown_ids()["workflow_id"]


def test_a_reservation_is_a_group_and_a_profile_an_alias_in_their_order(desk: Desk, workflow_id: str) -> None:
    reserved = desk.reserve(workflow_id, ["c", "a", "b"], ["b", "c", "unknown"])

    group, profiles = reserved["mqgroup"], reserved["mqprofiles"]
    assert group == {"workflow_id": workflow_id, "timestamp": group["timestamp"], "criteria": None}
    assert [without(one, "mqid") for one in profiles] == [
        {
            "workflow_id": workflow_id,
            "timestamp": group["timestamp"],
            "alias": alias,
            "is_public": is_public,
            "is_activated": False,
            **UNSET,
        }
        for alias, is_public in (("c", True), ("a", False), ("b", True))
    ]
    assert len({one["mqid"] for one in profiles}) == 3


def test_what_was_reserved_is_what_is_read(desk: Desk, workflow_id: str) -> None:
    reserved = desk.reserve(workflow_id, ["a", "b"], [])

    assert desk.group(workflow_id) == reserved["mqgroup"]
    assert [desk.profile(one["mqid"]) for one in reserved["mqprofiles"]] == reserved["mqprofiles"]


def test_a_second_reservation_is_answered_with_the_first_in_whatever_order(desk: Desk, workflow_id: str) -> None:
    first = desk.reserve(workflow_id, ["a", "b", "c"], ["a"])

    assert desk.reserve(workflow_id, ["c", "b", "a"], ["a"]) == first
    assert desk.reserve(workflow_id, ["a", "b", "c"], ["a"]) == first


def test_a_second_reservation_after_the_activation_keeps_it(desk: Desk, workflow_id: str) -> None:
    desk.reserve(workflow_id, ["a", "b"], ["a"])
    desk.activate(workflow_id, priority=4)

    again = desk.reserve(workflow_id, ["a", "b"], ["a"])

    assert again["mqgroup"]["criteria"] == {"priority": 4}
    assert [one["is_activated"] for one in again["mqprofiles"]] == [True, True]


def test_a_second_reservation_with_other_aliases_changes_nothing(desk: Desk, workflow_id: str) -> None:
    first = desk.reserve(workflow_id, ["a", "b"], ["a"])
    other = {"queue_aliases": ["a", "x"], "public": ["x"]}

    answer = desk.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/reservation", other, status={200, 409})

    if answer.status == 200:
        assert answer.body == first
    assert desk.group(workflow_id) == first["mqgroup"]
    assert [desk.profile(one["mqid"]) for one in first["mqprofiles"]] == first["mqprofiles"]


def test_an_alias_twice_is_two_queues_or_refused(desk: Desk, workflow_id: str) -> None:
    body = {"queue_aliases": ["a", "a"], "public": []}

    answer = desk.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/reservation", body, status={200, 400})

    if answer.status == 200:
        profiles = check(answer.body, Reserved).mqprofiles
        assert [one.alias for one in profiles] == ["a", "a"]
        assert len({one.mqid for one in profiles}) == 2


def test_an_absent_public_is_empty_or_refused(desk: Desk, workflow_id: str) -> None:
    path = f"/mqs/workflows/{workflow_id}/mq-group/reservation"

    answer = desk.wms.post(path, {"queue_aliases": ["a"]}, status={200, 400})

    if answer.status == 200:
        assert [one.is_public for one in check(answer.body, Reserved).mqprofiles] == [False]


@pytest.mark.parametrize("alias", ["", " ", "a.b", "$c", "süd", "x" * 1000, "a/b", "'", "</script>"], ids=ascii)
def test_an_alias_is_any_text(desk: Desk, workflow_id: str, alias: str) -> None:
    (profile,) = desk.reserve(workflow_id, [alias], [alias])["mqprofiles"]

    assert (profile["alias"], profile["is_public"]) == (alias, True)
    assert desk.profile(profile["mqid"]) == profile


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, ["queue_aliases"]),
        ({"public": []}, ["queue_aliases"]),
        ({"queue_aliases": None, "public": None}, ["queue_aliases", "public"]),
        ({"queue_aliases": "a", "public": "a"}, ["queue_aliases", "public"]),
        ({"queue_aliases": [1], "public": [None]}, ["queue_aliases", "public"]),
        ({"queue_aliases": {"a": 1}, "public": []}, ["queue_aliases"]),
    ],
)
def test_a_wrong_reservation_is_refused_by_the_names_of_what_is_wrong_on_v1(
    desk: Desk, workflow_id: str, body: Any, names: list[str]
) -> None:
    path = f"/mqs/workflows/{workflow_id}/mq-group/reservation"
    answer = desk.wms.post(path, body, status=400 if desk.version == "v1" else {200, 400})

    if desk.version == "v1":
        assert [name for name in names if name not in answer.error] == [], answer.error
        assert desk.wms.get(f"/mqs/workflows/{workflow_id}/mq-group", status=404).error == "MQGroup not found"


def test_extra_fields_are_refused_on_v1_and_ignored_on_v0(desk: Desk, workflow_id: str) -> None:
    body = {"queue_aliases": ["a"], "public": [], "nonsense": 1}
    path = f"/mqs/workflows/{workflow_id}/mq-group/reservation"

    if desk.version == "v1":
        assert "nonsense" in desk.wms.post(path, body, status=400).error
    else:
        check(desk.wms.post(path, body).body, Reserved)


def test_a_group_without_queues_is_refused_on_v1_and_made_on_v0(desk: Desk, workflow_id: str) -> None:
    body: Json = {"queue_aliases": [], "public": []}
    path = f"/mqs/workflows/{workflow_id}/mq-group/reservation"

    if desk.version == "v1":
        assert "queue_aliases" in desk.wms.post(path, body, status=400).error
    else:
        assert check(desk.wms.post(path, body).body, Reserved).mqprofiles == []


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"null", b"\xff"], ids=ascii)
@pytest.mark.parametrize("action", ["reservation", "activation"])
def test_a_body_that_is_no_object_is_refused(desk: Desk, workflow_id: str, action: str, data: bytes | None) -> None:
    desk.wms.call("POST", f"/mqs/workflows/{workflow_id}/mq-group/{action}", status=400, data=data)
