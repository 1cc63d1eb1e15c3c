"""Are JSON values equal, and ordered, as MongoDB has it?"""

from functools import cmp_to_key
from itertools import combinations_with_replacement, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.filter import MISSING, OPAQUE
from muster.domain.value_order import compare, is_equal, kind_of

ASCENDING: list[Any] = [
    None,
    -(10**30),
    -1.5,
    0,
    0.1,
    1,
    2**53,
    2**53 + 1,
    1e300,
    10**400,
    "",
    "0",
    "A",
    "a",
    "a\0",
    "aa",
    "é",
    "\uffff",
    "😀",
    {},
    {"b": None},
    {"a": 1},  # a number comes after null, before any name is looked at
    {"a": 1, "b": 1},
    {"a": 2},
    {"b": 1},
    {"a": "x"},
    [],
    [None],
    [1],
    [1, 1],
    [2],
    ["a"],
    False,
    True,
]
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)


def test_every_value_comes_before_those_behind_it() -> None:
    for first, second in combinations_with_replacement(range(len(ASCENDING)), 2):
        left, right = ASCENDING[first], ASCENDING[second]
        assert (compare(left, right) < 0, compare(right, left) > 0) == (first < second, first < second), (left, right)
        assert is_equal(left, right) is (first == second), (left, right)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (5, 5.0, True),
        (0.0, -0.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("1", 1, False),
        ("\u00e9", "e\u0301", False),
        (2**53 + 1, float(2**53), False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ([1, [True]], [1.0, [True]], True),
        ([1, [True]], [1, [1]], False),
        (MISSING, MISSING, False),
        (OPAQUE, OPAQUE, False),
        (MISSING, None, False),
    ],
)
def test_which_values_are_equal(left: Any, right: Any, *, equal: bool) -> None:
    assert is_equal(left, right) is equal
    assert is_equal(right, left) is equal


@given(st.lists(values, max_size=8))
def test_there_is_one_order_of_all_values(some: list[Any]) -> None:
    ordered = sorted(some, key=cmp_to_key(compare))

    assert all(compare(one, other) <= 0 for one, other in pairwise(ordered))
    assert [kind_of(one) for one in ordered] == sorted(kind_of(one) or 0 for one in some)


@given(values, values)
def test_turning_the_two_around_turns_the_order_around(left: Any, right: Any) -> None:
    there, back = compare(left, right), compare(right, left)

    assert (there > 0, there < 0) == (back < 0, back > 0)
    assert is_equal(left, left)
