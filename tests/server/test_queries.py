"""Do EWMS clients find what they look for, page by page, and never a 5xx? (wms.md 4.7 to 4.9, 15)"""

import json
import re
import threading
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.filter_worlds import ODD_NUMBERS, ODD_TEXTS
from contracts.store_bench import A_TASKFORCE, AN_ENTRY, a_taskforce
from muster.domain.errors import TooLargeError
from muster.domain.parse_filter import OPERATORS as KNOWN
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow, WorkflowState
from muster.server.doors.ewms.queries import QUERIES
from muster.server.doors.ewms.shapes import PhaseLogObject, TaskDirectiveObject, TaskforceObject, WorkflowObject
from muster.server.doors.ewms.shapes_v0 import TaskDirectiveObjectV0, TaskforceObjectV0, WorkflowObjectV0
from muster.server.doors.ewms.sources import WORKFLOW_SOURCES
from muster.server.ports.finder import Attribute, Log, LoggedTaskforce, Words
from muster.server.ports.store import Transaction
from muster.server.services import find_objects
from muster.server.services.find_objects import Collection, find_all, find_page, parse_wanted
from server.stand import EWMS_NEW, EWMS_TASK, STRANGER, TMS, USER, Json, Stand

V1, V0 = QUERIES["/v1"], QUERIES["/v0"]
pytestmark = pytest.mark.anyio

KEYS = {"workflows": "workflows", "task-directives": "task_directives", "taskforces": "taskforces"}
REPORT = {"compound_statuses": {"RUNNING": {"Tasking": 4}, "HELD: a.b $x": {"null": 1}}, "top_task_errors": {"E: 1": 2}}


async def query(stand: Stand, asked: Json, *, what: str = "taskforces", by: str = USER, **more: Json) -> Json:
    answer = await stand.post(f"/v1/query/{what}", {"query": asked, **more}, by=by)
    assert set(answer) == {KEYS[what], "next_after"}
    return answer


async def find(stand: Stand, asked: Json, **more: Json) -> list[str]:
    """The uuids of the taskforces that are found, of all pages."""
    found: list[str] = []
    after = ""
    while True:
        answer = await query(stand, asked, **more, **({"after": after} if after else {}))
        found += [one["taskforce_uuid"] for one in answer["taskforces"]]
        if answer["next_after"] is None:
            return found
        assert re.fullmatch("[0-9a-f]{24}", answer["next_after"])
        after = answer["next_after"]


async def refusal(stand: Stand, body: Json, *, what: str = "taskforces", by: str = USER) -> tuple[int, str]:
    response = await stand.ask("POST", f"/v1/query/{what}", body, by=by)
    answer = response.json()
    assert set(answer) == {"code", "error"}
    assert answer["code"] == response.status_code
    return response.status_code, answer["error"]


async def keep(stand: Stand, *taskforces: Taskforce) -> None:
    def insert(tx: Transaction) -> None:
        for one in taskforces:
            tx.taskforces.insert(one, AN_ENTRY)

    await stand.parts.store.write(insert)


@pytest.fixture
async def life(stand: Stand) -> Json:
    """A workflow at work, one that is over, and one that has just begun, as upstream's parties made them."""
    made = [await stand.post("/v1/workflows", {**EWMS_NEW, "priority": 1})]
    await stand.advance()
    [uuid] = [one["taskforce_uuid"] for one in made[0]["taskforces"]]
    submitted = {"cluster_id": 123, "n_workers": 5, "submit_dict": {"x": 1}, "job_event_log_fpath": "/jel/1"}
    await stand.post(f"/v1/tms/condor-submit/taskforces/{uuid}", submitted, by=TMS)
    report = {f"{name}_by_taskforce": {uuid: told} for name, told in REPORT.items()}
    await stand.post("/v1/tms/statuses/taskforces", report, by=TMS)
    tasks = [{**EWMS_TASK, "cluster_locations": ["test-beta"], "task_env": {"A": "x", "B": "\u00e9"}}]
    made.append(await stand.post("/v1/workflows", {**EWMS_NEW, "tasks": tasks}))
    await stand.post(f"/v1/workflows/{made[1]['workflow']['workflow_id']}/actions/abort")
    made.append(await stand.post("/v1/workflows", EWMS_NEW))
    return made


# -- what is found -------------------------------------------------------------------------------------------------------


async def test_objects_are_shown_as_their_own_routes_show_them_in_order_of_creation(stand: Stand, life: Json) -> None:
    for what, path, name in (
        ("workflows", "workflows", "workflow_id"),
        ("task-directives", "task-directives", "task_id"),
        ("taskforces", "taskforces", "taskforce_uuid"),
    ):
        answer = await query(stand, {}, what=what)
        shown = answer[KEYS[what]]
        made = [one for each in life for one in ([each["workflow"]] if what == "workflows" else each[KEYS[what]])]
        assert [one[name] for one in shown] == [one[name] for one in made]
        assert shown == [await stand.get(f"/v1/{path}/{one[name]}") for one in shown]
        assert answer["next_after"] is None


async def test_what_the_task_management_service_asks_is_answered(stand: Stand, life: Json) -> None:
    """wms.md section 13."""
    of_log = {"schedd": "SCHEDD1", "job_event_log_fpath": "/jel/1"}
    names = ["taskforce_uuid", "cluster_id"]
    uuid = life[0]["taskforces"][0]["taskforce_uuid"]
    found = {"taskforces": [{"taskforce_uuid": uuid, "cluster_id": 123}], "next_after": None}
    for asked in (of_log, {**of_log, "cluster_id": 123}, {**of_log, "phase": {"$ne": "condor-complete"}}):
        assert await query(stand, asked, projection=names, by=TMS) == found
    nothing: Json = {"taskforces": [], "next_after": None}
    assert await query(stand, {**of_log, "phase": "condor-complete"}, projection=names, by=TMS) == nothing


async def test_operators_go_through_the_whole_service(stand: Stand, life: Json) -> None:
    first, second, third = [each["taskforces"][0]["taskforce_uuid"] for each in life]
    for asked, found in {
        '{"compound_statuses.RUNNING.Tasking": {"$gt": 3}}': [first],
        '{"compound_statuses": {}}': [second, third],
        '{"top_task_errors": {"$ne": {}}}': [first],
        '{"phase_change_log.target_phase": "condor-submit"}': [first],
        '{"phase_change_log": {"$elemMatch": {"target_phase": "pending-stopper", "was_successful": true}}}': [second],
        '{"phase_change_log": {"$size": 1}}': [third],
        '{"phase_change_log.1.source_entity": {"$regex": "activator$", "$options": "i"}}': [first],
        '{"schedd": {"$in": ["SCHEDD2", 5, null]}}': [second],
        '{"pilot_config.environment.C": {"$all": ["x", "y"]}, "priority": 1.0}': [first],
        '{"worker_config.worker_memory": {"$lt": 536870913}, "cluster_id": null}': [second, third],
        '{"$nor": [{"cluster_id": {"$exists": false}}, {"submit_dict.x": 1}]}': [second, third],
        '{"timestamp": {"$gte": 1e9, "$lt": 99999999999999999999999}}': [first, second, third],
        '{"_id": {"$ne": "x"}, "collector": null, "nothing.at.all": null}': [first, second, third],
        '{"_id": "64b0c7f2a1b2c3d4e5f60718"}': [],
    }.items():
        assert await find(stand, json.loads(asked)) == found, asked


async def test_workflows_and_tasks_are_found_by_upstreams_words(stand: Stand, life: Json) -> None:
    ids = [each["workflow"]["workflow_id"] for each in life]

    async def workflows(asked: Json) -> list[int]:
        return [ids.index(one["workflow_id"]) for one in (await query(stand, asked, what="workflows"))["workflows"]]

    async def tasks(asked: Json) -> list[int]:
        answer = await query(stand, asked, what="task-directives")
        return [ids.index(one["workflow_id"]) for one in answer["task_directives"]]

    assert await workflows({"deactivated": None}) == [0, 2]
    assert await workflows({"deactivated": "ABORTED"}) == [1]
    assert await workflows({"deactivated": {"$regex": "^A|^F"}, "deactivated_ts": {"$gt": 0}}) == [1]
    assert await workflows({"priority": {"$lte": 49.5}}) == [0]
    assert await workflows({"owner": USER}) == []  # ours, and not a field of theirs
    assert await tasks({"cluster_locations": "test-beta"}) == [1]
    assert await tasks({"task_env.B": "\u00e9"}) == [1]
    assert await tasks({"task_env": {"A": "x", "B": "\u00e9"}}) == [1]
    assert await tasks({"input_queues": {"$size": 1}, "task_env": {}}) == [0, 2]


async def test_everybody_may_look_but_agents_not_at_tasks(stand: Stand, life: Json) -> None:
    for by in (USER, STRANGER):
        assert len((await query(stand, {}, what="task-directives", by=by))["task_directives"]) == 3
    for by in (USER, STRANGER, TMS):
        assert len((await query(stand, {}, what="workflows", by=by))["workflows"]) == 3
        assert len(await find(stand, {}, by=by)) == 3
    assert await refusal(stand, {"query": {}}, what="task-directives", by=TMS) == (403, "authorization failed")
    assert await refusal(stand, {"query": {}}, by="nobody") == (403, "authentication failed")


async def test_only_the_fields_that_are_named_are_shown(stand: Stand, life: Json) -> None:
    times = [
        [entry["timestamp"] for entry in one["phase_change_log"]] for one in (await query(stand, {}))["taskforces"]
    ]
    assert (await query(stand, {}, projection=["phase_change_log.timestamp", "nothing", "_id"]))["taskforces"] == [
        {"phase_change_log": [{"timestamp": time} for time in each]} for each in times
    ]
    assert (await query(stand, {}, projection=["nothing"]))["taskforces"] == [{}, {}, {}]
    assert await query(stand, {}, projection=["_id"]) == await query(stand, {})


# -- pages ---------------------------------------------------------------------------------------------------------------


async def test_a_page_ends_before_the_object_that_has_no_room(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    await keep(stand, *(a_taskforce(f"TF-{number}") for number in range(5)))
    size = len(msgspec.json.encode((await query(stand, {}))["taskforces"][0]))

    for room, pages in ((2 * size, [2, 2, 1]), (2 * size - 1, [1] * 5), (5 * size, [5]), (1, [1] * 5)):
        settings_of_page = stand.parts.settings.model_copy(update={"query_bytes_max": room})
        monkeypatch.setitem(stand.parts.__dict__, "settings", settings_of_page)
        answer = await query(stand, {})
        counts = [len(answer["taskforces"])]
        while answer["next_after"] is not None:
            answer = await query(stand, {}, after=answer["next_after"])
            counts.append(len(answer["taskforces"]))
        assert counts == pages, room
        assert await find(stand, {}) == [f"TF-{number}" for number in range(5)]


async def test_with_after_a_condition_on_the_id_is_passed_over(stand: Stand) -> None:
    await keep(stand, a_taskforce("TF-1"))
    assert await find(stand, {"_id": "x"}) == []
    assert await find(stand, {"_id": "x"}, after="") == []
    answer = await query(stand, {"_id": {"$mod": 1}}, after="0" * 24)
    assert [one["taskforce_uuid"] for one in answer["taskforces"]] == ["TF-1"]


async def test_who_has_looked_long_enough_is_told_where_to_go_on(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the patience is, each call comes further, and nothing is lost."""
    wanted = [f"TF-{number}" for number in range(40)]
    await keep(stand, *(a_taskforce(uuid, worker_config={"cores": int(uuid[3:]) % 2}) for uuid in wanted))
    monkeypatch.setattr(find_objects, "SCAN", 3)
    monkeypatch.setattr(find_objects, "LOOK_FIRST", 2)
    for name, little in (("PAGE_S", 1e-9), ("READ_MAX", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(find_objects, name, little)
            first = await query(stand, {"worker_config.cores": {"$regex": "7"}})
            assert first["taskforces"] == []
            assert (first["next_after"] is None) is (name == "READ_MAX")  # nothing is read of what SQL can tell
            assert await find(stand, {"worker_config.cores": 1}) == wanted[1::2]
            assert await find(stand, {"taskforce_uuid": {"$regex": "9$"}}) == ["TF-9", "TF-19", "TF-29", "TF-39"]


async def test_all_of_it_can_be_had_at_once_up_to_a_limit(stand: Stand) -> None:
    await keep(stand, *(a_taskforce(f"TF-{number}") for number in range(120)))
    wanted = parse_wanted({"taskforce_uuid": {"$ne": "TF-7"}}, projection=["taskforce_uuid"])

    objects = await find_all(stand.parts, V1.taskforces, wanted, bytes_max=1 << 20)

    assert [json.loads(one)["taskforce_uuid"] for one in objects] == [f"TF-{n}" for n in range(120) if n != 7]
    with pytest.raises(TooLargeError, match="more than 100 bytes"):
        await find_all(stand.parts, V1.taskforces, wanted, bytes_max=100)


async def test_what_is_found_is_judged_in_threads_that_all_queries_share(stand: Stand) -> None:
    """However long judging takes, other calls go on meanwhile."""
    await keep(stand, *(a_taskforce(f"TF-{number}") for number in range(60)))
    threads: set[int] = set()
    borrowed: set[int] = set()

    def render(one: LoggedTaskforce) -> dict[str, Json]:
        threads.add(threading.get_ident())
        borrowed.add(stand.parts.query_turns.borrowed_tokens)
        return V1.taskforces.render(one)

    watched = replace(V1.taskforces, render=render)
    page = await find_page(stand.parts, watched, parse_wanted({"taskforce_uuid": {"$regex": "9$"}}))

    assert len(page.objects) == 6
    assert threading.get_ident() not in threads
    assert borrowed == {1}


# -- what is refused -----------------------------------------------------------------------------------------------------


async def test_what_is_wrong_with_a_request_is_told_with_400(stand: Stand) -> None:
    for body, text in (
        ({}, "'query' is a required property"),
        ({"query": None}, "'query': must be type 'object' (dict)"),
        ({"query": {}, "limit": 5}, "Additional properties are not allowed ('limit' was unexpected)"),
        ({"query": {}, "projection": []}, "'projection': must have at least 1 items"),
        ({"query": {}, "projection": ["a", "b", "a"]}, "'projection': items must be unique"),
        ({"query": {}, "projection": "a"}, "'projection': must be type 'array' (list)"),
        ({"query": {}, "after": None}, "'after': must be type 'string' (str)"),
        *(
            ({"query": {}, "after": after}, "'after': must be a `next_after` that this service gave")
            for after in ("x", "0" * 23, "0" * 25, "g" * 24, "f" * 24, "\u0660" * 24, "-" + "0" * 23)
        ),
        (
            {"query": {"phase": {"$mod": [2, 0]}}},
            f"'query.phase.$mod': $mod is not supported here; supported are {', '.join(KNOWN)}",
        ),
        (
            {"query": {"$where": "sleep(9)"}},
            "'query.$where': $where is not supported here; supported are $and, $or, $nor",
        ),
        (
            {"query": {"a": {"$size": -1}}, "after": "x"},
            "'query.a.$size': must be type 'integer' (int), at least 0; 'after': must be a `next_after` that this service gave",
        ),
    ):
        for what in KEYS:
            assert await refusal(stand, body, what=what) == (400, text)


HOSTILE: dict[str, bytes] = {
    "deep logic": b'{"query": ' + b'{"$and": [' * 5_000 + b"{}" + b"]}" * 5_000 + b"}",
    "logic a little too deep": b'{"query": ' + b'{"$and": [' * 30 + b"{}" + b"]}" * 30 + b"}",
    "deep value": b'{"query": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "very many conditions": json.dumps({"query": {"$or": [{"phase": str(n)} for n in range(20_000)]}}).encode(),
    "very many empty ones": b'{"query": {"$or": [' + b",".join([b"{}"] * 200_000) + b"]}}",
    "very many values": json.dumps({"query": {"schedd": {"$in": [*range(100_000)]}}}).encode(),
    "large pattern": json.dumps({"query": {"schedd": {"$regex": "(" * 100_000}}}).encode(),
    "pattern that RE2 has not": json.dumps({"query": {"schedd": {"$regex": "(?=a)"}}}).encode(),
    "many patterns": json.dumps({"query": {f"a{n}": {"$regex": r"(?i)\pL{30}"} for n in range(99)}}).encode(),
    "long path": json.dumps({"query": {"a." * 100_000: 1}}).encode(),
    "half a surrogate pair": b'{"query": {"a": "\\ud800"}}',
    "half a surrogate pair in a name": b'{"query": {"\\udfff": 1}}',
    "broken UTF-8": b'{"query": {"a": "\xff"}}',
    "number without end": b'{"query": {"a": ' + b"9" * 100_000 + b"}}",
    "number too large": b'{"query": {"a": 1e999}}',
    "not a number": b'{"query": {"a": NaN}}',
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_what_nobody_should_ask_is_refused(stand: Stand, kind: str) -> None:
    status, text = await refusal(stand, HOSTILE[kind])
    assert (status, text != "") == (400, True)
    assert len(text) < 10_000


async def test_what_is_odd_but_can_be_asked_is_answered(stand: Stand) -> None:
    text = "a" * 100_000 + "!"
    odd = {"\u0000": 1, 'q"': {"\\": 2}, "a.b": 3, "$x": 4, "": 5, "\U0001f600": [6], "big": 10**30, "long": text}
    await keep(stand, replace(A_TASKFORCE, worker_config=odd, submit_dict={"n": 5, "z": "a\u0000b"}))
    one, none = [A_TASKFORCE.taskforce_uuid], list[str]()
    for asked, found in (
        ({"worker_config.\u0000": 1}, one),
        ({'worker_config.q".\\': 2}, one),
        ({"worker_config.a.b": 3}, none),
        ({"worker_config.$x": 4}, one),
        ({"worker_config.": 5}, one),
        ({"worker_config.\U0001f600.0": 6}, one),
        ({"worker_config.big": 10**30}, one),
        ({"worker_config.big": float(10**30)}, none),
        ({"worker_config.big": {"$gt": 10**29}}, one),
        ({"worker_config": odd}, one),
        ({"worker_config": dict(reversed(odd.items()))}, none),
        ({"submit_dict.z": "a\u0000b"}, one),
        ({"submit_dict.z": {"$gt": "a"}}, one),
        ({"submit_dict.n": True}, none),
        ({"submit_dict.n": 5.0}, one),
        ({"schedd": "a\u0000b"}, none),
        ({"schedd": {"$gt": "a\u0000b"}}, one),
        ({"schedd": {"$in": [str(number) for number in range(9_990)]}}, none),
        ({"worker_config.q": {"$in": [*range(9_990)]}}, none),
        ({"worker_config.long": {"$regex": "(a+)+$"}}, none),
        ({"worker_config.long": {"$regex": "(a|aa)+!$"}}, one),
        ({"n_workers": {"$lt": 2**70}, "cluster_id": {"$not": {"$gt": -(2**70)}}}, one),
        ({"timestamp": {"$in": [3, 1.5, 2**40, 2**70, 2**53 + 1]}}, none),
        ({"timestamp": {"$nin": [3, 5738867484.562461]}}, one),
        ({"priority": True}, none),
        ({"phase_change_log.was_successful": 1}, none),
        ({"phase_change_log.was_successful": {"$gt": False}}, one),
        ({"$and": [{"$or": [{"schedd": str(number)} for number in range(100)]}, {"n_workers": 4}]}, none),
        ({"'; DROP TABLE taskforce; --": 1}, none),
        ({"schedd": "'; DROP TABLE taskforce; --"}, none),
        ({"worker_config.'); --": {"$ne": 1}}, one),
    ):
        assert await find(stand, asked) == found, str(asked)[:200]


NAMES = """
    taskforce_uuid worker_config worker_config.cores phase phase_change_log phase_change_log.timestamp phase_change_log.0
    cluster_id collector timestamp _id nothing $and $or $nor $where
"""
OPERATORS = "$eq $ne $gt $gte $lt $lte $in $nin $not $exists $size $all $elemMatch $regex $options $mod $type x"
fields_asked = st.sampled_from([*NAMES.split(), ""]) | st.text(max_size=3)
operators = st.sampled_from(OPERATORS.split())
plain = st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | st.sampled_from(ODD_TEXTS)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields_asked | operators, inner, max_size=3),
    max_leaves=10,
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.dictionaries(fields_asked, anything | st.dictionaries(operators, anything, min_size=1, max_size=2), max_size=3)
)
async def test_whatever_is_asked_is_answered_or_refused(stand: Stand, asked: Json) -> None:
    if not await find(stand, {}):
        await keep(stand, A_TASKFORCE)

    response = await stand.ask("POST", "/v1/query/taskforces", {"query": asked})

    assert response.status_code in (200, 400), response.text


# -- the table of fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collection", "shape", "kept"),
    [
        (V1.workflows, WorkflowObject, Workflow),
        (V1.directives, TaskDirectiveObject, TaskDirective),
        (V1.taskforces, TaskforceObject, Taskforce),
        (V0.workflows, WorkflowObjectV0, Workflow),
        (V0.directives, TaskDirectiveObjectV0, TaskDirective),
        (V0.taskforces, TaskforceObjectV0, Taskforce),
    ],
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
            case Log(names):
                assert set(names) == {field.name for field in msgspec.structs.fields(PhaseLogObject)}
                assert set(names.values()) == {field.name for field in fields(PhaseLogEntry)}


def test_every_state_has_its_word() -> None:
    assert set(WORKFLOW_SOURCES["deactivated"].words) == set(WorkflowState)  # type: ignore[union-attr]
