"""Are the owner's programs told how to reach a public queue on the broker, and is nobody else? (our door)"""

import pytest

from muster.domain.mq_profile import TokenStamp
from server.mqs.keys import BROKER, Files, pair, verify
from server.stand import NEW, NEW_TASK, OPERATOR, STRANGER, TMS, USER, WMS, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

DOOR = "/muster/v1/workflows"
JWKS = "/mqbroker-issuer/.well-known/jwks.json"


async def active(stand: Stand, new: Json = NEW) -> Json:
    workflow = await stand.submit(new)
    await stand.advance()
    return workflow


def place(workflow: Json, alias: str = "in") -> str:
    return f"{DOOR}/{workflow['workflow_id']}/queues/{alias}/access"


async def test_it_is_the_queue_of_the_public_profile_with_the_same_token_and_its_end(broker_stand: Stand) -> None:
    workflow = await active(broker_stand)
    shown = await broker_stand.get(f"/v1/mqs/workflows/{workflow['workflow_id']}/mq-profiles/public")

    for profile in shown["mqprofiles"]:
        response = await broker_stand.ask("GET", place(workflow, profile["alias"]))
        assert response.headers["cache-control"] == "no-store"
        access = response.json()
        claims = verify(access["auth_token"], await broker_stand.get(JWKS))
        assert abs(access.pop("expires_at") - claims["exp"]) < 1
        assert access == {
            "workflow_id": workflow["workflow_id"],
            "alias": profile["alias"],
            "queue_id": profile["mqid"],
            "is_activated": True,
            "broker_type": profile["broker_type"],
            "broker_address": profile["broker_address"],
            "auth_token": profile["auth_token"],
            "why": None,
        }
        assert access["broker_address"]


async def test_it_is_for_the_owner_and_operators(broker_stand: Stand) -> None:
    workflow = await active(broker_stand)

    for allowed in (USER, OPERATOR):
        assert (await broker_stand.get(place(workflow), by=allowed))["auth_token"]
    for by, status in ((STRANGER, 403), (TMS, 403), (WMS, 403), (None, 401), ("nobody", 401)):
        response = await broker_stand.ask("GET", place(workflow), by=by)
        assert (response.status_code, "auth_token" in response.text) == (status, False)
    refused = await broker_stand.ask("GET", place(workflow), by=STRANGER)
    assert "belongs to ada" in refused.json()["error"]


async def test_every_user_has_it_where_workflows_are_shared(files: Files, sqlite_url: str) -> None:
    async with open_stand(sqlite_url, broker=BROKER, queue_keys=files.open(), shared_workflows=True) as stand:
        workflow = await active(stand)
        assert (await stand.get(place(workflow), by=STRANGER))["auth_token"]


async def test_a_private_queue_and_one_that_is_not_there_are_refused(broker_stand: Stand) -> None:
    workflow = await active(broker_stand, {**NEW, "public_queue_aliases": ["in"]})

    hidden = await broker_stand.ask("GET", place(workflow, "out"))
    assert (hidden.status_code, hidden.json()["error"]) == (403, "queue out is not public: only tasks reach it")
    gone = await broker_stand.ask("GET", place(workflow, "nothing"))
    assert (gone.status_code, gone.json()["error"].partition(";")[2]) == (404, " its queues: in, out")
    unknown = {"workflow_id": "WF-6b0259da-962b1dcf"}
    for path in (place(unknown), place({"workflow_id": "WF-1"}), place({"workflow_id": "%00"}), place(workflow, "%00")):
        assert (await broker_stand.ask("GET", path)).status_code == 404


NOTHING: Json = {"auth_token": None, "broker_type": None, "broker_address": None, "expires_at": None}


async def explain(stand: Stand, workflow: Json) -> str:
    """Why there is no token."""
    access = await stand.get(place(workflow))
    assert access == access | NOTHING
    return str(access["why"])


async def test_where_there_is_no_token_it_is_said_why(broker_stand: Stand) -> None:
    waiting = await broker_stand.submit(NEW)
    assert await explain(broker_stand, waiting) == "the workflow's queues are not ready yet"
    over = await broker_stand.submit({**NEW, "tasks": [NEW_TASK]})
    await broker_stand.end(over, "abort")
    assert "has ended" in await explain(broker_stand, over)


async def test_a_service_without_a_broker_says_so(sqlite_url: str) -> None:
    async with open_stand(sqlite_url) as bare:
        assert "no broker (MUSTER_BROKER_URL)" in await explain(bare, await active(bare))


async def test_a_token_that_is_used_up_is_renewed_when_it_is_asked_for(broker_stand: Stand) -> None:
    workflow = await active(broker_stand)
    first = await broker_stand.get(place(workflow))
    assert await broker_stand.get(place(workflow)) == first
    old = TokenStamp(pair(0).kid, first["expires_at"] - 20_000, first["expires_at"] - 19_000)
    await broker_stand.parts.store.write(lambda tx: tx.mq_groups.stamp([first["queue_id"]], old))
    before = broker_stand.parts.measures.tokens["queue"]

    assert (await broker_stand.get(place(workflow)))["expires_at"] >= first["expires_at"] - 60
    assert broker_stand.parts.measures.tokens["queue"] == before + 1
