"""Does a profile's token say what it should, stay the same until it is used up, and end with its workflow?"""

import time
from dataclasses import replace

import anyio
import pytest

from muster.domain.mq_profile import TokenStamp
from server.mqs.keys import BROKER, Files, kid_of, pair, verify
from server.stand import NEW, NEW_TASK, STRANGER, TMS, WMS, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

JWKS = "/mqbroker-issuer/.well-known/jwks.json"


async def active(stand: Stand, new: Json = NEW) -> str:
    workflow_id: str = (await stand.submit(new))["workflow_id"]
    await stand.advance()
    return workflow_id


async def public(stand: Stand, workflow_id: str) -> dict[str, Json]:
    """The public profiles by alias, as the owner sees them."""
    shown = await stand.get(f"/v1/mqs/workflows/{workflow_id}/mq-profiles/public")
    return {one["alias"]: one for one in shown["mqprofiles"]}


async def token(stand: Stand, workflow_id: str, alias: str = "in") -> str:
    return str((await public(stand, workflow_id))[alias]["auth_token"])


async def rights(stand: Stand, auth_token: str) -> dict[str, list[str]]:
    claims = verify(auth_token, await stand.get(JWKS))
    return {one["locations"][0].partition("/")[2]: one["actions"] for one in claims["authorization_details"]}


async def set_stamp(stand: Stand, mqid: str, *, issued_s_ago: float, expires_in_s: float) -> None:
    """As if the token had been made a while ago."""
    now = time.time()
    stamp = TokenStamp(pair(0).kid, now - issued_s_ago, now + expires_in_s)
    await stand.parts.store.write(lambda tx: tx.mq_groups.stamp([mqid], stamp))


# -- what it says --------------------------------------------------------------------------------------------------------


async def test_it_is_a_jwt_in_upstreams_form(broker_stand: Stand) -> None:
    shown = (await public(broker_stand, await active(broker_stand)))["in"]
    claims = verify(shown["auth_token"], await broker_stand.get(JWKS))

    assert kid_of(shown["auth_token"]) == pair(0).kid
    assert {**claims, "iat": 0, "nbf": 0, "exp": 0} == {
        "iss": "https://h/sub/mqbroker-issuer",
        "sub": "user",
        "aud": "my-server",
        "iat": 0,
        "nbf": 0,
        "exp": 0,
        "authorization_details": [
            {
                "type": "my-type",
                "locations": [f"cluster:my-server/queue:{shown['mqid']}"],
                "actions": ["configure"],
            },
            {"type": "my-type", "locations": ["cluster:my-server/exchange:amq.default"], "actions": ["write"]},
        ],
    }
    assert claims["iat"] == claims["nbf"] == claims["exp"] - BROKER.ttl_s
    assert abs(claims["iat"] - time.time()) < 300


async def test_people_may_do_with_a_queue_what_tasks_do_not(broker_stand: Stand) -> None:
    second = {**NEW_TASK, "input_queue_aliases": ["middle"], "output_queue_aliases": ["middle", "out"]}
    new = {**NEW, "public_queue_aliases": ["in", "middle", "out"], "tasks": [NEW_TASK, second]}
    shown = await public(broker_stand, await active(broker_stand, new))

    publish = {"exchange:amq.default": ["write"]}
    assert {alias: await rights(broker_stand, one["auth_token"]) for alias, one in shown.items()} == {
        "in": {f"queue:{shown['in']['mqid']}": ["configure"], **publish},
        "middle": {f"queue:{shown['middle']['mqid']}": ["configure", "read", "write"], **publish},
        "out": {f"queue:{shown['out']['mqid']}": ["configure", "read"]},
    }


async def test_a_queue_that_is_not_on_the_broker_has_a_token_that_opens_nothing(broker_stand: Stand) -> None:
    made = await broker_stand.submit({**NEW, "public_queue_aliases": ["in"]})
    await broker_stand.advance()
    [hidden] = [one["queue_id"] for one in made["queues"] if one["alias"] == "out"]

    profile = await broker_stand.get(f"/v1/mqs/mq-profiles/{hidden}", by=WMS)

    assert (profile["is_public"], await rights(broker_stand, profile["auth_token"])) == (False, {})


async def test_upstreams_workers_have_all_rights_to_their_queues(broker_stand: Stand) -> None:
    task = {**NEW_TASK, "cluster_locations": ["test-alpha"], "task_image": "x"}
    workflow_id = await active(broker_stand, {**NEW, "tasks": [task]})
    offer = await broker_stand.get("/v1/tms/pending-starter/taskforces?schedd=SCHEDD1", by=TMS)

    for one in offer["mqprofiles"]:
        assert await rights(broker_stand, one["auth_token"]) == {
            f"queue:{one['mqid']}": ["configure", "read", "write"],
            "exchange:amq.default": ["write"],
        }
    assert {one["alias"]: one for one in offer["mqprofiles"]} == await public(broker_stand, workflow_id)


# -- how long it lives ---------------------------------------------------------------------------------------------------


async def test_it_is_the_same_until_it_is_used_up(broker_stand: Stand) -> None:
    workflow_id = await active(broker_stand)
    first = await public(broker_stand, workflow_id)

    assert await public(broker_stand, workflow_id) == first
    by_service = await broker_stand.get(f"/v1/mqs/mq-profiles/{first['in']['mqid']}", by=WMS)
    assert by_service == first["in"]


async def test_it_is_renewed_when_less_than_half_of_its_life_is_left(broker_stand: Stand) -> None:
    workflow_id = await active(broker_stand)
    mqid = (await public(broker_stand, workflow_id))["in"]["mqid"]

    await set_stamp(broker_stand, mqid, issued_s_ago=1000, expires_in_s=1100)
    kept = await public(broker_stand, workflow_id)
    await set_stamp(broker_stand, mqid, issued_s_ago=1100, expires_in_s=1000)
    renewed = await public(broker_stand, workflow_id)

    claims = {
        name: verify(one["in"]["auth_token"], await broker_stand.get(JWKS))
        for name, one in (("kept", kept), ("renewed", renewed))
    }
    assert claims["kept"]["exp"] - claims["kept"]["iat"] == pytest.approx(2100)
    assert claims["renewed"]["exp"] - claims["renewed"]["iat"] == BROKER.ttl_s
    assert renewed["out"] == kept["out"]


async def test_who_only_looks_renews_nothing(broker_stand: Stand) -> None:
    workflow_id = await active(broker_stand)
    mqid = (await public(broker_stand, workflow_id))["in"]["mqid"]
    await set_stamp(broker_stand, mqid, issued_s_ago=1100, expires_in_s=1000)
    before = await broker_stand.parts.store.read(lambda tx: tx.mq_groups.find([mqid]))

    await broker_stand.get(f"/v1/mqs/workflows/{workflow_id}/mq-profiles/public", by=STRANGER)

    assert await broker_stand.parts.store.read(lambda tx: tx.mq_groups.find([mqid])) == before


async def test_that_of_an_ended_workflow_is_kept_as_it_is(broker_stand: Stand) -> None:
    made = await broker_stand.submit()
    await broker_stand.advance()
    workflow_id = made["workflow_id"]
    mqid = (await public(broker_stand, workflow_id))["in"]["mqid"]
    await set_stamp(broker_stand, mqid, issued_s_ago=1000, expires_in_s=1100)
    first = await public(broker_stand, workflow_id)
    await broker_stand.end(made, "finish")

    await set_stamp(broker_stand, mqid, issued_s_ago=2000, expires_in_s=100)
    later = await public(broker_stand, workflow_id)

    claims = verify(later["in"]["auth_token"], await broker_stand.get(JWKS))
    assert claims["exp"] - claims["iat"] == pytest.approx(2100)
    assert later["out"] == first["out"]


async def test_one_whose_key_is_gone_is_made_anew_unless_its_workflow_has_ended(
    broker_stand: Stand, files: Files
) -> None:
    ended, going_on = await broker_stand.submit(), await broker_stand.submit()
    await broker_stand.advance()
    for one in (ended, going_on):
        assert kid_of(await token(broker_stand, one["workflow_id"])) == pair(0).kid
    await broker_stand.end(ended, "abort")

    files.write(pair(1))

    assert kid_of(await token(broker_stand, going_on["workflow_id"])) == pair(1).kid
    shown = (await public(broker_stand, ended["workflow_id"]))["in"]
    assert (shown["is_activated"], shown["auth_token"]) == (True, None)
    files.write(pair(0))
    assert kid_of(await token(broker_stand, ended["workflow_id"])) == pair(0).kid


async def test_who_ask_at_once_are_given_the_same_one(broker_stand: Stand) -> None:
    workflow_id = await active(broker_stand)
    tokens: list[str] = []

    async def ask() -> None:
        tokens.append(await token(broker_stand, workflow_id))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)

    assert len(tokens) == 20
    assert len(set(tokens)) == 1


async def test_a_shorter_life_in_the_settings_is_that_of_the_next_token(database_url: str, files: Files) -> None:
    async with open_stand(database_url, broker=BROKER, queue_keys=files.open()) as stand:
        workflow_id = await active(stand)
        long = await public(stand, workflow_id)
    short = replace(BROKER, ttl_s=60.0)
    async with open_stand(database_url, broker=short, queue_keys=files.open()) as stand:
        assert await public(stand, workflow_id) == long
        other = await active(stand)
        claims = verify(await token(stand, other), await stand.get(JWKS))
    assert claims["exp"] - claims["iat"] == 60.0


async def test_a_broker_that_comes_later_is_known_to_workflows_that_are_there(database_url: str, files: Files) -> None:
    async with open_stand(database_url) as stand:
        workflow_id = await active(stand)
        before = await public(stand, workflow_id)
    async with open_stand(database_url, broker=BROKER, queue_keys=files.open()) as stand:
        after = await public(stand, workflow_id)

    assert [before["in"][name] for name in ("is_activated", "auth_token", "broker_address")] == [True, None, None]
    assert after["in"]["auth_token"]
    assert after["in"]["broker_address"] == "user@mq.example.org"


async def test_with_upstreams_rule_every_user_has_the_tokens(database_url: str, files: Files) -> None:
    async with open_stand(database_url, broker=BROKER, queue_keys=files.open(), shared_workflows=True) as stand:
        workflow_id = await active(stand)
        path = f"/v1/mqs/workflows/{workflow_id}/mq-profiles/public"
        assert await stand.get(path, by=STRANGER) == await stand.get(path)
