"""Do the links in the doors' descriptions lead from an answer to the calls that take what it names?"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from server.stand import EWMS_NEW, NEW, TMS, USER, WMS, Json, Stand

pytestmark = pytest.mark.anyio

DOORS = {
    "/muster/v1/openapi.json": USER,
    "/v1/schema/openapi": USER,
    "/v0/schema/openapi": USER,
    "/v1/mqs/schema/openapi": WMS,
    "/v0/mqs/schema/openapi": WMS,
}


def operations(document: Json) -> dict[str, tuple[str, str, Json]]:
    """Method, path and description of each, by its id."""
    return {
        one["operationId"]: (method, path, one)
        for path, item in document["paths"].items()
        for method, one in item.items()
    }


def links(document: Json) -> Iterator[tuple[str, str, str, Json]]:
    """Operation, status, name and link."""
    for name, (_, _, operation) in operations(document).items():
        for status, response in operation["responses"].items():
            for link, found in response.get("links", {}).items():
                yield name, status, link, found


def point(value: Any, expression: str) -> Any:
    for part in expression.removeprefix("$response.body#/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


async def follow(stand: Stand, document: Json, link: Json, answer: Json, *, by: str = USER) -> int:
    """The status of the call that a link leads to, without a body."""
    method, path, _ = operations(document)[link["operationId"]]
    for name, expression in link["parameters"].items():
        path = path.replace(f"{{{name}}}", str(point(answer, expression)))
    return (await stand.ask(method, path, {} if method == "post" else None, by=by)).status_code


@pytest.mark.parametrize("address", DOORS)
async def test_each_leads_to_a_call_that_is_there_with_all_that_its_path_takes(stand: Stand, address: str) -> None:
    document = await stand.get(address, by=DOORS[address])
    known = operations(document)
    found = list(links(document))

    assert found
    for source, _, _, link in found:
        _, path, target = known[link["operationId"]]
        _, asked_path, _ = known[source]
        assert {one["name"] for one in target["parameters"]} >= set(link["parameters"])
        assert set(re.findall(r"\{(\w+)\}", path)) <= set(link["parameters"])
        for expression in link["parameters"].values():
            in_request = re.fullmatch(r"\$request\.path\.(\w+)", expression)
            assert in_request is None or f"{{{in_request[1]}}}" in asked_path
            assert in_request is not None or re.fullmatch(r"\$response\.body#(/\w+)+", expression)


async def test_a_stream_is_no_end_of_a_link(stand: Stand) -> None:
    document = await stand.get("/muster/v1/openapi.json")
    [stream] = [name for name, (_, path, _) in operations(document).items() if path.endswith("/stream")]

    assert all(stream not in {source, link["operationId"]} for source, _, _, link in links(document))


async def test_from_a_workflow_every_call_about_it_is_reached(stand: Stand) -> None:
    document = await stand.get("/muster/v1/openapi.json")
    workflow = await stand.submit(NEW)
    from_there = [link for source, _, _, link in links(document) if source == "MusterV1WorkflowsSubmit"]

    reached = {link["operationId"]: await follow(stand, document, link, workflow) for link in from_there}

    assert {name for name, status in reached.items() if status == 404} == set()
    prefix = "/muster/v1/workflows/{workflow_id}"
    about = {
        name
        for name, (_, path, _) in operations(document).items()
        if path.startswith((prefix, "/muster/v1/tasks/", "/muster/v1/taskforces/"))
        and not path.endswith(("/stream", "/{file}", "/orders/{order_id}"))
    }
    assert set(reached) >= about


async def test_an_order_for_workers_leads_to_what_came_of_it(stand: Stand) -> None:
    document = await stand.get("/muster/v1/openapi.json")
    uuid = (await stand.start(await stand.submit()))["taskforce_uuid"]
    order = await stand.post(f"/muster/v1/taskforces/{uuid}/orders", {"action": "hold"})
    [link] = [
        link
        for source, _, _, link in links(document)
        if source == "MusterV1TaskforcesUuidOrdersOrder" and link["operationId"].endswith("OrdersOrderIdShow")
    ]

    assert link["parameters"] == {"uuid": "$request.path.uuid", "order_id": "$response.body#/order_id"}
    here = {**link, "parameters": {"uuid": "$response.body#/taskforce_uuid", "order_id": "$response.body#/order_id"}}
    assert await follow(stand, document, here, order) == 200


async def test_from_a_workflow_of_upstreams_clients_its_parts_are_reached(stand: Stand) -> None:
    document = await stand.get("/v1/schema/openapi")
    new = await stand.post("/v1/workflows", EWMS_NEW)
    from_there = [link for source, _, _, link in links(document) if source == "V1WorkflowsSubmit"]

    statuses = [await follow(stand, document, link, new, by=by) for link in from_there for by in (USER, TMS)]

    assert set(statuses) <= {200, 400, 403, 409}  # but for none is anything not found


async def test_a_page_leads_to_the_next(stand: Stand) -> None:
    for _ in range(3):
        await stand.submit(NEW)
    document = await stand.get("/muster/v1/openapi.json")
    [[_, path, operation]] = [one for name, one in operations(document).items() if name == "MusterV1WorkflowsList"]
    first = await stand.get(f"{path}?limit=2")

    on = operation["responses"]["200"]["links"]["next"]["parameters"]
    second = await stand.get(f"{path}?limit=2&after={point(first, on['after'])}")

    assert [len(first["workflows"]), len(second["workflows"])] == [2, 1]
