"""What does a predicate say of a place in a column of JSON text?

SQL follows a path through objects. Where an array is on the way the filter's rules are too many for it, and the row may fit; so too
where the text is odd.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sqlalchemy import and_, false, not_, or_, true

from muster.domain.filter import (
    MISSING,
    Compares,
    Equals,
    Exists,
    Filter,
    Fits,
    HasElement,
    HasSize,
    IsOneOf,
    Order,
    Path,
    Predicate,
    list_nested,
)
from muster.domain.match_filter import holds
from muster.domain.value_order import Kind, kind_of
from muster.server.adapters.sql.filters.between import (
    UNSURE,
    Between,
    Condition,
    any_of,
    at_most,
    exactly,
    fixed,
    fold,
)
from muster.server.adapters.sql.filters.json_sql import Element, JsonSql

LISTED_MAX = 200
"""Values of one kind that an element is compared with in SQL."""
EXACT_MAX = 2**53
"""Up to this size every whole number is a double, and a number's text and the number stand alike to others."""


def say_json(json: JsonSql, place: Path, path: Path, predicate: Predicate) -> Between:
    """The predicate about what a path leads to.

    Args:
        place: where in the column the document's field is kept.
        path: from there on, as the filter has it.
    """
    whole = place + path
    if not json.can_follow(whole):
        return UNSURE
    told = _say_there(json, whole, predicate)
    through_array = or_(false(), *(json.is_kind(whole[:depth], Kind.ARRAY) for depth in range(len(place), len(whole))))
    return Between(
        lambda: json.unless_odd(or_(through_array, told.upper), true()),
        lambda: json.unless_odd(and_(not_(through_array), told.lower), false()),
    )


def _say_there(json: JsonSql, path: Path, predicate: Predicate) -> Between:
    """About the value at the end of a path through objects."""
    match predicate:
        case Exists():
            return exactly(not_(json.is_missing(path)))
        case HasSize(size):
            return exactly(json.has_size(path, size))
        case HasElement(_, False):
            return at_most(json.is_kind(path, Kind.ARRAY))
        case HasElement(condition, True):
            return _some(json, path, partial(_say_all, condition), alone=False)
        case _:
            among = _some(json, path, lambda element: _say_element(element, predicate), alone=True)
            kinds = {kind_of(value) for value in list_nested(predicate)}
            itself = [at_most(json.is_kind(path, kind)) for kind in (Kind.OBJECT, Kind.ARRAY) if kind in kinds]
            missing = [exactly(json.is_missing(path))] if holds(predicate, MISSING) else []
            return any_of([among, *itself, *missing])


def _say_all(condition: Filter, element: Element) -> Between:
    return fold(condition, lambda test: _say_element(element, test.predicate))


def _some(json: JsonSql, path: Path, test: Callable[[Element], Between], *, alone: bool) -> Between:
    return Between(
        lambda: json.has_element(path, lambda element: test(element).upper, or_is_one=alone),
        lambda: json.has_element(path, lambda element: test(element).lower, or_is_one=alone),
    )


def _say_element(element: Element, predicate: Predicate) -> Between:
    match predicate:
        case Equals(value):
            return _is_one_of(element, [value])
        case IsOneOf(values):
            return _is_one_of(element, values)
        case Compares(order, value):
            return _compares(element, order, value)
        case Fits():
            return at_most(element.is_kind(Kind.TEXT))
        case HasSize() | HasElement():
            return at_most(element.is_kind(Kind.ARRAY))
        case Exists():
            return fixed(holds=True)


def _is_one_of(element: Element, values: Iterable[Any]) -> Between:
    by_kind: dict[Kind | None, list[Any]] = {}
    for value in values:
        by_kind.setdefault(kind_of(value), []).append(value)
    parts = []
    for kind, listed in by_kind.items():
        match kind:
            case Kind.TEXT | Kind.NUMBER if len(listed) > LISTED_MAX:
                parts.append(at_most(element.is_kind(kind)))
            case Kind.TEXT:
                parts.append(exactly(element.is_text(listed)))
            case Kind.NUMBER:
                small = [one for one in listed if abs(one) <= EXACT_MAX]
                parts.append(_is_number(element, element.is_number(small), is_told=len(small) == len(listed)))
            case Kind.BOOL:
                parts.extend(exactly(element.is_bool(one)) for one in set(listed))
            case Kind.NULL:
                parts.append(exactly(element.is_kind(Kind.NULL)))
            case Kind.OBJECT | Kind.ARRAY:
                parts.append(at_most(element.is_kind(kind)))
    return any_of(parts)


def _compares(element: Element, order: Order, value: Any) -> Between:
    match kind_of(value):
        case Kind.TEXT:
            return exactly(element.compares_text(order, value))
        case Kind.NUMBER:
            is_told = abs(value) <= EXACT_MAX
            return _is_number(element, element.compares_number(order, value) if is_told else false(), is_told=is_told)
        case Kind.OBJECT | Kind.ARRAY as kind:
            return at_most(element.is_kind(kind))
        case Kind.BOOL:
            return any_of(exactly(element.is_bool(one)) for one in (False, True) if holds(Compares(order, value), one))
        case _:
            is_null = exactly(element.is_kind(Kind.NULL))
            return is_null if holds(Compares(order, None), None) else fixed(holds=False)


def _is_number(element: Element, condition: Condition, *, is_told: bool) -> Between:
    """The condition about a number; without `is_told` it may be any."""
    upper = or_(condition, element.is_rough()) if is_told else element.is_kind(Kind.NUMBER)
    return Between(lambda: upper, lambda: condition)
