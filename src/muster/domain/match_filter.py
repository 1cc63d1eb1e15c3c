"""Does a document fit a filter? What MongoDB would say of it.

Source: MongoDB manual, "Query Documents", "Query an Array", "Query for Null or Missing Fields". A path goes through arrays
without being told: it leads to the field of every object in them, and, where its next name is a number, to the element at that
place too. A test holds when it holds for one of the values that the path leads to; an array at its end counts with each of its
elements, and as itself.
"""

from collections.abc import Iterator
from typing import Any

from muster.domain.filter import (
    MISSING,
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
    Path,
    Predicate,
)
from muster.domain.value_order import compare, is_equal, kind_of

_AS_A_WHOLE = (HasSize, HasElement)
"""Predicates about an array itself, never about its elements."""


def matches(filter_: Filter, document: dict[str, Any]) -> bool:
    """Does the document fit?

    Args:
        document: JSON: dict, list, str, int, float, bool and None; and `OPAQUE`.
    """
    match filter_:
        case Field(path, predicate):
            values = list_values(document, path, opens_array=not isinstance(predicate, _AS_A_WHOLE))
            return any(holds(predicate, value) for value in values)
        case Not(part):
            return not matches(part, document)
        case And(parts):
            return all(matches(part, document) for part in parts)
        case Or(parts):
            return any(matches(part, document) for part in parts)


def holds(predicate: Predicate, value: Any) -> bool:  # noqa: PLR0911 - one a predicate
    """Is one value as asked? `MISSING` is what is not there."""
    match predicate:
        case Equals(wanted):
            return is_equal(_as_null(value), wanted)
        case IsOneOf():
            return _is_one_of(predicate, _as_null(value))
        case Compares(order, wanted):
            return _stands(order, _as_null(value), wanted)
        case Exists():
            return value is not MISSING
        case Fits():
            return isinstance(value, str) and predicate.search(value)
        case HasSize(size):
            return isinstance(value, list) and len(value) == size
        case HasElement(condition, is_value):
            fits = _fits_itself if is_value else _fits_as_object
            return isinstance(value, list) and any(fits(condition, element) for element in value)


def list_values(document: dict[str, Any], path: Path, *, opens_array: bool) -> Iterator[Any]:
    """What a path leads to in a document; `MISSING` where it leads nowhere.

    Args:
        path: at least one name.
        opens_array: an array at the end is given element by element before itself.
    """
    here = document
    for depth, name in enumerate(path, 1):
        value = here.get(name, MISSING)
        if isinstance(value, list):
            yield from _list_in_array(value, path[depth:], opens_array=opens_array)
            return
        if depth == len(path):
            yield value
        elif isinstance(value, dict):
            here = value
        else:
            yield MISSING
            return


def _list_in_array(array: list[Any], path: Path, *, opens_array: bool) -> Iterator[Any]:
    """What the rest of a path leads to in an array. One inside of it is entered only at a place that the path names."""
    if not path:
        if opens_array:
            yield from array
        yield array
        return
    beyond = path[1:]
    for place, element in enumerate(array):
        is_named = path[0] == str(place)
        if isinstance(element, dict):
            yield from list_values(element, path, opens_array=opens_array)
            if is_named and beyond:
                yield from list_values(element, beyond, opens_array=opens_array)
        elif is_named and beyond and isinstance(element, list):
            yield from _list_in_array(element, beyond, opens_array=opens_array)
        if is_named and not beyond:
            yield element


def _as_null(value: Any) -> Any:
    return None if value is MISSING else value


def _stands(order: Order, value: Any, wanted: Any) -> bool:
    if kind_of(value) != kind_of(wanted):
        return False
    difference = compare(value, wanted)
    match order:
        case Order.GT:
            return difference > 0
        case Order.GTE:
            return difference >= 0
        case Order.LT:
            return difference < 0
        case Order.LTE:
            return difference <= 0


def _is_one_of(wanted: IsOneOf, value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(is_equal(value, one) for one in wanted.nested)
    return (kind_of(value), value) in wanted.plain


def _fits_itself(condition: Filter, element: Any) -> bool:
    """The condition about the element itself; an array in an array is not opened."""
    match condition:
        case Field(_, predicate):
            return holds(predicate, element)
        case Not(part):
            return not _fits_itself(part, element)
        case And(parts):
            return all(_fits_itself(part, element) for part in parts)
        case Or(parts):
            return any(_fits_itself(part, element) for part in parts)


def _fits_as_object(condition: Filter, element: Any) -> bool:
    """The condition about the fields of the element; those of an array are its places."""
    if isinstance(element, list):
        element = {str(place): one for place, one in enumerate(element)}
    return isinstance(element, dict) and matches(condition, element)
