"""Which queries are refused, and does the refusal name the operator?

Source: wms.md section 15 and the issue: an operator that is not in the subset is a 400 that names it. Open, so that either
is right: `$options` beside `$regex`, an index in a path (`phase_change_log.0.target_phase`).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.exact import Json, check
from compat.findable import Findable, make_findable
from compat.parties import Desk

KINDS = ["workflows", "task-directives", "taskforces"]


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


@pytest.fixture
def findable(desk: Desk) -> Findable:
    return Findable(desk, {"workflow_id": "WF-6b0259da-962b1dcf"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("query", "operator"),
    [
        ({"$where": "sleep(1000) || true"}, "$where"),
        ({"$expr": {"$gt": ["$n_workers", 1]}}, "$expr"),
        ({"$text": {"$search": "a"}}, "$text"),
        ({"$jsonSchema": {}}, "$jsonSchema"),
        ({"$comment": "hello"}, "$comment"),
        ({"$nonsense": 1}, "$nonsense"),
        ({"$not": {"phase": "x"}}, "$not"),
        ({"$in": ["x"]}, "$in"),
        ({"phase": {"$type": "string"}}, "$type"),
        ({"n_workers": {"$mod": [2, 0]}}, "$mod"),
        ({"n_workers": {"$bitsAllSet": 1}}, "$bitsAllSet"),
        ({"phase": {"$near": [1, 1]}}, "$near"),
        ({"phase": {"$nonsense": 1}}, "$nonsense"),
        ({"phase": {"$gt": "a", "$nonsense": 1}}, "$nonsense"),
        ({"phase": {"$where": "true"}}, "$where"),
        ({"phase": {"$and": [{"$gt": "a"}]}}, "$and"),
        ({"phase": {"$not": {"$type": 2}}}, "$type"),
        ({"$and": [{"phase": "x"}, {"$where": "true"}]}, "$where"),
        ({"$or": [{"phase": {"$mod": [2, 0]}}]}, "$mod"),
        ({"$nor": [{"$and": [{"$expr": True}]}]}, "$expr"),
        ({"phase_change_log": {"$elemMatch": {"$where": "true"}}}, "$where"),
        ({"phase_change_log": {"$elemMatch": {"timestamp": {"$type": 1}}}}, "$type"),
        ({"cluster_locations": {"$elemMatch": {"$nonsense": 1}}}, "$nonsense"),
    ],
    ids=ascii,
)
def test_an_operator_outside_the_subset_is_refused_by_its_name(
    findable: Findable, kind: str, query: Json, operator: str
) -> None:
    assert operator in findable.refuse(query, kind)


@pytest.mark.parametrize(
    ("query", "operator"),
    [
        ({"phase": {"$in": "x"}}, "$in"),
        ({"phase": {"$in": {"a": 1}}}, "$in"),
        ({"phase": {"$nin": None}}, "$nin"),
        ({"phase": {"$in": [{"$gt": 1}]}}, "$in"),
        ({"$and": []}, "$and"),
        ({"$or": {}}, "$or"),
        ({"$or": "x"}, "$or"),
        ({"$nor": [1]}, "$nor"),
        ({"$and": [[{"phase": "x"}]]}, "$and"),
        ({"phase": {"$not": 1}}, "$not"),
        ({"phase": {"$not": {}}}, "$not"),
        ({"phase": {"$not": {"a": 1}}}, "$not"),
        ({"phase": {"$regex": 5}}, "$regex"),
        ({"phase": {"$regex": None}}, "$regex"),
        ({"phase": {"$regex": "("}}, "$regex"),
        ({"phase": {"$regex": "[a-"}}, "$regex"),
        ({"phase": {"$regex": "*"}}, "$regex"),
        ({"cluster_locations": {"$size": "2"}}, "$size"),
        ({"cluster_locations": {"$size": -1}}, "$size"),
        ({"cluster_locations": {"$size": 1.5}}, "$size"),
        ({"cluster_locations": {"$size": True}}, "$size"),
        ({"cluster_locations": {"$all": "x"}}, "$all"),
        ({"cluster_locations": {"$elemMatch": "x"}}, "$elemMatch"),
        ({"cluster_locations": {"$elemMatch": []}}, "$elemMatch"),
    ],
    ids=ascii,
)
def test_an_operand_that_makes_no_sense_is_refused_by_its_operator(
    findable: Findable, query: Json, operator: str
) -> None:
    assert operator in findable.refuse(query)


def test_operators_and_fields_cannot_be_mixed(findable: Findable) -> None:
    assert "nonsense" in findable.refuse({"phase": {"$gt": "a", "nonsense": 1}})


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, ["query"]),
        ({"query": None}, ["query"]),
        ({"query": []}, ["query"]),
        ({"query": "phase"}, ["query"]),
        ({"query": {}, "projection": []}, ["projection"]),
        ({"query": {}, "projection": None}, ["projection"]),
        ({"query": {}, "projection": "phase"}, ["projection"]),
        ({"query": {}, "projection": {"phase": 1}}, ["projection"]),
        ({"query": {}, "projection": ["phase", 1]}, ["projection"]),
        ({"query": {}, "projection": ["phase", "phase"]}, ["projection"]),
        ({"query": {}, "after": None}, ["after"]),
        ({"query": {}, "after": 5}, ["after"]),
        ({"query": {}, "limit": 5}, ["limit"]),
        ({"query": {}, "sort": [], "skip": 1}, ["sort", "skip"]),
        ({"query": 1, "projection": [], "after": 5}, ["query", "projection", "after"]),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_request_is_refused_by_the_names_of_what_is_wrong(
    desk: Desk, kind: str, body: Any, names: list[str]
) -> None:
    answer = desk.user.post(f"/query/{kind}", body, status=400)

    assert [name for name in names if name not in answer.error] == [], answer.error


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"null", b'"query"'])
def test_a_body_that_is_no_object_is_refused(desk: Desk, data: bytes | None) -> None:
    for kind in KINDS:
        desk.user.call("POST", f"/query/{kind}", status=400, data=data)


def test_a_condition_on_values_that_no_database_has_finds_nothing_or_is_refused(desk: Desk) -> None:
    hard: list[Json] = [
        {"phase": "nul \0"},
        {"phase": "half \ud800"},
        {"n_workers": 10**40},
        {"n_workers": {"$gt": 10**400}},
        {"n_workers": -(2**63) - 1},
        {"phase": ["x"] * 1000},
        {"": 1},
        {".": 1},
        {"a..b": 1},
        {".a": 1},
        {"phase'; DROP TABLE taskforces; --": 1},
        {'a"b': {"$exists": True}},
        {"nul\0": 1},
        {"phase.deeper.and.deeper": {"$gt": 1}},
        {"phase": {"": 1}},
        {"phase": {"$in": list(range(5000))}},
    ]
    for query in hard:
        body = {"query": {"workflow_id": "WF-6b0259da-962b1dcf", **query}}
        answer = desk.user.post("/query/taskforces", body, status={200, 400})
        if answer.status == 200:
            assert answer.body["taskforces"] == [], query


def test_a_query_nested_beyond_reason_is_answered(desk: Desk) -> None:
    data = '{"query": ' + '{"$and": [' * 2000 + "{}" + "]}" * 2000 + "}"
    answer = desk.user.call("POST", "/query/taskforces", status={200, 400}, data=data.encode())

    if answer.status == 200:
        check(answer.body, desk.dialect.shapes.found["taskforces"])


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(?:a?){60}a{60}"])
def test_a_regex_that_explodes_is_answered(desk: Desk, pattern: str) -> None:
    findable = make_findable(desk)
    query = {"workflow_id": findable.workflow["workflow_id"], "task_args": {"$regex": pattern}}

    answer = desk.user.post("/query/task-directives", {"query": query}, status={200, 400})

    if answer.status == 400:
        assert "$regex" in answer.error


def test_the_options_of_a_regex_are_honoured_or_refused_by_their_name(desk: Desk) -> None:
    findable = make_findable(desk)
    query = {"task_image": {"$regex": "^other", "$options": "i"}}
    whole = {"workflow_id": findable.workflow["workflow_id"], **query}

    answer = desk.user.post("/query/task-directives", {"query": whole}, status={200, 400})

    if answer.status == 400:
        assert "$options" in answer.error
    else:
        assert [one["task_image"] for one in answer.body["task_directives"]] == ["Other/gamma"]


def test_an_index_in_a_path_is_honoured_or_refused_by_its_name(desk: Desk) -> None:
    findable = make_findable(desk)
    for path, letters in (("phase_change_log.0.target_phase", "A Ba Bb C"), ("phase_change_log.1.target_phase", "")):
        whole = {"workflow_id": findable.workflow["workflow_id"], path: "pre-mq-activation"}
        answer = desk.user.post("/query/taskforces", {"query": whole}, status={200, 400})
        if answer.status == 400:
            assert path in answer.error
        else:
            assert len(answer.body["taskforces"]) == len(letters.split())
