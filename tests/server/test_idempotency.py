"""Is a request that arrives twice done once?"""

import anyio
import httpx
import pytest

from muster.domain.location import Location
from server.stand import EWMS_NEW, NEW, STRANGER, USER, Stand, open_stand

pytestmark = pytest.mark.anyio

WORKFLOWS = "/muster/v1/workflows"
MORE = {"location": "local", "n_workers": 2}


async def count(stand: Stand) -> int:
    return len((await stand.get(f"{WORKFLOWS}?limit=500"))["workflows"])


@pytest.mark.parametrize(("path", "body", "status"), [(WORKFLOWS, NEW, 201), ("/v1/workflows", EWMS_NEW, 200)])
async def test_the_same_request_gets_the_same_answer(stand: Stand, path: str, body: object, status: int) -> None:
    first = await stand.ask("POST", path, body, headers={"idempotency-key": "k"})
    again = await stand.ask("POST", path, body, headers={"idempotency-key": "k"})
    assert (first.status_code, again.status_code) == (status, status)
    assert again.content == first.content
    assert await count(stand) == 1


async def test_many_at_once_make_one(stand: Stand) -> None:
    answers: list[httpx.Response] = []

    async def submit() -> None:
        answers.append(await stand.ask("POST", WORKFLOWS, NEW, headers={"idempotency-key": "k"}))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(submit)
    assert {one.status_code for one in answers} == {201}
    assert len({one.content for one in answers}) == 1
    assert await count(stand) == 1


async def test_the_key_with_another_body_is_refused(stand: Stand) -> None:
    await stand.ask("POST", WORKFLOWS, NEW, headers={"idempotency-key": "k"})
    other = await stand.ask("POST", WORKFLOWS, {**NEW, "name": "other"}, headers={"idempotency-key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    assert await count(stand) == 1


async def test_a_key_is_its_owners_and_its_routes(stand: Stand) -> None:
    for by in (USER, STRANGER):
        assert (await stand.ask("POST", WORKFLOWS, NEW, by=by, headers={"idempotency-key": "k"})).status_code == 201
    assert (await stand.ask("POST", "/v1/workflows", EWMS_NEW, headers={"idempotency-key": "k"})).status_code == 200
    assert await count(stand) == 3


async def test_without_a_key_two_requests_are_two(stand: Stand) -> None:
    await stand.submit()
    await stand.submit()
    assert await count(stand) == 2


async def test_a_refused_request_keeps_no_key(stand: Stand) -> None:
    refused = await stand.ask("POST", WORKFLOWS, {**NEW, "tasks": []}, headers={"idempotency-key": "k"})
    assert refused.status_code == 422
    assert (await stand.ask("POST", WORKFLOWS, NEW, headers={"idempotency-key": "k"})).status_code == 201


async def test_a_key_at_a_path_that_no_row_can_hold_is_no_fault(stand: Stand) -> None:
    made = await stand.submit()
    path = f"{WORKFLOWS}/{made['workflow_id']}/queues/in%00%F0%9F%A7%AA/events"
    answer = await stand.ask("POST", path, {"events": [{"kind": "json", "body": 1}]}, headers={"idempotency-key": "k"})
    assert answer.status_code == 404


async def test_a_request_that_would_be_refused_now_still_gets_its_answer(database_url: str) -> None:
    """Its answer was lost, and meanwhile the service was started without the location, say."""
    keyed, other = {"idempotency-key": "k"}, {"idempotency-key": "another"}
    async with open_stand(database_url) as stand:
        first = await stand.ask("POST", WORKFLOWS, NEW, headers=keyed)
        more = f"/muster/v1/tasks/{first.json()['tasks'][0]['task_id']}/actions/add-workers"
        added = await stand.ask("POST", more, MORE, headers=keyed)
    async with open_stand(database_url, locations=(Location("elsewhere", schedd="elsewhere"),)) as stand:
        again = [await stand.ask("POST", path, body, headers=keyed) for path, body in ((WORKFLOWS, NEW), (more, MORE))]
        others = [await stand.ask("POST", path, body, headers=other) for path, body in ((WORKFLOWS, NEW), (more, MORE))]
        changed = await stand.ask("POST", WORKFLOWS, {**NEW, "name": "other"}, headers=keyed)

    assert [one.content for one in again] == [first.content, added.content]
    assert [one.status_code for one in again] == [201, 201]
    assert [(one.status_code, one.json()["code"]) for one in others] == [(422, "invalid")] * 2
    assert changed.json()["code"] == "idempotency-mismatch"
