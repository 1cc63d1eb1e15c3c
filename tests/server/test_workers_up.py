"""Is it seen which workers are up, where, with how much in hand, and when they were heard last?"""

from typing import Any

import pytest

from server.stand import NEW, NEW_TASK, STRANGER, Json, Stand

pytestmark = pytest.mark.anyio


async def list_workers(stand: Stand, workflow: Json, **query: Any) -> Json:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/workers?{asked}", by=STRANGER)


async def test_workers_that_are_up_are_listed_with_what_they_have_in_hand(stand: Stand) -> None:
    workflow = await stand.submit()
    assert (await list_workers(stand, workflow))["workers"] == []
    order = await stand.start(workflow)
    first = await stand.enrol(order["taskforce_uuid"], proc=0, host="node-1", site="north")
    second = await stand.enrol(order["taskforce_uuid"], proc=1, host="node-2", site="south")
    await stand.publish(workflow, 1, 2, 3)
    await stand.step(first, 1, want=2)

    page = await list_workers(stand, workflow)

    one, other = page["workers"]
    assert (one["worker"], one["cluster"], one["proc"], one["start"]) == ("7.0@node-1", "7", 0, 1)
    assert (one["host"], one["site"], one["in_hand"]) == ("node-1", "north", 2)
    assert (other["worker"], other["site"], other["in_hand"]) == ("7.1@node-2", "south", 0)
    assert one["taskforce_uuid"] == order["taskforce_uuid"]
    assert one["since"] <= one["heard_at"] <= page["at"] < one["until"]
    assert other["heard_at"] == pytest.approx(other["since"], abs=1e-3)
    assert page["next_after"] is None

    await stand.post("/muster/v1/worker/leave", {"reason": "over"}, by=second["token"])
    assert [one["worker"] for one in (await list_workers(stand, workflow))["workers"]] == ["7.0@node-1"]


async def test_workers_come_by_pages_and_by_taskforce(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [{**NEW_TASK, "n_workers": 5}]})
    order = await stand.start(workflow)
    uuid = order["taskforce_uuid"]
    for proc in range(5):
        await stand.enrol(uuid, proc=proc)

    seen: list[int] = []
    after: str | None = "0"
    for _ in range(3):
        page = await list_workers(stand, workflow, limit=2, after=after, taskforce=uuid)
        seen += [one["proc"] for one in page["workers"]]
        after = page["next_after"]

    assert (seen, after) == ([0, 1, 2, 3, 4], None)


async def test_what_is_not_there_or_not_meant_is_refused(stand: Stand) -> None:
    workflow, other = await stand.submit(), await stand.submit()
    uuid = (await stand.show(other))["taskforces"][0]["taskforce_uuid"]
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/workers"

    async def ask(query: str, *, at: str = path) -> tuple[int, list[str]]:
        response = await stand.ask("GET", f"{at}?{query}")
        return response.status_code, sorted(one["field"] for one in response.json()["findings"])

    assert await ask("taskforce=x&after=y") == (422, ["after", "taskforce"])
    assert await ask("after=-1") == (422, ["after"])
    assert await ask("after=" + "9" * 30) == (422, ["after"])
    assert await ask("limit=1001") == (422, ["limit"])
    assert await ask(f"taskforce={uuid}") == (404, [])
    assert await ask("", at="/muster/v1/workflows/WF-6b0259da-962b1dcf/workers") == (404, [])
    assert await ask("", at="/muster/v1/workflows/x/workers") == (404, [])
