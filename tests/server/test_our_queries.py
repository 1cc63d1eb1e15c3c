"""Does our own door find workflows, tasks and taskforces by a filter, in its own words, page by page?"""

import json
import re
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contracts.filter_worlds import ODD_NUMBERS, ODD_TEXTS
from contracts.store_bench import A_TASKFORCE, AN_ENTRY
from muster.client.shapes.workflows import PhaseLogView, TaskforceView, TaskView, WorkflowSummary
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Origin, PhaseLogEntry, TaskDirective, Taskforce, Workflow, WorkflowState
from muster.server.doors.muster.queries.collections import TASKFORCES, TASKS, WORKFLOWS
from muster.server.ports.finder import Attribute, Log, Words
from muster.server.ports.store import Transaction
from muster.server.services.find_objects import Collection
from server.stand import NEW, NEW_TASK, OPERATOR, STRANGER, TMS, USER, WMS, Json, Stand

pytestmark = pytest.mark.anyio

DOOR = "/muster/v1"


async def query(stand: Stand, what: str, asked: Json, *, by: str = USER, **more: Json) -> Json:
    answer = await stand.post(f"{DOOR}/query/{what}", {"query": asked, **more}, by=by)
    assert set(answer) == {"objects", "next_after"}
    return answer


async def find(stand: Stand, asked: Json, what: str = "taskforces", **more: Json) -> list[Json]:
    """What is found, of all pages."""
    found: list[Json] = []
    after: Json = {}
    while True:
        page = await query(stand, what, asked, **more, **after)
        assert len(page["objects"]) <= more.get("limit", 1000)
        found += page["objects"]
        if page["next_after"] is None:
            return found
        assert re.fullmatch("[0-9a-f]{24}", page["next_after"])
        after = {"after": page["next_after"]}


async def keep(stand: Stand, *uuids: str) -> None:
    def insert(tx: Transaction) -> None:
        for uuid in uuids:
            tx.taskforces.insert(replace(A_TASKFORCE, taskforce_uuid=uuid), AN_ENTRY)

    await stand.parts.store.write(insert)


async def refusal(stand: Stand, body: Json, what: str = "taskforces", *, by: str | None = USER) -> tuple[int, Json]:
    response = await stand.ask("POST", f"{DOOR}/query/{what}", body, by=by)
    answer = response.json()
    assert set(answer) == {"code", "error", "findings", "request_id"}
    return response.status_code, answer


@pytest.fixture
async def life(stand: Stand) -> list[Json]:
    """A workflow with a worker up, one that is aborted, and one that has just begun."""
    first = await stand.submit({**NEW, "priority": 7, "finish_when_done": True})
    order = await stand.start(first, cluster_id=42)
    await stand.enrol(order["taskforce_uuid"])
    tasks = [{**NEW_TASK, "cluster_locations": ["far"], "task_env": {"A": "x"}, "timeout_s": 5.0, "warm": True}]
    second = await stand.submit({**NEW, "name": "other", "tasks": tasks}, by=STRANGER)
    await stand.post(f"{DOOR}/workflows/{second['workflow_id']}/actions/abort", by=STRANGER)
    return [await stand.show(one) for one in (first, second, await stand.submit())]


# -- what is found -------------------------------------------------------------------------------------------------------


async def test_objects_are_shown_as_the_doors_other_routes_show_them(stand: Stand, life: list[Json]) -> None:
    listed = (await stand.get(f"{DOOR}/workflows"))["workflows"]
    for what, made in (
        ("workflows", listed[::-1]),
        ("tasks", [task for one in life for task in one["tasks"]]),
        ("taskforces", [taskforce for one in life for taskforce in one["taskforces"]]),
    ):
        assert await query(stand, what, {}) == {"objects": made, "next_after": None}
        assert await find(stand, {}, what, newest_first=True) == made[::-1]
    for task in await find(stand, {}, "tasks"):
        assert await stand.get(f"{DOOR}/tasks/{task['task_id']}") == task
    for one in await find(stand, {}):
        assert await stand.get(f"{DOOR}/taskforces/{one['taskforce_uuid']}") == one


async def test_an_empty_request_wants_everything(stand: Stand, life: list[Json]) -> None:
    answer = await stand.post(f"{DOOR}/query/workflows", {})
    assert [one["workflow_id"] for one in answer["objects"]] == [one["workflow_id"] for one in life]


async def test_every_field_can_be_asked_for_by_our_own_words(stand: Stand, life: list[Json]) -> None:
    ids = [one["workflow_id"] for one in life]
    for what, asked, found in (
        ("workflows", '{"state": "active"}', [0, 2]),
        ("workflows", '{"state": "aborted", "ended_by": "eve"}', [1]),
        ("workflows", '{"owner": {"$ne": "eve"}, "finish_when_done": true}', [0]),
        ("workflows", '{"name": {"$regex": "^ot"}, "ended_at": {"$gt": 0}}', [1]),
        ("workflows", '{"priority": {"$lt": 50}, "group": null, "created_at": {"$gt": 1e9}}', [0]),
        ("workflows", '{"deactivated": "ABORTED"}', []),
        ("workflows", '{"deactivated": null}', [0, 1, 2]),
        ("tasks", '{"input_queue_aliases": "in", "output_queue_aliases": ["out"]}', [0, 1, 2]),
        ("tasks", '{"cluster_locations": "far", "task_env.A": "x"}', [1]),
        ("tasks", '{"timeout_s": null, "warm": false, "attempts": 5}', [0, 2]),
        ("tasks", '{"task_args": {"$regex": "INFILE"}, "timeout_s": 5}', [1]),
        ("taskforces", '{"location": "far"}', [1]),
        ("taskforces", '{"workers": 1, "n_workers": 2}', [0]),
        ("taskforces", '{"workers": {"$lt": 1}}', [1, 2]),
        ("taskforces", '{"phase": "condor-submit", "cluster_id": 42, "claim_agent": "site-a"}', [0]),
        ("taskforces", '{"held_reason": null, "origin": "submitted", "submit_failures": 0}', [0, 1, 2]),
        ("taskforces", '{"phase_change_log.target_phase": "pending-stopper"}', [1]),
        (
            "taskforces",
            '{"phase_change_log": {"$elemMatch": {"target_phase": "condor-submit", "at": {"$gt": 0}}}}',
            [0],
        ),
        ("taskforces", '{"worker_config.n_cores": 1, "schedd": "far"}', [1]),
    ):
        answer = await find(stand, json.loads(asked), what, projection=["workflow_id"])
        assert [ids.index(one["workflow_id"]) for one in answer] == found, (what, asked)


async def test_only_the_fields_that_are_named_are_shown(stand: Stand, life: list[Json]) -> None:
    uuid = life[0]["taskforces"][0]["taskforce_uuid"]
    names = ["workers", "phase_change_log.target_phase", "worker_config.n_cores", "nothing"]

    [found] = await find(stand, {"taskforce_uuid": uuid}, projection=names)

    assert found == {
        "workers": 1,
        "phase_change_log": [
            {"target_phase": one["target_phase"]} for one in life[0]["taskforces"][0]["phase_change_log"]
        ],
        "worker_config": {"n_cores": 1},
    }


# -- who may -------------------------------------------------------------------------------------------------------------


async def test_everybody_may_look_but_agents_only_at_taskforces(stand: Stand, life: list[Json]) -> None:
    for by in (USER, STRANGER, OPERATOR):
        for what in ("workflows", "tasks", "taskforces"):
            assert len((await query(stand, what, {}, by=by))["objects"]) == 3
    assert len((await query(stand, "taskforces", {}, by=TMS))["objects"]) == 3
    for what, by in (("workflows", TMS), ("tasks", TMS), ("tasks", WMS), ("taskforces", WMS)):
        status, found = await refusal(stand, {}, what, by=by)
        assert (status, found["code"]) == (403, "forbidden")
    for nobody in (None, "nobody"):
        assert (await refusal(stand, {}, by=nobody))[0] == 401


async def test_a_task_is_shown_to_users(stand: Stand, life: list[Json]) -> None:
    path = f"{DOOR}/tasks/{life[0]['tasks'][0]['task_id']}"
    for by in (USER, STRANGER, OPERATOR):
        assert (await stand.get(path, by=by))["workflow_id"] == life[0]["workflow_id"]
    assert (await stand.ask("GET", path, by=TMS)).status_code == 403
    for unknown in ("TK-6b0259da-962b1dcf-6713e685", "x", "TK-1", "%00"):
        assert (await stand.ask("GET", f"{DOOR}/tasks/{unknown}")).status_code == 404


# -- pages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_have_as_many_as_are_wanted_and_lose_nothing(stand: Stand, *, newest_first: bool) -> None:
    uuids = [f"TF-{number}" for number in range(23)]
    await keep(stand, *uuids)
    wanted = uuids[::-1] if newest_first else uuids

    for limit in (1, 7, 22, 23, 24, 1000):
        found = await find(stand, {}, limit=limit, newest_first=newest_first)
        assert [one["taskforce_uuid"] for one in found] == wanted
    first = await query(stand, "taskforces", {}, limit=23, newest_first=newest_first)
    assert (len(first["objects"]), first["next_after"]) == (23, None)
    some = await find(stand, {"taskforce_uuid": {"$regex": "[13]$"}}, limit=2, newest_first=newest_first)
    assert [one["taskforce_uuid"] for one in some] == [one for one in wanted if one[-1] in "13"]


async def test_pages_hold_what_was_there_when_they_began(stand: Stand) -> None:
    await keep(stand, *(f"TF-{number}" for number in range(4)))
    newest = await query(stand, "taskforces", {}, limit=2, newest_first=True)
    oldest = await query(stand, "taskforces", {}, limit=2)
    await keep(stand, "TF-4")

    behind = await query(stand, "taskforces", {}, newest_first=True, after=newest["next_after"])
    ahead = await query(stand, "taskforces", {}, after=oldest["next_after"])

    assert [one["taskforce_uuid"] for one in behind["objects"]] == ["TF-1", "TF-0"]
    assert [one["taskforce_uuid"] for one in ahead["objects"]] == ["TF-2", "TF-3", "TF-4"]


# -- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"query": None}, "query", "must be type 'object'"),
        ({"query": []}, "query", "must be type 'object'"),
        ({"limit": 0}, "limit", ""),
        ({"limit": 1001}, "limit", ""),
        ({"limit": "5"}, "limit", ""),
        ({"newest_first": "yes"}, "newest_first", ""),
        ({"projection": []}, "projection", "at least 1 items"),
        ({"projection": ["a", "a"]}, "projection", "unique"),
        ({"after": "x"}, "after", "must be a `next_after` that this service gave"),
        ({"after": "f" * 24}, "after", "must be a `next_after` that this service gave"),
        ({"query": {"phase": {"$where": "1"}}}, "query", "$where"),
        ({"query": {"phase": {"$regex": "("}}}, "query", "$regex"),
        ({"query": {"$expr": 1}}, "query", "$expr"),
    ],
)
async def test_what_is_wrong_is_told_by_its_field(stand: Stand, body: Json, field: str, reason: str) -> None:
    for what in ("workflows", "tasks", "taskforces"):
        status, found = await refusal(stand, body, what)
        assert (status, found["code"]) == (422, "invalid")
        assert any(
            one["field"].startswith(field) and reason in f"{one['field']} {one['reason']}" for one in found["findings"]
        )
    assert (await refusal(stand, {"sort": 1}))[0] == 422


async def test_what_is_no_json_is_a_400_and_what_is_no_query_has_no_route(stand: Stand) -> None:
    assert (await refusal(stand, b"{"))[0] == 400
    assert (await refusal(stand, {}, "events"))[0] == 404


names = st.sampled_from([field.encode_name for field in msgspec.structs.fields(TaskforceView)]) | st.text(max_size=3)
OPERATORS = "$and $or $not $eq $ne $in $gt $lte $exists $size $all $elemMatch $regex $mod x"
operators = st.sampled_from(OPERATORS.split())
plain = st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | st.sampled_from(ODD_TEXTS)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | operators, inner, max_size=3),
    max_leaves=8,
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    asked=st.dictionaries(names, anything | st.dictionaries(operators, anything, min_size=1, max_size=2), max_size=3),
    newest_first=st.booleans(),
)
async def test_whatever_is_asked_is_answered_or_refused(stand: Stand, asked: Json, *, newest_first: bool) -> None:
    if not await find(stand, {}):
        await keep(stand, "TF-1")

    response = await stand.ask("POST", f"{DOOR}/query/taskforces", {"query": asked, "newest_first": newest_first})

    assert response.status_code in (200, 422), response.text


# -- the table of fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collection", "shape", "kept"),
    [(WORKFLOWS, WorkflowSummary, Workflow), (TASKS, TaskView, TaskDirective), (TASKFORCES, TaskforceView, Taskforce)],
)
def test_every_field_that_is_shown_has_its_source(
    collection: Collection[Any], shape: type[msgspec.Struct], kept: type[Any]
) -> None:
    assert set(collection.sources) == {field.encode_name for field in msgspec.structs.fields(shape)}
    attributes = {field.name for field in fields(kept)}
    for source in collection.sources.values():
        match source:
            case Attribute(name) | Words(name, _):
                assert name in attributes
            case Log(log_names):
                assert set(log_names) == {field.name for field in msgspec.structs.fields(PhaseLogView)}
                assert set(log_names.values()) == {field.name for field in fields(PhaseLogEntry)}


def test_every_state_has_its_word() -> None:
    for source, words in (
        (WORKFLOWS.sources["state"], WorkflowState),
        (TASKFORCES.sources["phase"], Phase),
        (TASKFORCES.sources["origin"], Origin),
    ):
        assert isinstance(source, Words)
        assert set(source.words) == set(words)


async def test_a_query_is_no_change_and_not_in_the_audit(stand: Stand) -> None:
    with capture_logs() as lines:
        await query(stand, "tasks", {})
        await stand.submit()

    audited = [one["action"] for one in lines if one.get("stream") == "audit"]
    assert audited == ["POST /muster/v1/workflows"]
