"""How does PostgreSQL look into JSON text? As `jsonb`, where it can be; paths are bound as arrays of names.

A text with NUL, or with half of a surrogate pair, cannot be `jsonb`, and trying to raises an error: so `unless_odd` looks first.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Numeric,
    Text,
    and_,
    case,
    cast,
    collate,
    exists,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy import column as named
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from muster.domain.filter import Order, Path
from muster.domain.value_order import Kind
from muster.server.adapters.sql.filters.between import Condition
from muster.server.adapters.sql.filters.json_sql import KEYS_MAX, Element
from muster.server.adapters.sql.filters.order import stands

_KINDS = {
    Kind.NULL: "null",
    Kind.NUMBER: "number",
    Kind.TEXT: "string",
    Kind.OBJECT: "object",
    Kind.ARRAY: "array",
    Kind.BOOL: "boolean",
}
_NONE = "none"


class PostgresJson:
    """See `JsonSql`."""

    def __init__(self, column: ColumnElement[Any]) -> None:
        self._column = column

    def can_follow(self, path: Path) -> bool:
        return len(path) <= KEYS_MAX and not any("\0" in name for name in path)

    def is_odd(self) -> Condition:
        return or_(func.strpos(self._column, "\\u0000") > 0, func.strpos(self._column, "\\ud") > 0)

    def is_missing(self, path: Path) -> Condition:
        return self._at(path).is_(None)

    def is_kind(self, path: Path, kind: Kind) -> Condition:
        return _type(self._at(path)) == _KINDS[kind]

    def has_size(self, path: Path, size: int) -> Condition:
        if size >= 1 << 31:
            return false()
        # In a CASE, for the order of what stands in an AND is the planner's.
        at = self._at(path)
        return case((_type(at) == _KINDS[Kind.ARRAY], func.jsonb_array_length(at) == size), else_=false())

    def has_element(self, path: Path, test: Callable[[Element], Condition], *, or_is_one: bool) -> Condition:
        at = self._at(path)
        none = func.jsonb_build_array()
        alone = case((_type(at).in_((_KINDS[Kind.OBJECT], _NONE)), none), else_=func.jsonb_build_array(at))
        array = case((_type(at) == _KINDS[Kind.ARRAY], at), else_=alone if or_is_one else none)
        each = func.jsonb_array_elements(array).table_valued(named("value", JSONB), name="element")
        return exists(select(literal(1)).select_from(each).where(test(PostgresElement(each.c.value))))

    def unless_odd(self, condition: Condition, otherwise: Condition) -> Condition:
        return case((self.is_odd(), otherwise), else_=condition)

    def _at(self, path: Path) -> ColumnElement[Any]:
        whole = cast(self._column, JSONB)
        if not path:
            return whole
        return whole.op("#>", return_type=JSONB())(literal(list(path), ARRAY(Text())))


class PostgresElement:
    """See `Element`."""

    def __init__(self, value: ColumnElement[Any]) -> None:
        self._value = value
        self._text: ColumnElement[Any] = value.op("#>>", return_type=Text())(literal([], ARRAY(Text())))

    def is_kind(self, kind: Kind) -> Condition:
        return _type(self._value) == _KINDS[kind]

    def is_bool(self, value: bool) -> Condition:  # noqa: FBT001 - the value
        return and_(self.is_kind(Kind.BOOL), self._text == ("true" if value else "false"))

    def is_text(self, values: Sequence[str]) -> Condition:
        return and_(self.is_kind(Kind.TEXT), self._text.in_([one for one in values if "\0" not in one]))

    def compares_text(self, order: Order, value: str) -> Condition:
        front, nul, _ = value.partition("\0")
        if nul:  # there is none here, so what precedes the text is its front at most
            order = Order.LTE if order in (Order.LT, Order.LTE) else Order.GT
        return and_(self.is_kind(Kind.TEXT), stands(collate(self._text, "C"), order, front))

    def is_number(self, values: Sequence[float]) -> Condition:
        return self._as_number(lambda number: number.in_([_write_number(one) for one in values]))

    def compares_number(self, order: Order, value: float) -> Condition:
        return self._as_number(lambda number: stands(number, order, _write_number(value)))

    def is_rough(self) -> Condition:
        return false()  # numbers are kept digit by digit

    def _as_number(self, test: Callable[[ColumnElement[Any]], Condition]) -> Condition:
        return case((self.is_kind(Kind.NUMBER), test(cast(self._text, Numeric))), else_=false())


def _type(value: ColumnElement[Any]) -> ColumnElement[str]:
    return func.coalesce(func.jsonb_typeof(value), _NONE)


def _write_number(value: float) -> Decimal:
    """As it would be written: what is kept was, too, and the shortest way to write a double is its own."""
    return Decimal(repr(value))
