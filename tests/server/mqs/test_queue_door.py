"""Do clients of upstream's queue service find what they know? (mqs.md)"""

import re
from collections.abc import Sequence

import pytest
from sqlalchemy import delete

from muster.domain.mq_profile import MqGroup, MqProfile
from muster.server.adapters.sql.mq import SqlMqGroups
from muster.server.adapters.sql.mq_schema import mq_group, mq_profile
from server.stand import EWMS_NEW, EWMS_TASK, OPERATOR, STRANGER, TMS, USER, WMS, Json, Stand

pytestmark = pytest.mark.anyio

GROUP_FIELDS = ["workflow_id", "timestamp", "criteria"]
PROFILE_FIELDS = [
    "mqid",
    "workflow_id",
    "timestamp",
    "alias",
    "is_public",
    "is_activated",
    "auth_token",
    "broker_type",
    "broker_address",
]
ALIASES: Json = {"queue_aliases": ["b", "a", "c"], "public": ["c", "b", "no-queue"]}


@pytest.fixture(params=["v1", "v0"])
def base(request: pytest.FixtureRequest) -> str:
    return f"/{request.param}/mqs"


def group(base: str, workflow_id: str = "WF-theirs") -> str:
    return f"{base}/workflows/{workflow_id}/mq-group"


def public(base: str, workflow_id: str) -> str:
    return f"{base}/workflows/{workflow_id}/mq-profiles/public"


async def reserve(stand: Stand, base: str, body: Json = ALIASES, workflow_id: str = "WF-theirs") -> Json:
    return await stand.post(f"{group(base, workflow_id)}/reservation", body, by=WMS)


async def activate(stand: Stand, base: str, body: Json, workflow_id: str = "WF-theirs") -> Json:
    return await stand.post(f"{group(base, workflow_id)}/activation", body, by=WMS)


async def error_of(stand: Stand, method: str, path: str, body: Json = None, *, by: str | None = WMS) -> tuple[int, str]:
    response = await stand.ask(method, path, body, by=by)
    answer = response.json()
    assert set(answer) == {"code", "error"}
    assert answer["code"] == response.status_code
    return response.status_code, answer["error"]


# -- another service's workflows -----------------------------------------------------------------------------------------


async def test_a_reservation_is_answered_with_exactly_upstreams_fields(broker_stand: Stand, base: str) -> None:
    made = await reserve(broker_stand, base)

    assert set(made) == {"mqgroup", "mqprofiles"}
    assert list(made["mqgroup"]) == GROUP_FIELDS
    assert (made["mqgroup"]["workflow_id"], made["mqgroup"]["criteria"]) == ("WF-theirs", None)
    assert [list(one) for one in made["mqprofiles"]] == [PROFILE_FIELDS] * 3
    assert [(one["alias"], one["is_public"]) for one in made["mqprofiles"]] == [("b", True), ("a", False), ("c", True)]
    for one in made["mqprofiles"]:
        assert re.fullmatch(r"a[0-9a-f]{20}", one["mqid"])
        assert (one["workflow_id"], one["timestamp"]) == ("WF-theirs", made["mqgroup"]["timestamp"])
        assert [one[name] for name in PROFILE_FIELDS[5:]] == [False, None, None, None]
    assert await broker_stand.get(group(base), by=WMS) == made["mqgroup"]
    assert (
        await broker_stand.get(f"{base}/mq-profiles/{made['mqprofiles'][1]['mqid']}", by=WMS) == made["mqprofiles"][1]
    )


async def test_a_second_reservation_is_given_what_the_first_made(broker_stand: Stand, base: str) -> None:
    made = await reserve(broker_stand, base)

    assert await reserve(broker_stand, base, {**ALIASES, "queue_aliases": ["c", "b", "a"]}) == made
    assert await reserve(broker_stand, base, {"queue_aliases": ["other"], "public": []}) == made


async def test_two_queues_may_have_one_alias(broker_stand: Stand, base: str) -> None:
    made = await reserve(broker_stand, base, {"queue_aliases": ["x", "x"], "public": ["x"]})

    assert [(one["alias"], one["is_public"]) for one in made["mqprofiles"]] == [("x", True), ("x", True)]
    assert len({one["mqid"] for one in made["mqprofiles"]}) == 2


async def test_nothing_is_public_unless_it_is_said(broker_stand: Stand, base: str) -> None:
    made = await reserve(broker_stand, base, {"queue_aliases": ["x"]})
    assert [one["is_public"] for one in made["mqprofiles"]] == [False]


async def test_an_activation_makes_tokens(broker_stand: Stand, base: str) -> None:
    made = await reserve(broker_stand, base)

    active = await activate(broker_stand, base, {"criteria": {"priority": 7}})

    assert active["mqgroup"] == {**made["mqgroup"], "criteria": {"priority": 7}}
    assert [
        {**one, "is_activated": True, "broker_type": "rabbitmq", "broker_address": "user@mq.example.org"}
        for one in made["mqprofiles"]
    ] == [{**one, "auth_token": None} for one in active["mqprofiles"]]
    assert len({one["auth_token"] for one in active["mqprofiles"]} - {None}) == 3
    for one in active["mqprofiles"]:
        assert await broker_stand.get(f"{base}/mq-profiles/{one['mqid']}", by=WMS) == one
    shown = await broker_stand.get(public(base, "WF-theirs"))
    assert shown == {"mqprofiles": [one for one in active["mqprofiles"] if one["is_public"]]}
    page = await broker_stand.ask("GET", "/metrics", by=OPERATOR)
    assert 'muster_tokens_minted_total{kind="queue"} 3.0' in page.text.splitlines()  # those shown again are no new ones


async def test_an_activation_may_be_repeated_with_other_criteria_and_makes_new_tokens(
    broker_stand: Stand, base: str
) -> None:
    await reserve(broker_stand, base)
    first = await activate(broker_stand, base, {"criteria": {"priority": 7}})
    second = await activate(broker_stand, base, {"criteria": None})

    assert second["mqgroup"] == {**first["mqgroup"], "criteria": None}
    tokens = [[one["auth_token"] for one in answer["mqprofiles"]] for answer in (first, second)]
    assert set(tokens[0]).isdisjoint(tokens[1])
    assert [one["is_activated"] for one in second["mqprofiles"]] == [True] * 3


@pytest.mark.parametrize("body", [{}, {"criteria": None}, {"workflow_id": "WF-theirs", "criteria": {"priority": 1.0}}])
async def test_an_activation_takes_what_upstreams_services_send(broker_stand: Stand, base: str, body: Json) -> None:
    await reserve(broker_stand, base)
    active = await activate(broker_stand, base, body)
    assert active["mqgroup"]["criteria"] == ({"priority": 1} if body.get("criteria") else None)


async def test_without_a_broker_profiles_are_activated_all_the_same(stand: Stand, base: str) -> None:
    await reserve(stand, base)
    active = await activate(stand, base, {"criteria": {"priority": 7}})
    assert [[one[name] for name in PROFILE_FIELDS[5:]] for one in active["mqprofiles"]] == [
        [True, None, None, None]
    ] * 3


async def test_what_is_unknown_is_told_in_upstreams_words(broker_stand: Stand, base: str) -> None:
    for method, path, body, text in (
        ("POST", f"{group(base)}/activation", {"criteria": None}, "No MQProfiles found for workflow id"),
        ("GET", group(base), None, "MQGroup not found"),
        ("GET", f"{base}/mq-profiles/a0", None, "MQProfile not found"),
    ):
        assert await error_of(broker_stand, method, path, body) == (404, text)
    assert await broker_stand.get(public(base, "WF-theirs")) == {"mqprofiles": []}


async def test_the_root_is_a_sign_of_life(broker_stand: Stand, base: str) -> None:
    assert await broker_stand.get(base) == {}
    assert await error_of(broker_stand, "GET", base + "/") == (404, "Not Found")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"queue_aliases": []}, "'queue_aliases': must have at least 1 items"),
        ({"queue_aliases": ["x"], "extra": 1}, "Additional properties are not allowed ('extra' was unexpected)"),
        ({"public": []}, "'queue_aliases' is a required property"),
        ({"queue_aliases": [1], "public": 2}, "'queue_aliases[0]': must be type 'string' (str); "),
    ],
)
async def test_a_reservation_that_breaks_the_rules_is_refused(broker_stand: Stand, body: Json, text: str) -> None:
    status, told = await error_of(broker_stand, "POST", f"{group('/v1/mqs')}/reservation", body)
    assert (status, told[: len(text)]) == (400, text)
    assert await error_of(broker_stand, "GET", group("/v1/mqs")) == (404, "MQGroup not found")


@pytest.mark.parametrize(
    "body", [{"criteria": {"priority": 1, "more": 2}}, {"extra": 1}, {"criteria": 1}, {"criteria": {}}]
)
async def test_an_activation_that_breaks_the_rules_is_refused(broker_stand: Stand, body: Json) -> None:
    await reserve(broker_stand, "/v1/mqs")
    status, _ = await error_of(broker_stand, "POST", f"{group('/v1/mqs')}/activation", body)
    assert status == 400
    assert (await broker_stand.get(group("/v1/mqs"), by=WMS))["criteria"] is None


async def test_the_older_version_looks_less_closely(broker_stand: Stand) -> None:
    empty = await reserve(broker_stand, "/v0/mqs", {"queue_aliases": [], "more": 1}, "WF-empty")
    assert empty["mqprofiles"] == []
    assert await error_of(broker_stand, "POST", f"{group('/v0/mqs', 'WF-empty')}/activation", {"criteria": None}) == (
        404,
        "No MQProfiles found for workflow id",
    )
    await reserve(broker_stand, "/v0/mqs")
    active = await activate(broker_stand, "/v0/mqs", {"criteria": {"priority": 3, "more": 1}, "extra": []})
    assert active["mqgroup"]["criteria"] == {"priority": 3}


# -- who may -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "", {USER, STRANGER, WMS, OPERATOR}),
        ("POST", "/workflows/WF-1/mq-group/reservation", {WMS, OPERATOR}),
        ("POST", "/workflows/WF-1/mq-group/activation", {WMS, OPERATOR}),
        ("GET", "/workflows/WF-1/mq-group", {WMS, OPERATOR}),
        ("GET", "/mq-profiles/a0", {WMS, OPERATOR}),
        ("GET", "/workflows/WF-1/mq-profiles/public", {USER, STRANGER, OPERATOR}),
    ],
)
async def test_each_route_is_for_its_roles(
    broker_stand: Stand, base: str, method: str, path: str, allowed: set[str]
) -> None:
    for by in (USER, STRANGER, TMS, WMS, OPERATOR):
        response = await broker_stand.ask(method, base + path, {}, by=by)
        assert (response.status_code != 403) is (by in allowed), (by, response.text)
        if by not in allowed:
            assert response.json() == {"code": 403, "error": "authorization failed"}
    for nobody in (None, "wrong"):
        assert await error_of(broker_stand, method, base + path, {}, by=nobody) == (403, "authentication failed")


async def test_the_keys_are_for_anyone(broker_stand: Stand) -> None:
    response = await broker_stand.ask("GET", "/mqbroker-issuer/.well-known/jwks.json", by=None)
    assert response.status_code == 200


# -- our own workflows ---------------------------------------------------------------------------------------------------


async def test_our_workflows_have_their_group_from_the_start(broker_stand: Stand, base: str) -> None:
    made = await broker_stand.submit()
    workflow_id = made["workflow_id"]
    queues = {one["alias"]: one["queue_id"] for one in made["queues"]}

    before = await broker_stand.get(public(base, workflow_id))
    await broker_stand.advance()
    after = await broker_stand.get(public(base, workflow_id))

    assert [(one["mqid"], one["alias"], one["is_activated"], one["auth_token"]) for one in before["mqprofiles"]] == [
        (queues["in"], "in", False, None),
        (queues["out"], "out", False, None),
    ]
    assert [(one["mqid"], one["is_activated"], one["broker_address"]) for one in after["mqprofiles"]] == [
        (queues["in"], True, "user@mq.example.org"),
        (queues["out"], True, "user@mq.example.org"),
    ]
    assert all(one["auth_token"] for one in after["mqprofiles"])
    group_now = await broker_stand.get(group(base, workflow_id), by=WMS)
    assert {**group_now, "timestamp": 0} == {"workflow_id": workflow_id, "timestamp": 0, "criteria": {"priority": 50}}
    assert group_now["timestamp"] == before["mqprofiles"][0]["timestamp"]


async def test_another_service_cannot_change_them(broker_stand: Stand, base: str) -> None:
    workflow_id = (await broker_stand.submit())["workflow_id"]
    await broker_stand.advance()
    group_now = await broker_stand.get(group(base, workflow_id), by=WMS)
    shown = (await broker_stand.get(public(base, workflow_id)))["mqprofiles"]

    reserved = await reserve(broker_stand, base, {"queue_aliases": ["x"]}, workflow_id)
    activated = await activate(broker_stand, base, {"criteria": {"priority": 1}}, workflow_id)

    assert reserved == activated == {"mqgroup": group_now, "mqprofiles": shown}


@pytest.mark.parametrize("times", [1, 2])
async def test_a_group_that_is_removed_while_it_is_reserved_again_leaves_an_answer(
    broker_stand: Stand, base: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its workflow, by another transaction that commits between the two looks of ours."""
    workflow_id = (await broker_stand.submit())["workflow_id"]
    insert = SqlMqGroups.insert
    removed: list[str] = []

    def insert_and_lose(groups: SqlMqGroups, group: MqGroup, profiles: Sequence[MqProfile]) -> bool:
        is_new = insert(groups, group, profiles)
        if len(removed) < times:
            removed.append(group.workflow_id)
            for table in (mq_profile, mq_group):
                groups._session.execute(delete(table).where(table.c.workflow_id == workflow_id))
        return is_new

    monkeypatch.setattr(SqlMqGroups, "insert", insert_and_lose)
    answer = await broker_stand.ask("POST", f"{group(base, workflow_id)}/reservation", ALIASES, by=WMS)

    if times == 1:
        assert [one["alias"] for one in answer.json()["mqprofiles"]] == ["b", "a", "c"]
    else:
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert "reserve them again" in answer.json()["error"]


async def test_a_token_is_shown_to_whose_workflow_it_is(broker_stand: Stand, base: str) -> None:
    workflow_id = (await broker_stand.submit())["workflow_id"]
    await broker_stand.advance()

    owners = await broker_stand.get(public(base, workflow_id))
    operators = await broker_stand.get(public(base, workflow_id), by=OPERATOR)
    strangers = await broker_stand.get(public(base, workflow_id), by=STRANGER)

    assert owners == operators
    assert strangers == {"mqprofiles": [{**one, "auth_token": None} for one in owners["mqprofiles"]]}


async def test_private_queues_are_not_among_the_public_ones(broker_stand: Stand, base: str) -> None:
    made = await broker_stand.post("/v1/workflows", {**EWMS_NEW, "public_queue_aliases": ["in"]})
    await broker_stand.advance()
    shown = await broker_stand.get(public(base, made["workflow"]["workflow_id"]))
    assert [one["alias"] for one in shown["mqprofiles"]] == ["in"]


async def test_a_starter_is_given_the_queues_of_the_task_with_their_tokens(broker_stand: Stand) -> None:
    loop = {**EWMS_TASK, "input_queue_aliases": ["in", "again"], "output_queue_aliases": ["again", "out"]}
    made = await broker_stand.post("/v1/workflows", {"public_queue_aliases": ["in"], "tasks": [loop]})
    await broker_stand.advance()
    path = "/v1/tms/pending-starter/taskforces?schedd=SCHEDD1"

    offer = await broker_stand.get(path, by=TMS)
    looked = await broker_stand.get(path)

    [directive] = made["task_directives"]
    mqids = dict.fromkeys([*directive["input_queues"], *directive["output_queues"]])
    assert [one["mqid"] for one in offer["mqprofiles"]] == list(mqids)
    assert [(one["alias"], one["is_public"]) for one in offer["mqprofiles"]] == [
        ("in", True),
        ("again", False),
        ("out", False),
    ]
    assert [list(one) for one in offer["mqprofiles"]] == [PROFILE_FIELDS] * 3
    assert all(one["auth_token"] for one in offer["mqprofiles"])
    assert looked == {**offer, "mqprofiles": [{**one, "auth_token": None} for one in offer["mqprofiles"]]}


async def test_a_starter_of_the_older_version_finds_them_among_the_pilots_variables(broker_stand: Stand) -> None:
    loop = {**EWMS_TASK, "input_queue_aliases": ["in", "again"], "output_queue_aliases": ["again"]}
    await broker_stand.post("/v1/workflows", {"public_queue_aliases": ["in"], "tasks": [loop]})
    await broker_stand.advance()
    path = "/tms/pending-starter/taskforces?schedd=SCHEDD1"

    profiles = (await broker_stand.get(f"/v1{path}", by=TMS))["mqprofiles"]
    offer = await broker_stand.get(f"/v0{path}&collector=x", by=TMS)
    looked = await broker_stand.get(f"/v0{path}&collector=x")

    first, again = profiles
    expected = {
        f"EWMS_PILOT_QUEUE_{way}{suffix}": [one[name] for one in some]
        for way, some in (("INCOMING", [first, again]), ("OUTGOING", [again]))
        for suffix, name in (
            ("", "mqid"),
            ("_AUTH_TOKEN", "auth_token"),
            ("_BROKER_TYPE", "broker_type"),
            ("_BROKER_ADDRESS", "broker_address"),
        )
    }
    assert variables(offer) == expected
    assert variables(looked) == {name: value for name, value in expected.items() if name.endswith("ING")}


def variables(taskforce: Json) -> Json:
    environment = taskforce["pilot_config"]["environment"]
    return {name: value for name, value in environment.items() if name.startswith("EWMS_PILOT_QUEUE_")}


@pytest.mark.parametrize(("version", "number"), [("v1", "1"), ("v0", "0.0.0")])
async def test_the_door_describes_its_routes(stand: Stand, version: str, number: str) -> None:
    document = await stand.get(f"/{version}/mqs/schema/openapi", by=WMS)

    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", number)
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    base = f"/{version}/mqs"
    expected = {
        ("GET", base),
        ("GET", f"{base}/schema/openapi"),
        ("POST", f"{base}/workflows/{{workflow_id}}/mq-group/reservation"),
        ("POST", f"{base}/workflows/{{workflow_id}}/mq-group/activation"),
        ("GET", f"{base}/workflows/{{workflow_id}}/mq-group"),
        ("GET", f"{base}/mq-profiles/{{mqid}}"),
        ("GET", f"{base}/workflows/{{workflow_id}}/mq-profiles/public"),
    }
    keys = {("GET", "/mqbroker-issuer/.well-known/jwks.json")} if version == "v1" else set()
    assert described == expected | keys
