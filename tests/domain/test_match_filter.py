"""Which documents does each operator want? As MongoDB's manual has it, one line a case."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from muster.domain.filter import ID, OPAQUE
from muster.domain.match_filter import matches
from muster.domain.parse_filter import parse_filter

Json = Any
DOCUMENTS: dict[str, Json] = {
    "number": {"a": 5},
    "fraction": {"a": 5.5},
    "text": {"a": "five"},
    "true": {"a": True},
    "null": {"a": None},
    "nothing": {"b": 1},
    "object": {"a": {"b": 5, "c": "x"}},
    "empty object": {"a": {}},
    "numbers": {"a": [1, 5, 9]},
    "texts": {"a": ["four", "five"]},
    "mixed": {"a": [None, "five", {"b": 1}]},
    "empty": {"a": []},
    "objects": {"a": [{"b": 5, "c": "x"}, {"b": 7}]},
    "arrays": {"a": [[1, 5], []]},
    "deep": {"a": [{"b": [{"c": 5}, {"c": None}]}]},
}


def make_pattern(pattern: str, options: str) -> Callable[[str], bool]:
    """For the texts of these tests Python's own engine will do."""
    compiled = re.compile(f"(?{options}){pattern}" if options else pattern)
    return lambda text: compiled.search(text) is not None


def fits(query: Json, document: Json) -> bool:
    return matches(parse_filter(query, make_pattern=make_pattern), document | {ID: OPAQUE})


def find(query: Json) -> set[str]:
    return {name for name, document in DOCUMENTS.items() if fits(query, document)}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        # a value: itself, or some element
        (5, {"number", "numbers"}),
        (5.0, {"number", "numbers"}),
        ("five", {"text", "texts", "mixed"}),
        (True, {"true"}),
        (1, {"numbers"}),
        (None, {"null", "nothing", "mixed"}),
        ({"b": 5, "c": "x"}, {"object", "objects"}),
        ({"c": "x", "b": 5}, set()),
        ({"b": 5}, set()),
        ({}, {"empty object"}),
        ([], {"empty", "arrays"}),
        ([1, 5], {"arrays"}),
        ([1, 5, 9], {"numbers"}),
        ([9, 5, 1], set()),
        ({"$eq": 5}, {"number", "numbers"}),
        ({"$eq": {"$x": 1}}, set()),
        # not: of the whole
        ({"$ne": 5}, set(DOCUMENTS) - {"number", "numbers"}),
        ({"$ne": None}, set(DOCUMENTS) - {"null", "nothing", "mixed"}),
        ({"$not": {"$eq": 5}}, set(DOCUMENTS) - {"number", "numbers"}),
        ({"$not": {"$gt": 5, "$lt": 6}}, set(DOCUMENTS) - {"fraction", "numbers"}),
        ({"$nin": [5, "five"]}, set(DOCUMENTS) - {"number", "numbers", "text", "texts", "mixed"}),
        # order: within one kind
        ({"$gt": 5}, {"fraction", "numbers"}),
        ({"$gte": 5}, {"number", "fraction", "numbers"}),
        ({"$lt": 5}, {"numbers"}),
        ({"$lte": 5}, {"number", "numbers"}),
        ({"$gt": 5, "$lt": 6}, {"fraction", "numbers"}),  # 9 for the one, 1 for the other
        ({"$gt": "five"}, {"texts"}),
        ({"$gte": ""}, {"text", "texts", "mixed"}),
        ({"$gt": False}, {"true"}),
        ({"$gte": None}, {"null", "nothing", "mixed"}),
        ({"$lte": None}, {"null", "nothing", "mixed"}),
        ({"$gt": None}, set()),
        ({"$gte": {}}, {"object", "empty object", "mixed", "objects", "deep"}),
        ({"$gt": [1, 5]}, {"numbers", "arrays", "texts", "objects", "deep"}),
        # one of several
        ({"$in": [5, 5.5, "x"]}, {"number", "fraction", "numbers"}),
        ({"$in": [None]}, {"null", "nothing", "mixed"}),
        ({"$in": [1]}, {"numbers"}),
        ({"$in": [[], {}]}, {"empty", "arrays", "empty object"}),
        ({"$in": []}, set()),
        ({"$nin": []}, set(DOCUMENTS)),
        # there or not
        ({"$exists": True}, set(DOCUMENTS) - {"nothing"}),
        ({"$exists": 0}, {"nothing"}),
        # of arrays
        ({"$size": 0}, {"empty"}),
        ({"$size": 3.0}, {"numbers", "mixed"}),
        ({"$all": [1, 9]}, {"numbers"}),
        ({"$all": [5]}, {"number", "numbers"}),
        ({"$all": [[1, 5]]}, {"arrays"}),
        ({"$all": []}, set()),
        ({"$elemMatch": {"$gt": 5, "$lt": 6}}, set()),
        ({"$elemMatch": {"$gte": 5, "$lt": 6}}, {"numbers"}),
        ({"$elemMatch": {"$ne": "five"}}, {"numbers", "texts", "mixed", "objects", "arrays", "deep"}),
        ({"$elemMatch": {"$size": 2}}, {"arrays"}),
        ({"$elemMatch": {"$elemMatch": {"$eq": 5}}}, {"arrays"}),
        ({"$elemMatch": {"$in": [5]}}, {"numbers"}),
        ({"$elemMatch": {"b": 5, "c": "x"}}, {"objects"}),
        ({"$elemMatch": {"b": 7, "c": "x"}}, set()),
        ({"$elemMatch": {"1": 5}}, {"arrays"}),
        ({"$elemMatch": {"$or": [{"b": 7}, {"b": 1}]}}, {"mixed", "objects"}),
        ({"$elemMatch": {}}, {"mixed", "objects", "arrays", "deep"}),
        ({"$all": [{"$elemMatch": {"b": 7}}, {"$elemMatch": {"c": "x"}}]}, {"objects"}),
        # text
        ({"$regex": "^f"}, {"text", "texts", "mixed"}),
        ({"$regex": "FOUR", "$options": "i"}, {"texts"}),
        ({"$regex": "FOUR"}, set()),
        ({"$not": {"$regex": "f"}}, set(DOCUMENTS) - {"text", "texts", "mixed"}),
        ({"$regex": "f", "$ne": "four"}, {"text", "mixed"}),
    ],
)
def test_what_an_operator_wants_of_a_field(asked: Json, wanted: set[str]) -> None:
    assert find({"a": asked}) == wanted


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"a.b": 5}, {"object", "objects"}),
        ({"a.b": {"$gt": 5}}, {"objects"}),
        ({"a.b": {"$exists": True}}, {"object", "mixed", "objects", "deep"}),
        # what cannot have the field has not got it; but in an array only objects could have
        ({"a.b": None}, {"number", "fraction", "text", "true", "null", "nothing", "empty object"}),
        ({"a.c": None}, find({"a.b": None}) | {"mixed", "objects", "deep"}),
        ({"a.b.c": 5}, {"deep"}),
        ({"a.b.c": {"$in": [None]}}, set(DOCUMENTS) - {"numbers", "texts", "empty", "arrays"}),
        ({"a.b.0.c": 5}, {"deep"}),
        ({"a.b.1.c": 5}, set()),
        ({"a.0": 1}, {"numbers"}),
        ({"a.0": [1, 5]}, {"arrays"}),
        ({"a.0": 5}, set()),  # an element that is named is not opened
        ({"a.0.1": 5}, {"arrays"}),
        ({"a.00": 1}, set()),
        ({"a.1.b": 7}, {"objects"}),
        ({"a.0.b": 7}, set()),
        ({"a.0": {"$size": 2}}, {"arrays"}),
        ({"": None}, set(DOCUMENTS)),
        ({"a.": 5}, set()),
        ({"a.b": 5, "a.c": "x"}, {"object", "objects"}),
    ],
)
def test_where_a_path_leads(query: Json, wanted: set[str]) -> None:
    assert find(query) == wanted


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, set(DOCUMENTS)),
        ({"$and": [{"a": {"$gte": 5}}, {"a": {"$lt": 5.5}}]}, {"number", "numbers"}),
        ({"$or": [{"a": "five"}, {"b": 1}]}, {"text", "texts", "mixed", "nothing"}),
        ({"$nor": [{"a": {"$exists": True}}, {"b": 2}]}, {"nothing"}),
        ({"$or": [{"$and": [{"a": 5}, {"a": 9}]}], "a": {"$size": 3}}, {"numbers"}),
    ],
)
def test_how_conditions_are_joined(query: Json, wanted: set[str]) -> None:
    assert find(query) == wanted


@pytest.mark.parametrize(
    ("asked", "fitting"),
    [
        ("64b0c7f2a1b2c3d4e5f60718", False),
        (None, False),
        ({"$in": [None, "x"]}, False),
        ({"$gte": ""}, False),
        ({"$regex": "."}, False),
        ({"$ne": "x"}, True),
        ({"$nin": ["x"]}, True),
        ({"$exists": True}, True),
        ({"$exists": False}, False),
    ],
)
def test_the_id_is_there_and_is_nothing_that_can_be_asked_for(asked: Json, *, fitting: bool) -> None:
    assert fits({ID: asked}, {"a": 1}) is fitting


def test_an_id_within_a_document_is_a_field_like_any_other() -> None:
    assert fits({"a._id": 5}, {"a": {"_id": 5}})


def test_names_are_taken_as_they_are() -> None:
    held = {"HELD: $x": {'a"b\\c': 1, "\0": 2, "😀": 3}}
    assert all(fits({f"HELD: $x.{name}": number}, held) for name, number in held["HELD: $x"].items())
    assert not fits({"HELD: $x.a.b": 1}, held)
    assert not fits({"HELD.b": 1}, {"HELD.b": 1})  # a name with a dot cannot be asked for by a path
    assert fits({"x": {"$eq": {"$y": {"z.z": 1}}}}, {"x": {"$y": {"z.z": 1}}})
