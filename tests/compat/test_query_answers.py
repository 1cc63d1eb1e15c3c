"""In which form, order and pages does a query's answer come?

Source: wms.md sections 4.7 to 4.9, 5.4, 15, 17 (`/v0` has no pages: everything is in one answer), 19.11. Open: how many
objects a page has; a page may not exceed 10 MiB, here 1 MiB by a setting, so twelve objects of 99,000 bytes are two pages.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import DEACTIVATIONS
from compat.exact import Json, check
from compat.findable import make_findable
from compat.parties import Desk
from compat.samples import request, task, unknown_ids

PAGE_BYTES_MAX = 1 << 20
ROLES_OF = {
    "workflows": ["user", "stranger", "system-tms"],
    "task-directives": ["user", "stranger"],
    "taskforces": ["user", "stranger", "system-tms"],
}


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


@pytest.fixture
def paging(service: Service) -> Iterator[Desk]:
    """Pages are a matter of `/v1`; `/v0` refuses `after` (test_query_refusals)."""
    with Desk(service, "v1") as desk:
        yield desk


def project(desk: Desk, query: Json, projection: list[str], kind: str = "taskforces") -> list[Json]:
    answer = desk.user.post(f"/query/{kind}", {"query": query, "projection": projection})
    key = kind.replace("-", "_")
    assert set(answer.body) == ({key, "next_after"} if desk.dialect.has_paging else {key})
    assert answer.body.get("next_after") is None
    found: list[Json] = answer.body[key]
    return found


def test_found_objects_are_whole_and_the_same_as_when_read(desk: Desk) -> None:
    created = desk.create(request(task(cluster_locations=["test-alpha", "test-beta"]), task(n_workers=1)))
    workflow_id = created["workflow"]["workflow_id"]
    desk.ready_all(created["taskforces"])
    query = {"workflow_id": workflow_id}

    assert desk.find("workflows", query) == [desk.workflow(workflow_id)]
    assert desk.find("task-directives", query) == [desk.directive(one["task_id"]) for one in created["task_directives"]]
    taskforces = [desk.found(desk.taskforce(one["taskforce_uuid"])) for one in created["taskforces"]]
    assert desk.find("taskforces", query, caller=desk.tms) == taskforces


@pytest.mark.parametrize("kind", sorted(ROLES_OF))
def test_everybody_whom_the_route_lists_finds_the_same(desk: Desk, kind: str) -> None:
    created = desk.create()
    desk.ready_all(created["taskforces"])
    key = kind.replace("-", "_")
    ids = {"workflows": "workflow_id", "task_directives": "task_id", "taskforces": "taskforce_uuid"}

    for role in ROLES_OF[kind]:
        found = desk.find(kind, {"workflow_id": created["workflow"]["workflow_id"]}, caller=desk.call_as(role))
        one = created["workflow"] if kind == "workflows" else created[key][0]
        assert [each[ids[key]] for each in found] == [one[ids[key]]]


def test_finding_nothing_is_an_empty_list(desk: Desk) -> None:
    for kind in ROLES_OF:
        answer = desk.user.post(f"/query/{kind}", {"query": {"workflow_id": unknown_ids()["workflow_id"]}})
        key = kind.replace("-", "_")
        assert answer.body == ({key: [], "next_after": None} if desk.dialect.has_paging else {key: []})


def test_workflows_are_found_by_what_became_of_them(desk: Desk) -> None:
    ids = [desk.create(request(priority=7))["workflow"]["workflow_id"] for _ in range(3)]
    desk.deactivate(ids[1], "abort")
    desk.deactivate(ids[2], "finished")
    mine = {"workflow_id": {"$in": ids}}

    def find(query: Json) -> list[str]:
        return [one["workflow_id"] for one in desk.find("workflows", {**mine, **query})]

    assert find({"deactivated": None}) == ids[:1]
    assert find({"deactivated": DEACTIVATIONS["abort"]}) == ids[1:2]
    assert find({"deactivated": {"$ne": None}}) == ids[1:]
    assert find({"deactivated_ts": {"$gt": 0}}) == ids[1:]
    assert find({"priority": 7}) == ids
    assert find({"priority": {"$gt": 7}}) == []


def test_objects_come_in_the_order_of_their_creation(desk: Desk) -> None:
    created = [desk.create(request(priority=priority)) for priority in (50, 1, 100, 2)]
    ids = [one["workflow"]["workflow_id"] for one in created]
    query = {"workflow_id": {"$in": sorted(ids, reverse=True)}}

    for kind in ROLES_OF:
        assert [one["workflow_id"] for one in desk.find(kind, query)] == ids


def test_a_projection_includes_what_it_names(desk: Desk) -> None:
    taskforce = make_findable(desk).taskforces["A"]
    query = {"taskforce_uuid": taskforce["taskforce_uuid"]}

    assert project(desk, query, ["taskforce_uuid", "cluster_id"]) == [
        {"taskforce_uuid": taskforce["taskforce_uuid"], "cluster_id": taskforce["cluster_id"]}
    ]
    assert project(desk, query, ["phase"]) == [{"phase": "condor-submit"}]
    assert project(desk, query, ["phase", "nonsense", "worker_config"]) == [
        {"phase": "condor-submit", "worker_config": taskforce["worker_config"]}
    ]


def test_a_projection_reaches_into_objects_and_arrays_by_dots(desk: Desk) -> None:
    taskforce = make_findable(desk).taskforces["C"]
    query = {"taskforce_uuid": taskforce["taskforce_uuid"]}
    log = taskforce["phase_change_log"]

    assert project(desk, query, ["worker_config.n_cores"]) == [{"worker_config": {"n_cores": 1}}]
    assert project(desk, query, ["worker_config.n_cores", "worker_config.priority", "phase"]) == [
        {"worker_config": {"n_cores": 1, "priority": 99}, "phase": "pending-starter"}
    ]
    assert project(desk, query, ["phase_change_log.timestamp"]) == [
        {"phase_change_log": [{"timestamp": entry["timestamp"]} for entry in log]}
    ]
    both = ["phase_change_log.target_phase", "phase_change_log.was_successful"]
    assert project(desk, query, both) == [
        {
            "phase_change_log": [
                {"target_phase": entry["target_phase"], "was_successful": entry["was_successful"]} for entry in log
            ]
        }
    ]
    assert project(desk, query, ["worker_config.nonsense"]) == [{"worker_config": {}}]


def test_a_projection_of_unknown_names_is_an_empty_object(desk: Desk) -> None:
    workflow_id = desk.create()["workflow"]["workflow_id"]

    for kind in ROLES_OF:
        assert project(desk, {"workflow_id": workflow_id}, ["nonsense"], kind) == [{}]
        assert project(desk, {"workflow_id": workflow_id}, ["nonsense", "_id", "workflow_id"], kind) == [
            {"workflow_id": workflow_id}
        ]


def test_a_projection_of_the_database_s_own_id_alone_is_the_whole_object(desk: Desk) -> None:
    workflow_id = desk.create()["workflow"]["workflow_id"]

    for kind in ROLES_OF:
        (found,) = project(desk, {"workflow_id": workflow_id}, ["_id"], kind)
        shapes = {
            "workflows": desk.dialect.shapes.workflow,
            "task-directives": desk.dialect.shapes.task_directive,
            "taskforces": desk.dialect.shapes.taskforce,
        }
        check(found, shapes[kind])


def make_many_bytes(desk: Desk) -> list[Json]:
    """Twelve directives of one workflow, each of nearly 100,000 bytes: more than a page of this service together."""
    tasks = [task(task_args=f"{number:02d}" + "x" * 99_000) for number in range(12)]
    directives: list[Json] = desk.create(request(*tasks))["task_directives"]
    return directives


def test_large_answers_come_in_pages_on_v1_and_in_one_piece_on_v0(desk: Desk) -> None:
    directives = make_many_bytes(desk)
    query = {"workflow_id": directives[0]["workflow_id"]}

    pages, after, afters = [], dict[str, str](), set[str]()
    while True:
        answer = desk.user.post("/query/task-directives", {"query": query, **after})
        check(answer.body, desk.dialect.shapes.found["task_directives"])
        pages.append(answer)
        if not desk.dialect.has_paging or answer.body["next_after"] is None:
            break
        assert answer.body["task_directives"] != [], "a page that is not the last has something"
        assert answer.body["next_after"] not in afters
        afters.add(answer.body["next_after"])
        after = {"after": answer.body["next_after"]}

    assert [one for page in pages for one in page.body["task_directives"]] == directives
    if desk.dialect.has_paging:
        assert len(pages) >= 2
        assert all(len(page.raw) < PAGE_BYTES_MAX + 1000 for page in pages)
    else:
        assert len(pages) == 1


def test_a_page_can_be_asked_for_again_and_with_a_projection(paging: Desk) -> None:
    directives = make_many_bytes(paging)
    query = {"workflow_id": directives[0]["workflow_id"]}
    first = paging.user.post("/query/task-directives", {"query": query})
    after = first.body["next_after"]
    rest = directives[len(first.body["task_directives"]) :]

    again = [paging.user.post("/query/task-directives", {"query": query, "after": after}) for _ in range(2)]
    projected = paging.user.post(
        "/query/task-directives", {"query": query, "after": after, "projection": ["task_id", "nonsense"]}
    )

    assert again[0].body == again[1].body
    assert again[0].body["task_directives"] == rest[: len(again[0].body["task_directives"])]
    assert projected.body == {"task_directives": [{"task_id": one["task_id"]} for one in rest], "next_after": None}


def test_what_is_created_meanwhile_comes_on_a_later_page(paging: Desk) -> None:
    directives = make_many_bytes(paging)
    mark = {"task_image": directives[0]["task_image"], "timestamp": {"$gte": directives[0]["timestamp"]}}
    query = {"$or": [{"workflow_id": directives[0]["workflow_id"]}, mark]}
    first = paging.user.post("/query/task-directives", {"query": query})
    (new,) = paging.create()["task_directives"]

    ids = [one["task_id"] for one in first.body["task_directives"]]
    after = first.body["next_after"]
    while after is not None:
        page = paging.user.post("/query/task-directives", {"query": query, "after": after})
        ids += [one["task_id"] for one in page.body["task_directives"]]
        after = page.body["next_after"]

    assert len(set(ids)) == len(ids)
    assert [one for one in ids if one in {each["task_id"] for each in directives}] == [
        one["task_id"] for one in directives
    ]
    assert ids[-1] == new["task_id"]


def test_an_empty_after_is_none_and_a_wrong_one_is_refused_on_v1(paging: Desk) -> None:
    workflow_id = paging.ready()["workflow_id"]

    for kind in ROLES_OF:
        body = {"query": {"workflow_id": workflow_id}}
        assert (
            paging.user.post(f"/query/{kind}", {**body, "after": ""}).body
            == paging.user.post(f"/query/{kind}", body).body
        )
        for after in ("x", "zzzzzzzzzzzzzzzzzzzzzzzz", "a" * 5000, "süd", "\0", "' OR 1=1"):
            assert "after" in paging.user.post(f"/query/{kind}", {**body, "after": after}, status=400).error
