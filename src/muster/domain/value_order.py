"""Which JSON values are equal, and which comes first? As MongoDB has it.

Source: MongoDB manual, "Comparison/Sort Order". Numbers are compared as numbers, whole or not; text by its code points, as its
UTF-8 bytes would be; objects field by field, in the order in which they stand: kind of the value, name, value.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Kind(IntEnum):
    """The kinds of JSON values, in MongoDB's order. Only values of one kind compare."""

    NULL = 0
    NUMBER = 1
    TEXT = 2
    OBJECT = 3
    ARRAY = 4
    BOOL = 5


_KINDS: Mapping[type, Kind] = {
    type(None): Kind.NULL,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    dict: Kind.OBJECT,
    list: Kind.ARRAY,
    bool: Kind.BOOL,
}


def kind_of(value: object) -> Kind | None:
    """The kind of a JSON value; None for what is not JSON."""
    return _KINDS.get(type(value))


def is_equal(left: object, right: object) -> bool:
    """Are they the same JSON value? What is not JSON equals nothing."""
    return kind_of(left) is not None and kind_of(left) is kind_of(right) and compare(left, right) == 0


def compare(left: Any, right: Any) -> int:
    """Negative, zero or positive as `left` comes before, is equal to or comes after `right`. Both are JSON."""
    kind, other_kind = _KINDS[type(left)], _KINDS[type(right)]
    if kind is not other_kind:
        return kind - other_kind
    match kind:
        case Kind.NULL:
            return 0
        case Kind.OBJECT:
            return _compare_objects(left, right)
        case Kind.ARRAY:
            for one, other in zip(left, right, strict=False):
                if difference := compare(one, other):
                    return difference
            return len(left) - len(right)
        case _:
            return bool(left > right) - bool(left < right)


def _compare_objects(left: dict[str, Any], right: dict[str, Any]) -> int:
    for (name, one), (other_name, other) in zip(left.items(), right.items(), strict=False):
        if difference := _KINDS[type(one)] - _KINDS[type(other)]:
            return difference
        if name != other_name:
            return 1 if name > other_name else -1
        if difference := compare(one, other):
            return difference
    return len(left) - len(right)
