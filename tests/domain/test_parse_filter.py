"""What can be asked, and what is told of what cannot?"""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.errors import Finding, InvalidError
from muster.domain.filter import (
    And,
    Compares,
    Equals,
    Exists,
    Field,
    Filter,
    Fits,
    HasElement,
    HasSize,
    IsOneOf,
    Not,
    Or,
    Order,
    list_roots,
)
from muster.domain.match_filter import matches
from muster.domain.parse_filter import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    FINDINGS_MAX,
    LOGIC,
    NAMES_MAX,
    OPERATORS,
    PATTERNS_MAX,
    VALUE_DEPTH_MAX,
    VALUES_MAX,
    parse_filter,
)

Json = Any


def make_pattern(pattern: str, options: str) -> Callable[[str], bool]:
    """Finds a text, and takes no bracket."""
    if "(" in pattern:
        raise ValueError("has a bracket")
    return lambda text: pattern.lower() in text.lower() if "i" in options else pattern in text


def parse(query: object) -> Filter:
    return parse_filter(query, make_pattern=make_pattern)


def findings_of(query: object) -> list[Finding]:
    with pytest.raises(InvalidError) as raised:
        parse(query)
    return list(raised.value.findings)


A = ("a",)


@pytest.mark.parametrize(
    ("query", "filter_"),
    [
        ({}, And(())),
        ({"a": 1}, Field(A, Equals(1))),
        ({"a": {}}, Field(A, Equals({}))),
        ({"a.0.b": {"c": {"$d": 1}}}, Field(("a", "0", "b"), Equals({"c": {"$d": 1}}))),
        ({"a": {"b": 1, "$gt": 2}}, Field(A, Equals({"b": 1, "$gt": 2}))),  # the first name decides
        ({"a": 1, "b": 2}, And((Field(A, Equals(1)), Field(("b",), Equals(2))))),
        ({"a": {"$eq": {"$x": 1}}}, Field(A, Equals({"$x": 1}))),
        ({"a": {"$ne": 1}}, Not(Field(A, Equals(1)))),
        (
            {"a": {"$gt": 1, "$lte": 2}},
            And((Field(A, Compares(Order.GT, 1)), Field(A, Compares(Order.LTE, 2)))),
        ),
        ({"a": {"$in": [1, "x"]}}, Field(A, IsOneOf((1, "x")))),
        ({"a": {"$nin": []}}, Not(Field(A, IsOneOf(())))),
        ({"a": {"$exists": True}}, Field(A, Exists())),
        ({"a": {"$exists": 0.0}}, Not(Field(A, Exists()))),
        ({"a": {"$size": 2.0}}, Field(A, HasSize(2))),
        ({"a": {"$all": [1, [2]]}}, And((Field(A, Equals(1)), Field(A, Equals([2]))))),
        ({"a": {"$all": []}}, Or(())),
        (
            {"a": {"$elemMatch": {"$gt": 1}}},
            Field(A, HasElement(Field((), Compares(Order.GT, 1)), is_value=True)),
        ),
        ({"a": {"$elemMatch": {"b": 1}}}, Field(A, HasElement(Field(("b",), Equals(1)), is_value=False))),
        ({"a": {"$elemMatch": {}}}, Field(A, HasElement(And(()), is_value=False))),
        (
            {"a": {"$elemMatch": {"$or": [{"b": 1}]}}},
            Field(A, HasElement(Or((Field(("b",), Equals(1)),)), is_value=False)),
        ),
        ({"a": {"$not": {"$size": 1}}}, Not(Field(A, HasSize(1)))),
        ({"a": {"$regex": "x", "$options": "im"}}, Field(A, Fits("x", "im", str.isalpha))),
        ({"$and": [{"a": 1}]}, And((Field(A, Equals(1)),))),
        ({"$or": [{}, {"a": 1}]}, Or((And(()), Field(A, Equals(1))))),
        ({"$nor": [{"a": 1}]}, Not(Or((Field(A, Equals(1)),)))),
    ],
)
def test_what_a_query_says(query: Json, filter_: Filter) -> None:
    assert parse(query) == filter_


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ([], "query", "must be type 'object' (dict)"),
        ({"$where": "1"}, "query.$where", f"$where is not supported here; supported are {', '.join(LOGIC)}"),
        ({"$expr": {}}, "query.$expr", f"$expr is not supported here; supported are {', '.join(LOGIC)}"),
        ({"$text": {}}, "query.$text", f"$text is not supported here; supported are {', '.join(LOGIC)}"),
        ({"$eq": 1}, "query.$eq", f"$eq is not supported here; supported are {', '.join(LOGIC)}"),
        (
            {"a.b": {"$mod": [2, 0]}},
            "query.a.b.$mod",
            f"$mod is not supported here; supported are {', '.join(OPERATORS)}",
        ),
        ({"a": {"$type": 1}}, "query.a.$type", f"$type is not supported here; supported are {', '.join(OPERATORS)}"),
        ({"a": {"$and": []}}, "query.a.$and", f"$and is not supported here; supported are {', '.join(OPERATORS)}"),
        ({"$and": {}}, "query.$and", "must be type 'array' (list), of at least 1 filter"),
        ({"$or": []}, "query.$or", "must be type 'array' (list), of at least 1 filter"),
        ({"$nor": [1]}, "query.$nor[0]", "must be type 'object' (dict)"),
        ({"$or": [{}, {"a": {"$in": 5}}]}, "query.$or[1].a.$in", "must be type 'array' (list)"),
        ({"a": {"$in": [1, {"$regex": "x"}]}}, "query.a.$in[1]", "must be a value, without operators"),
        ({"a": {"$all": [{"$gt": 1}]}}, "query.a.$all[0]", "must be a value, without operators"),
        ({"a": {"$all": {}}}, "query.a.$all", "must be type 'array' (list)"),
        ({"a": {"$all": [{"$elemMatch": {}}, 1]}}, "query.a.$all[1]", "must be an $elemMatch, as the others are"),
        ({"a": {"$exists": "yes"}}, "query.a.$exists", "must be type 'boolean' (bool)"),
        ({"a": {"$exists": None}}, "query.a.$exists", "must be type 'boolean' (bool)"),
        *(
            ({"a": {"$size": size}}, "query.a.$size", "must be type 'integer' (int), at least 0")
            for size in (-1, 1.5, True, "1", None)
        ),
        ({"a": {"$not": {}}}, "query.a.$not", "must be type 'object' (dict), of at least 1 operator"),
        ({"a": {"$not": 5}}, "query.a.$not", "must be type 'object' (dict), of at least 1 operator"),
        ({"a": {"$elemMatch": []}}, "query.a.$elemMatch", "must be type 'object' (dict)"),
        (
            {"a": {"$gt": 1, "b": 2}},
            "query.a.b",
            "stands among operators; an object that holds names with $ is asked for by $eq",
        ),
        ({"a": {"$regex": 5}}, "query.a.$regex", "must be type 'string' (str)"),
        ({"a": {"$regex": "("}}, "query.a.$regex", "has a bracket"),
        ({"a": {"$regex": "x", "$options": "x"}}, "query.a.$options", "must be of the letters i, m and s"),
        ({"a": {"$regex": "x", "$options": 1}}, "query.a.$options", "must be of the letters i, m and s"),
        ({"a": {"$options": "i"}}, "query.a.$options", "must stand beside $regex"),
        ({"a": math.inf}, "query.a", "must be a finite number"),
        ({"a": {"$in": [math.nan]}}, "query.a.$in[0]", "must be a finite number"),
        ({"a": "\ud800"}, "query.a", "is not text: broken UTF-8, or half of a surrogate pair"),
        ({"a": {"b": {"\udfff": 1}}}, "query.a", "is not text: broken UTF-8, or half of a surrogate pair"),
        ({"\ud800": 1}, "query.?", "is not text: broken UTF-8, or half of a surrogate pair"),
        ({"a": {"$regex": "\ud800"}}, "query.a.$regex", "is not text: broken UTF-8, or half of a surrogate pair"),
        ({"a." * NAMES_MAX: 1}, f"query.{'a.' * 38}a...", f"must have no more than {NAMES_MAX} names"),
    ],
)
def test_what_cannot_be_asked_is_told_by_its_place(query: Json, field: str, reason: str) -> None:
    assert findings_of(query) == [Finding(field, reason)]


def test_every_fault_is_told_at_once() -> None:
    query = {"a": {"$mod": 1, "$size": -1}, "$or": [{"b": {"$in": 1}}, {"$where": 1}], "c": 5}
    assert [finding.field for finding in findings_of(query)] == [
        "query.a.$mod",
        "query.a.$size",
        "query.$or[0].b.$in",
        "query.$or[1].$where",
    ]


def test_not_more_faults_are_told_than_help() -> None:
    assert len(findings_of({f"${number}": 1 for number in range(10_000)})) == FINDINGS_MAX


def nested(operator: str, depth: int) -> Json:
    query: Json = {"a": 1}
    for _ in range(depth):
        query = {operator: [query]}
    return query


def nested_elements(depth: int) -> Json:
    query: Json = {"a": 1}
    for _ in range(depth):
        query = {"a": {"$elemMatch": query}}
    return query


def nested_nots(depth: int) -> Json:
    asked: Json = {"$eq": 1}
    for _ in range(depth):
        asked = {"$not": asked}
    return {"a": asked}


def nested_values(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize(
    ("made", "limit", "reason"),
    [
        (lambda n: nested("$and", n), DEPTH_MAX, f"must not be nested deeper than {DEPTH_MAX}"),
        (lambda n: nested("$nor", n), DEPTH_MAX, f"must not be nested deeper than {DEPTH_MAX}"),
        (nested_elements, DEPTH_MAX, f"must not be nested deeper than {DEPTH_MAX}"),
        (nested_nots, DEPTH_MAX, f"must not be nested deeper than {DEPTH_MAX}"),
        (nested_values, VALUE_DEPTH_MAX, f"must not be nested deeper than {VALUE_DEPTH_MAX}"),
        (
            lambda n: {f"a{number}": 1 for number in range(n)},
            CONDITIONS_MAX - 1,
            f"one query may have {CONDITIONS_MAX} conditions",
        ),
        (
            lambda n: {"$or": [{} for _ in range(n)]},
            CONDITIONS_MAX - 1,
            f"one query may have {CONDITIONS_MAX} conditions",
        ),
        (
            lambda n: {"a": {"$all": [*range(n)]}},
            CONDITIONS_MAX - 2,
            f"one query may have {CONDITIONS_MAX} conditions",
        ),
        (
            lambda n: {f"a{number}": {"$regex": "x"} for number in range(n)},
            PATTERNS_MAX,
            f"one query may have {PATTERNS_MAX} regular expressions",
        ),
        (lambda n: {"a": {"$in": [*range(n)]}}, VALUES_MAX, f"one query may compare with {VALUES_MAX} values"),
        (
            lambda n: {"a": {"$eq": {str(number): 1 for number in range(n)}}},
            VALUES_MAX - 1,
            f"one query may compare with {VALUES_MAX} values",
        ),
    ],
)
def test_there_is_an_end_to_what_can_be_asked(made: Callable[[int], Json], limit: int, reason: str) -> None:
    parse(made(limit))
    for beyond in (limit + 1, limit * 10):
        assert [finding.reason for finding in findings_of(made(beyond))] == [reason]


names = st.sampled_from([*LOGIC, *OPERATORS, "$where", "$x", "a", "a.b", "b", "_id", ""]) | st.text(max_size=3)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@given(anything, st.dictionaries(st.sampled_from("ab"), anything, max_size=2))
def test_anything_is_a_filter_that_can_judge_or_is_refused(query: Json, document: dict[str, Json]) -> None:
    try:
        filter_ = parse(query)
    except InvalidError as error:
        str(error).encode()  # it can be told
    else:
        assert matches(filter_, document) in (True, False)
        assert matches(Not(filter_), document) is not matches(filter_, document)
        assert list_roots(filter_) <= {name.partition(".")[0] for name in _list_names(query)}


def _list_names(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for one in value.values() for name in _list_names(one))]
    return [name for one in value for name in _list_names(one)] if isinstance(value, list) else []


def test_what_is_parsed_is_what_was_sent() -> None:
    sent = {"a": {"$in": [{"x": [1, {"y": None}]}, "z", 2**80]}}
    assert parse(json.loads(json.dumps(sent))) == Field(A, IsOneOf(({"x": [1, {"y": None}]}, "z", 2**80)))
