"""What does a predicate say of a column that holds one plain value? SQL can say it all but for regular expressions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, and_, collate, false, or_, true

from muster.domain.filter import MISSING, Compares, Equals, Exists, Fits, HasElement, HasSize, IsOneOf, Order, Predicate
from muster.domain.match_filter import holds
from muster.domain.value_order import Kind, kind_of
from muster.server.adapters.sql.filters.between import Between, Condition, at_most, exactly, fixed
from muster.server.adapters.sql.filters.order import stands

_TRUE_AND_FALSE = {True: True, False: False}


def say_scalar(column: Column[Any], predicate: Predicate, *, is_postgres: bool) -> Between:  # noqa: PLR0911 - one a predicate
    """The predicate about the column's value: text, a number, true or false, or null."""
    if isinstance(column.type, Boolean):
        return say_words(column, _TRUE_AND_FALSE, predicate)
    match predicate:
        case Equals(value):
            return exactly(_is_one_of(column, [value], is_postgres=is_postgres))
        case IsOneOf(values):
            return exactly(_is_one_of(column, values, is_postgres=is_postgres))
        case Compares(order, None):
            return exactly(column.is_(None)) if holds(Compares(order, None), None) else fixed(holds=False)
        case Compares(order, value):
            return exactly(_is_there(column, _compare(column, order, value, is_postgres=is_postgres)))
        case Exists():
            return fixed(holds=True)
        case Fits():
            return at_most(_is_there(column, true())) if _holds_text(column) else fixed(holds=False)
        case HasSize() | HasElement():
            return fixed(holds=False)


def say_words(column: Column[Any], words: Mapping[Any, Any], predicate: Predicate) -> Between:
    """The predicate about the words that stand for the column's values: the values whose words are as asked."""
    kept = [value for value, word in words.items() if holds(predicate, word)]
    if len(kept) == len(words):
        return fixed(holds=True)
    return exactly(_is_in(column, kept))


def say_nothing(predicate: Predicate) -> Between:
    """The predicate about what is not there in any row."""
    return fixed(holds=holds(predicate, MISSING))


def _is_one_of(column: Column[Any], values: Iterable[Any], *, is_postgres: bool) -> Condition:
    listed = list(values)
    kept = [one for one in listed if _can_hold(column, one, is_postgres=is_postgres)]
    found = _is_there(column, _is_in(column, [int(one) if _holds_whole(column) else one for one in kept]))
    return or_(column.is_(None), found) if column.nullable and None in listed else found


def _is_in(column: Column[Any], values: Sequence[Any]) -> Condition:
    if not values:
        return false()
    return column == values[0] if len(values) == 1 else column.in_(values)


def _is_there(column: Column[Any], condition: Condition) -> Condition:
    """A comparison with null is null, and this is not."""
    return and_(column.is_not(None), condition) if column.nullable else condition


def _can_hold(column: Column[Any], value: Any, *, is_postgres: bool) -> bool:
    """Could the column's value be this one?"""
    kind = kind_of(value)
    if _holds_text(column):
        return kind is Kind.TEXT and not (is_postgres and "\0" in value)
    if kind is not Kind.NUMBER:
        return False
    if _holds_whole(column):
        whole = math.floor(value)
        return bool(value == whole) and _side(column, whole, is_postgres=is_postgres) == 0
    return bool(_as_double(value) == value)


def _compare(column: Column[Any], order: Order, value: Any, *, is_postgres: bool) -> Condition:
    kind = kind_of(value)
    if _holds_text(column):
        return _compare_text(column, order, value, is_postgres=is_postgres) if kind is Kind.TEXT else false()
    if kind is not Kind.NUMBER:
        return false()
    if _holds_whole(column):
        return _compare_whole(column, order, value, is_postgres=is_postgres)
    return _compare_double(column, order, value)


def _compare_text(column: Column[Any], order: Order, value: str, *, is_postgres: bool) -> Condition:
    """By code points; PostgreSQL would go by a language. It has no NUL, so what precedes a text with one is at most its front."""
    if not is_postgres:
        return stands(column, order, value)
    front, nul, _ = value.partition("\0")
    if nul:
        order = Order.LTE if order in (Order.LT, Order.LTE) else Order.GT
    return stands(collate(column, "C"), order, front)


def _compare_whole(column: Column[Any], order: Order, value: float, *, is_postgres: bool) -> Condition:
    """Against the nearest whole number on the side that decides, where the column can hold it."""
    bound = math.floor(value) if order in (Order.GT, Order.LTE) else math.ceil(value)
    side = _side(column, bound, is_postgres=is_postgres)
    if side == 0:
        return stands(column, order, bound)
    return true() if (side > 0) == (order in (Order.LT, Order.LTE)) else false()


def _compare_double(column: Column[Any], order: Order, value: float) -> Condition:
    """Against the nearest double; whether that was rounded up or down decides whether it counts itself."""
    bound = _as_double(value)
    if bound > value:  # no double is between the two
        order = Order.GTE if order in (Order.GT, Order.GTE) else Order.LT
    elif bound < value:
        order = Order.GT if order in (Order.GT, Order.GTE) else Order.LTE
    return stands(column, order, bound)


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _side(column: Column[Any], value: int, *, is_postgres: bool) -> int:
    """Is a number below (-1), among (0) or above (1) those that the column can hold?"""
    bits = 31 if is_postgres and not isinstance(column.type, BigInteger) else 63
    return (value >= 1 << bits) - (value < -(1 << bits))


def _holds_whole(column: Column[Any]) -> bool:
    return isinstance(column.type, Integer)


def _holds_text(column: Column[Any]) -> bool:
    return not isinstance(column.type, Integer | Double)
