"""Is what somebody asks for single workers passed to their site's agent once, in order, and told back?"""

from typing import Any

import anyio
import httpx
import pytest

from muster.domain.worker_order import LOG_BYTES_MAX, ORDER_S, WAITING_MAX
from server.stand import NEW, NEW_TASK, OPERATOR, STRANGER, TMS, USER, Json, Stand

pytestmark = pytest.mark.anyio


def at(uuid: str, order: str = "") -> str:
    return f"/muster/v1/taskforces/{uuid}/orders{'/' if order else ''}{order}"


async def begin(stand: Stand) -> str:
    """A taskforce with workers 0 and 1 that site-a has placed; its uuid."""
    order = await stand.start(await stand.submit())
    return str(order["taskforce_uuid"])


async def ask(stand: Stand, uuid: str, action: str, *procs: int, by: str = USER, **fields: Any) -> Json:
    return await stand.post(at(uuid), {"action": action, "procs": list(procs), **fields}, by=by)


async def take(stand: Stand, agent: str = "site-a", *, working: tuple[str, ...] = (), wait_s: float = 0) -> list[Json]:
    body = {"agent": agent, "wait_s": wait_s, "working": list(working)}
    return list((await stand.post("/muster/v1/site/orders", body, by=TMS))["orders"])


async def answer(stand: Stand, order: Json, *, agent: str = "site-a", **fields: Any) -> httpx.Response:
    body = {"agent": agent, "taskforce_uuid": order["taskforce_uuid"], **fields}
    return await stand.ask("POST", f"/muster/v1/site/orders/{order['order_id']}", body, by=TMS)


async def test_an_order_reaches_the_agent_and_its_answer_who_asked(stand: Stand) -> None:
    uuid = await begin(stand)

    made = await ask(stand, uuid, "hold", 1, reason="its disk is full")

    assert (made["state"], made["procs"], made["asked_by"], made["done"]) == ("waiting", [1], USER, 0)
    [given] = await take(stand)
    assert 290 < given.pop("stands_s") <= ORDER_S
    assert given == {
        "order_id": made["order_id"],
        "taskforce_uuid": uuid,
        "action": "hold",
        "procs": [1],
        "reason": "its disk is full",
        "asked_by": USER,
    }
    assert (await answer(stand, given, done=1)).json() == {"order_id": made["order_id"], "accepted": True}
    told = await stand.get(at(uuid, made["order_id"]))
    assert (told["state"], told["done"], told["error"]) == ("done", 1, "")
    assert told["answered_at"] >= told["asked_at"]
    assert await take(stand) == []


async def test_who_waits_is_told_as_soon_as_it_is_answered(stand: Stand) -> None:
    uuid = await begin(stand)
    seen: list[Json] = []

    async with anyio.create_task_group() as group:
        taken: list[list[Json]] = []

        async def wait_for_order() -> None:
            taken.append(await take(stand, wait_s=5))

        group.start_soon(wait_for_order)
        await anyio.wait_all_tasks_blocked()
        made = await ask(stand, uuid, "release")

        async def wait_for_answer() -> None:
            seen.append(await stand.get(f"{at(uuid, made['order_id'])}?wait_s=5"))

        group.start_soon(wait_for_answer)
        with anyio.fail_after(5):
            while not taken:  # noqa: ASYNC110 - the call that is parked has no bell of its own
                await anyio.sleep(0.01)
        await answer(stand, taken[0][0], done=2)

    assert (seen[0]["state"], seen[0]["done"]) == ("done", 2)


async def test_it_is_given_again_until_it_is_answered_and_the_next_of_its_taskforce_only_then(stand: Stand) -> None:
    uuid, other = await begin(stand), await begin(stand)
    hold, release = await ask(stand, uuid, "hold"), await ask(stand, uuid, "release")
    remove = await ask(stand, other, "remove", 0)

    first = await take(stand)

    assert [one["order_id"] for one in first] == [hold["order_id"], remove["order_id"]]
    again = await take(stand)
    # An answer, or the order itself, may have got lost.
    assert [{**one, "stands_s": 0} for one in again] == [{**one, "stands_s": 0} for one in first]
    assert [one["order_id"] for one in await take(stand, working=(uuid,))] == [remove["order_id"]]
    await answer(stand, first[0], done=2)
    assert [one["order_id"] for one in await take(stand, working=(other,))] == [release["order_id"]]


async def test_the_first_answer_counts(stand: Stand) -> None:
    uuid = await begin(stand)
    made = await ask(stand, uuid, "hold", 0)
    [given] = await take(stand)
    await answer(stand, given, done=1)

    again = await answer(stand, given, error="nothing was held")

    assert again.json()["accepted"] is False
    assert (await stand.get(at(uuid, made["order_id"])))["state"] == "done"


async def test_what_failed_says_why(stand: Stand) -> None:
    uuid = await begin(stand)
    made = await ask(stand, uuid, "hold", 0)
    [given] = await take(stand)

    await answer(stand, given, error="HTCondor forbids it\0")

    told = await stand.get(at(uuid, made["order_id"]))
    assert (told["state"], told["error"]) == ("failed", "HTCondor forbids it\N{REPLACEMENT CHARACTER}")


async def test_logs_come_back_and_only_the_owner_and_operators_see_them(stand: Stand) -> None:
    uuid = await begin(stand)
    made = await ask(stand, uuid, "logs", 1)
    [given] = await take(stand)
    logs = [{"name": "stderr", "text": "no space left\n\0", "size_bytes": 70_000}]

    await answer(stand, given, logs=logs)

    assert (await stand.get(at(uuid, made["order_id"])))["logs"] == logs
    assert (await stand.get(at(uuid, made["order_id"]), by=OPERATOR))["logs"] == logs
    refused = await stand.ask("GET", at(uuid, made["order_id"]), by=STRANGER)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_who_asked_and_what_came_of_it_stands_in_the_taskforces_log(stand: Stand) -> None:
    uuid = await begin(stand)
    await ask(stand, uuid, "hold", 0, 1, by=OPERATOR, reason="maintenance")
    [given] = await take(stand)
    await answer(stand, given, done=2)
    await ask(stand, uuid, "logs", 0)

    log = (await stand.get(f"/muster/v1/taskforces/{uuid}"))["phase_change_log"]

    assert [(one["context"], one["source_entity"], one["target_phase"]) for one in log[-2:]] == [
        (f"{OPERATOR} asked to hold workers 0 to 1: maintenance", "USER", "condor-submit"),
        (f"hold asked by {OPERATOR}: 2 held", "TMS", "condor-submit"),
    ]


async def test_the_same_request_twice_is_one_order(stand: Stand) -> None:
    uuid = await begin(stand)
    key = {"idempotency-key": "k"}
    made = [await stand.post(at(uuid), {"action": "hold"}, headers=key) for _ in range(2)]
    assert made[0] == made[1]
    assert len(await take(stand)) == 1
    other = await stand.ask("POST", at(uuid), {"action": "remove"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"action": "hold", "procs": [0, 2]}, "procs[1]", "is 2, and the workers of"),
        ({"action": "logs"}, "procs", "must name one worker"),
        ({"action": "logs", "procs": [0, 1]}, "procs", "must name one worker"),
        ({"action": "explode"}, "action", "explode"),
        ({"action": "hold", "procs": [-1]}, "procs[0]", "at least 0"),
        ({"action": "hold", "reason": "a\nb"}, "reason", "one line"),
        ({"action": "hold", "reason": "x" * 501}, "reason", "500"),
        ({}, "", "'action' is a required property"),
    ],
)
async def test_what_cannot_be_ordered_is_refused_with_its_field(
    stand: Stand, body: Json, field: str, words: str
) -> None:
    uuid = await begin(stand)
    refused = await stand.ask("POST", at(uuid), body)
    assert refused.status_code == 422, refused.text
    [finding] = refused.json()["findings"]
    assert (finding["field"], words in finding["reason"]) == (field, True), finding
    assert await take(stand) == []


async def test_only_the_owner_and_operators_may_ask(stand: Stand) -> None:
    uuid = await begin(stand)
    for by, status in ((STRANGER, 403), (TMS, 403), (OPERATOR, 201)):
        assert (await stand.ask("POST", at(uuid), {"action": "hold"}, by=by)).status_code == status
    assert (await stand.ask("POST", "/muster/v1/site/orders", {"agent": "site-a"}, by=USER)).status_code == 403


async def test_a_taskforce_without_workers_takes_no_order(stand: Stand) -> None:
    workflow = await stand.submit()
    uuid = workflow["taskforces"][0]["taskforce_uuid"]
    early = await stand.ask("POST", at(uuid), {"action": "hold"})
    assert (early.status_code, "no cluster yet" in early.text) == (409, True)
    order = await stand.start(workflow)
    await stand.end(workflow, "abort")

    late = await stand.ask("POST", at(uuid), {"action": "release"})

    assert (late.status_code, "pending-stopper" in late.text) == (409, True)
    await stand.claim()
    await stand.report(order, "removed")
    assert (await ask(stand, uuid, "logs", 0))["state"] == "waiting"  # what they wrote is there still


async def test_one_in_the_hands_of_upstreams_agent_takes_none(stand: Stand) -> None:
    new = {**NEW, "tasks": [{**NEW_TASK, "cluster_locations": ["beside"]}]}
    workflow = await stand.submit(new)
    await stand.advance()
    uuid = workflow["taskforces"][0]["taskforce_uuid"]
    started = await stand.ask(
        "POST",
        f"/v1/tms/condor-submit/taskforces/{uuid}",
        {"cluster_id": 3, "n_workers": 2, "submit_dict": {}, "job_event_log_fpath": "/x"},
        by=TMS,
    )
    assert started.is_success, started.text

    refused = await stand.ask("POST", at(uuid), {"action": "hold"})

    assert (refused.status_code, "upstream's agent" in refused.text) == (409, True)


async def test_orders_that_nobody_fetches_do_not_pile_up(stand: Stand) -> None:
    uuid = await begin(stand)
    for _ in range(WAITING_MAX):
        await ask(stand, uuid, "hold", 0)
    refused = await stand.ask("POST", at(uuid), {"action": "hold"})
    assert (refused.status_code, "muster location list" in refused.text) == (409, True)


async def test_another_agents_answer_is_refused(stand: Stand) -> None:
    uuid = await begin(stand)
    await ask(stand, uuid, "hold")
    [given] = await take(stand)
    assert await take(stand, "site-b") == []

    assert (await answer(stand, given, agent="site-b", done=2)).status_code == 409
    unknown = await answer(stand, {**given, "order_id": "WO-0123456789abcdef"}, done=2)
    assert unknown.status_code == 404
    too_long = await answer(stand, given, logs=[{"name": "x", "text": "x" * (LOG_BYTES_MAX + 1), "size_bytes": 1}])
    assert too_long.status_code == 422
