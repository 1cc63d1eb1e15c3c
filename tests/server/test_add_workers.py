"""Do more workers come to a task through our own door, once a request, and only where they can work?"""

from dataclasses import replace

import pytest

from muster.domain.caller import Caller, Role
from muster.domain.errors import InvalidError
from muster.domain.location import Location
from muster.server.services.add_workers import MoreWorkers, add_workers
from server.stand import EWMS_NEW, NEW, STRANGER, TMS, USER, Json, Stand

pytestmark = pytest.mark.anyio

MORE: Json = {"location": "far", "n_workers": 9}


def path_of(workflow: Json) -> str:
    return f"/muster/v1/tasks/{workflow['tasks'][0]['task_id']}/actions/add-workers"


async def test_more_workers_are_a_taskforce_like_the_first_that_goes_first(stand: Stand) -> None:
    workflow = await stand.submit()
    [first] = workflow["taskforces"]

    answer = await stand.ask("POST", path_of(workflow), MORE)

    assert answer.status_code == 201
    added = answer.json()
    assert (added["location"], added["n_workers"], added["priority"]) == ("far", 9, first["priority"] + 100)
    assert (added["worker_config"], added["pilot_config"]) == (first["worker_config"], first["pilot_config"])
    assert added["phase_change_log"][0]["source_entity"] == "USER"
    assert added == await stand.get(f"/muster/v1/taskforces/{added['taskforce_uuid']}")
    await stand.advance()
    [order] = (await stand.claim(locations=["far"]))["start"]
    assert order["taskforce_uuid"] == added["taskforce_uuid"]


async def test_with_a_key_a_request_that_arrives_twice_adds_once(stand: Stand) -> None:
    workflow = await stand.submit()

    answers = [await stand.ask("POST", path_of(workflow), MORE, headers={"idempotency-key": "k"}) for _ in range(2)]
    other = await stand.ask("POST", path_of(workflow), {**MORE, "n_workers": 1}, headers={"idempotency-key": "k"})
    await stand.post(path_of(workflow), MORE)
    await stand.post(path_of(workflow), MORE)

    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    assert len((await stand.show(workflow))["taskforces"]) == 1 + 1 + 2


async def test_an_alias_is_the_location_that_it_stands_for(stand: Stand) -> None:
    workflow = await stand.submit()
    assert (await stand.post(path_of(workflow), {**MORE, "location": "here"}))["location"] == "local"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            {"location": "mars", "n_workers": 1},
            "location: there is no location 'mars'; known are: beside, far, here, local, test-alpha, test-beta",
        ),
        ({"location": "far", "n_workers": 0}, "n_workers: must be 1 to 1000000"),
        ({"location": "far", "n_workers": 1_000_001}, "n_workers: must be 1 to 1000000"),
        ({"location": "far"}, "'n_workers' is a required property"),
        ({"location": "far", "n_workers": 1, "priority": 1}, "'priority'"),
    ],
)
async def test_a_request_that_cannot_be_is_refused_with_the_fault(stand: Stand, body: Json, fault: str) -> None:
    workflow = await stand.submit()

    refused = await stand.ask("POST", path_of(workflow), body)

    assert refused.status_code == 422
    assert fault in refused.json()["error"]
    assert len(refused.json()["findings"]) == 1
    assert len((await stand.show(workflow))["taskforces"]) == 1


async def test_a_task_with_an_image_gets_none_where_no_image_can_run(stand: Stand) -> None:
    bare = {**stand.parts.locations, "far": Location("far", schedd="far", containers=False)}
    image = await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "task_image": "debian:12"}]})
    plain = await stand.submit()

    def more(workflow: Json) -> MoreWorkers:
        return MoreWorkers(workflow["tasks"][0]["task_id"], "far", 1, "location", None, 201, lambda _: b"added")

    parts, ada = replace(stand.parts, locations=bare), Caller(USER, frozenset({Role.USER}))
    with pytest.raises(
        InvalidError, match="location: no container runtime here: task_image 'debian:12' cannot run at 'far'"
    ):
        await add_workers(parts, ada, more(image))
    assert (await add_workers(parts, ada, more(plain))).body == b"added"


async def test_who_may_add_and_to_what(stand: Stand) -> None:
    ours, upstream, over = await stand.submit(), await stand.post("/v1/workflows", EWMS_NEW), await stand.submit()
    await stand.end(over, "finish")
    theirs = await stand.get(f"/muster/v1/workflows/{upstream['workflow']['workflow_id']}")

    asked = [
        await stand.ask("POST", path_of(ours), MORE, by=STRANGER),
        await stand.ask("POST", path_of(ours), MORE, by=TMS),
        await stand.ask("POST", path_of(theirs), MORE, by=USER),
        await stand.ask("POST", path_of(over), MORE),
        await stand.ask("POST", "/muster/v1/tasks/TK-1/actions/add-workers", MORE),
        await stand.ask("POST", path_of(ours).replace(path_of(ours)[-28:-20], "00000000"), MORE),
    ]

    assert [one.status_code for one in asked] == [403, 403, 409, 409, 404, 404]
    assert "is served by muster" in asked[2].json()["error"]
    assert asked[3].json()["error"] == f"workflow {over['workflow_id']} is over (finished): it takes no more workers"
