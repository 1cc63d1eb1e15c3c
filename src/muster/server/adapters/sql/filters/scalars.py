"""What does a predicate say of a column that holds one plain value? SQL can say it all but for regular expressions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ColumnElement, Double, Integer, and_, collate, false, or_, true
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from muster.domain.filter import MISSING, Compares, Equals, Exists, Fits, HasElement, HasSize, IsOneOf, Order, Predicate
from muster.domain.match_filter import holds
from muster.domain.value_order import Kind, kind_of
from muster.server.adapters.sql.filters.between import Between, Condition, at_most, exactly, fixed
from muster.server.adapters.sql.filters.order import stands

_TRUE_AND_FALSE = {True: True, False: False}


class Holds(Enum):
    """What a column can hold, but for null."""

    TEXT = auto()
    WHOLE = auto()
    DOUBLE = auto()
    BOOL = auto()


@dataclass(frozen=True)
class Scalar:
    """A column of plain values, in one dialect.

    Args:
        value: the column.
        bits: of whole numbers, without the sign.
    """

    value: ColumnElement[Any]
    holds: Holds
    is_nullable: bool
    bits: int
    is_postgres: bool


def read_scalar(column: Column[Any], *, is_postgres: bool, is_hidden: bool = False) -> Scalar:
    """The column; with `is_hidden` SQLite's planner does not see that an index could lead to its values."""
    match column.type:
        case Boolean():
            held = Holds.BOOL
        case Integer():
            held = Holds.WHOLE
        case Double():
            held = Holds.DOUBLE
        case _:
            held = Holds.TEXT
    bits = 31 if is_postgres and not isinstance(column.type, BigInteger) else 63
    is_hidden = is_hidden and not is_postgres  # which knows how many rows there are of which value, and chooses by that
    value = UnaryExpression(column, operator=custom_op("+"), type_=column.type) if is_hidden else column
    return Scalar(value, held, bool(column.nullable), bits, is_postgres)


def say_scalar(scalar: Scalar, predicate: Predicate) -> Between:  # noqa: PLR0911 - one a predicate
    """The predicate about the column's value."""
    if scalar.holds is Holds.BOOL:
        return say_words(scalar, _TRUE_AND_FALSE, predicate)
    match predicate:
        case Equals(value):
            return exactly(_is_one_of(scalar, [value]))
        case IsOneOf(values):
            return exactly(_is_one_of(scalar, values))
        case Compares(order, None):
            return exactly(scalar.value.is_(None)) if holds(Compares(order, None), None) else fixed(holds=False)
        case Compares(order, value):
            return exactly(_is_there(scalar, _compare(scalar, order, value)))
        case Exists():
            return fixed(holds=True)
        case Fits():
            return at_most(_is_there(scalar, true())) if scalar.holds is Holds.TEXT else fixed(holds=False)
        case HasSize() | HasElement():
            return fixed(holds=False)


def say_words(scalar: Scalar, words: Mapping[Any, Any], predicate: Predicate) -> Between:
    """The predicate about the words that stand for the column's values: the values whose words are as asked."""
    kept = [value for value, word in words.items() if holds(predicate, word)]
    if len(kept) == len(words):
        return fixed(holds=True)
    return exactly(_is_in(scalar, kept))


def say_nothing(predicate: Predicate) -> Between:
    """The predicate about what is not there in any row."""
    return fixed(holds=holds(predicate, MISSING))


def _is_one_of(scalar: Scalar, values: Iterable[Any]) -> Condition:
    listed = list(values)
    # All of one type: the type of the first is taken for that of all.
    make = {Holds.WHOLE: int, Holds.DOUBLE: float}.get(scalar.holds, _as_it_is)
    found = _is_there(scalar, _is_in(scalar, [make(one) for one in listed if _can_hold(scalar, one)]))
    return or_(scalar.value.is_(None), found) if scalar.is_nullable and None in listed else found


def _as_it_is(value: Any) -> Any:
    return value


def _is_in(scalar: Scalar, values: Sequence[Any]) -> Condition:
    if not values:
        return false()
    return scalar.value == values[0] if len(values) == 1 else scalar.value.in_(values)


def _is_there(scalar: Scalar, condition: Condition) -> Condition:
    """A comparison with null is null, and this is not."""
    return and_(scalar.value.is_not(None), condition) if scalar.is_nullable else condition


def _can_hold(scalar: Scalar, value: Any) -> bool:
    """Could the column's value be this one?"""
    kind = kind_of(value)
    if scalar.holds is Holds.TEXT:
        return kind is Kind.TEXT and not (scalar.is_postgres and "\0" in value)
    if kind is not Kind.NUMBER:
        return False
    if scalar.holds is Holds.WHOLE:
        whole = math.floor(value)
        return bool(value == whole) and _side(scalar, whole) == 0
    return bool(_as_double(value) == value)


def _compare(scalar: Scalar, order: Order, value: Any) -> Condition:
    kind = kind_of(value)
    if scalar.holds is Holds.TEXT:
        return _compare_text(scalar, order, value) if kind is Kind.TEXT else false()
    if kind is not Kind.NUMBER:
        return false()
    if scalar.holds is Holds.WHOLE:
        return _compare_whole(scalar, order, value)
    return _compare_double(scalar, order, value)


def _compare_text(scalar: Scalar, order: Order, value: str) -> Condition:
    """By code points; PostgreSQL would go by a language. It has no NUL, so what precedes a text with one is at most its front."""
    if not scalar.is_postgres:
        return stands(scalar.value, order, value)
    front, nul, _ = value.partition("\0")
    if nul:
        order = Order.LTE if order in (Order.LT, Order.LTE) else Order.GT
    return stands(collate(scalar.value, "C"), order, front)


def _compare_whole(scalar: Scalar, order: Order, value: float) -> Condition:
    """Against the nearest whole number on the side that decides, where the column can hold it."""
    bound = math.floor(value) if order in (Order.GT, Order.LTE) else math.ceil(value)
    side = _side(scalar, bound)
    if side == 0:
        return stands(scalar.value, order, bound)
    return true() if (side > 0) == (order in (Order.LT, Order.LTE)) else false()


def _compare_double(scalar: Scalar, order: Order, value: float) -> Condition:
    """Against the nearest double; whether that was rounded up or down decides whether it counts itself."""
    bound = _as_double(value)
    if bound > value:  # no double is between the two
        order = Order.GTE if order in (Order.GT, Order.GTE) else Order.LT
    elif bound < value:
        order = Order.GT if order in (Order.GT, Order.GTE) else Order.LTE
    return stands(scalar.value, order, bound)


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _side(scalar: Scalar, value: int) -> int:
    """Is a number below (-1), among (0) or above (1) those that the column can hold?"""
    return (value >= 1 << scalar.bits) - (value < -(1 << scalar.bits))
