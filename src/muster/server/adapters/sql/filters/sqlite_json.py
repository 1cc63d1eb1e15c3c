"""How does SQLite look into JSON text? With `json_type` and `json_each`; paths are bound, their names quoted.

Its paths know no escapes, so only names that need none are followed. Fractions are read by a routine of its own, which need not
give the nearest double, and whole numbers over 64 bits become fractions.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, false, func, literal, or_, select

from muster.domain.filter import Order, Path
from muster.domain.value_order import Kind
from muster.server.adapters.sql.filters.between import Condition
from muster.server.adapters.sql.filters.json_sql import KEYS_MAX, Element
from muster.server.adapters.sql.filters.order import stands

_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]+")
"""Printable ASCII but for the quotation mark and the backslash."""
_KINDS = {Kind.NULL: "null", Kind.OBJECT: "object", Kind.ARRAY: "array", Kind.TEXT: "text"}
_NONE = "none"


class SqliteJson:
    """See `JsonSql`."""

    def __init__(self, column: ColumnElement[Any]) -> None:
        self._column = column

    def can_follow(self, path: Path) -> bool:
        return len(path) <= KEYS_MAX and all(_PLAIN_NAME.fullmatch(name) for name in path)

    def is_odd(self) -> Condition:
        return or_(func.instr(self._column, "\\u0000") > 0, func.instr(self._column, "\\ud") > 0)

    def is_missing(self, path: Path) -> Condition:
        return func.json_type(self._column, _write_path(path)).is_(None)

    def is_kind(self, path: Path, kind: Kind) -> Condition:
        return self._type(path) == _KINDS[kind]

    def has_size(self, path: Path, size: int) -> Condition:
        if size >= 1 << 63:
            return false()
        length = func.coalesce(func.json_array_length(self._column, _write_path(path)), -1)
        return and_(self.is_kind(path, Kind.ARRAY), length == size)

    def has_element(self, path: Path, test: Callable[[Element], Condition], *, or_is_one: bool) -> Condition:
        # A value alone is given as if it were the only element; of an object its fields would be.
        each = func.json_each(self._column, _write_path(path)).table_valued("value", "type", name="element")
        found = exists(select(literal(1)).select_from(each).where(test(SqliteElement(each.c.value, each.c.type))))
        type_ = self._type(path)
        return and_(type_ != _KINDS[Kind.OBJECT] if or_is_one else type_ == _KINDS[Kind.ARRAY], found)

    def unless_odd(self, condition: Condition, otherwise: Condition) -> Condition:
        return case((self.is_odd(), otherwise), else_=condition)

    def _type(self, path: Path) -> ColumnElement[str]:
        return func.coalesce(func.json_type(self._column, _write_path(path)), _NONE)


class SqliteElement:
    """See `Element`."""

    def __init__(self, value: ColumnElement[Any], type_: ColumnElement[Any]) -> None:
        self._value = value
        self._type = type_

    def is_kind(self, kind: Kind) -> Condition:
        if kind is Kind.NUMBER:
            return self._type.in_(("integer", "real"))
        return self._type == _KINDS[kind]

    def is_bool(self, value: bool) -> Condition:  # noqa: FBT001 - the value
        return self._type == ("true" if value else "false")

    def is_text(self, values: Sequence[str]) -> Condition:
        return and_(self.is_kind(Kind.TEXT), self._value.in_(values))

    def compares_text(self, order: Order, value: str) -> Condition:
        return and_(self.is_kind(Kind.TEXT), stands(self._value, order, value))

    def is_number(self, values: Sequence[float]) -> Condition:
        return and_(self._type == "integer", self._value.in_(values))

    def compares_number(self, order: Order, value: float) -> Condition:
        return and_(self._type == "integer", stands(self._value, order, value))

    def is_rough(self) -> Condition:
        return self._type == "real"


def _write_path(path: Path) -> str:
    return "$" + "".join(f'."{name}"' for name in path)
