"""Can this be asked? A filter read from JSON, or refused with every fault, each by its operator and where that stands.

Source: MongoDB manual, "Query and Projection Operators"; wms.md section 15 for those that clients use. Whatever is not in
`LOGIC` and `OPERATORS` is refused.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from muster.domain.control_characters import SURROGATE
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
    Path,
)

MakePattern: TypeAlias = Callable[[str, str], Callable[[str], bool]]
"""Makes of a regular expression and its options (letters of `ims`) what finds it in a text. Raises ValueError, saying why it cannot."""

DEPTH_MAX: Final = 20
"""Operators within operators."""
CONDITIONS_MAX: Final = 250
"""Operators, fields and filters within filters, of one filter."""
PATTERNS_MAX: Final = 10
"""Regular expressions of one filter."""
VALUES_MAX: Final = 10_000
"""JSON values that one filter compares with, those inside of others included."""
VALUE_DEPTH_MAX: Final = 32
"""Arrays and objects within each other in a value."""
NAMES_MAX: Final = 100
"""Names of one path."""
FINDINGS_MAX: Final = 100
OPTIONS: Final = frozenset("ims")


def parse_filter(query: object, *, make_pattern: MakePattern, field: str = "query") -> Filter:
    """Read a filter.

    Args:
        query: what a JSON decoder gives.
        field: what findings call the query.

    Raises:
        InvalidError: it is no filter, or one with an operator that cannot be asked, or too large; a finding names the operator by
            its path, e.g. `query.phase.$mod`.
    """
    parser = _Parser(make_pattern)
    parsed = parser.parse_object(query, field, 0)
    if parser.findings:
        raise InvalidError(parser.findings[:FINDINGS_MAX])
    return parsed


LOGIC: Final = ("$and", "$or", "$nor")
OPERATORS: Final = (
    "$all",
    "$elemMatch",
    "$eq",
    "$exists",
    "$gt",
    "$gte",
    "$in",
    "$lt",
    "$lte",
    "$ne",
    "$nin",
    "$not",
    "$options",
    "$regex",
    "$size",
)
NEVER: Final = Or(())
"""In place of what is refused, and for what never holds."""


class _Parser:
    """Reads one filter; faults go to `findings`."""

    def __init__(self, make_pattern: MakePattern) -> None:
        self.findings: list[Finding] = []
        self._make_pattern = make_pattern
        self._conditions = self._values = self._patterns = 0

    def parse_object(self, query: object, where: str, depth: int) -> Filter:
        """A filter: fields with what is asked of them, and logic."""
        self._count_condition(where, depth)
        if not isinstance(query, dict):
            return self._refuse(where, "must be type 'object' (dict)")
        parts = []
        for name, operand in query.items():
            here = _join(where, name)
            if name in LOGIC:
                parts.append(self._parse_logic(name, operand, here, depth))
            elif name.startswith("$"):
                parts.append(self._refuse(here, _say_unknown(name, LOGIC)))
            else:
                parts.append(self._parse_field(self._parse_path(name, here), operand, here, depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _parse_logic(self, name: str, operand: object, where: str, depth: int) -> Filter:
        if not isinstance(operand, list) or not operand:
            return self._refuse(where, "must be type 'array' (list), of at least 1 filter")
        parts = tuple(self.parse_object(one, f"{where}[{place}]", depth + 1) for place, one in enumerate(operand))
        if name == "$and":
            return And(parts)
        return Or(parts) if name == "$or" else Not(Or(parts))

    def _parse_path(self, name: str, where: str) -> Path:
        self._check_text(name, where)
        names = tuple(name.split("."))
        if len(names) > NAMES_MAX:
            self._refuse(where, f"must have no more than {NAMES_MAX} names")
        return names

    def _parse_field(self, path: Path, operand: object, where: str, depth: int) -> Filter:
        """What is asked of a field: operators, or the value that it must be."""
        if isinstance(operand, dict) and _is_operators(operand):
            return self._parse_operators(path, operand, where, depth)
        self._count_condition(where, depth)
        return Field(path, Equals(self._parse_value(operand, where)))

    def _parse_operators(self, path: Path, operators: dict[str, Any], where: str, depth: int) -> Filter:
        parts = []
        for name, operand in operators.items():
            here = _join(where, name)
            self._count_condition(here, depth)
            if name == "$regex":
                parts.append(self._parse_regex(path, operand, operators.get("$options", ""), where))
            elif name == "$options":
                if "$regex" not in operators:
                    self._refuse(here, "must stand beside $regex")
            elif name.startswith("$"):
                parts.append(self._parse_operator(name, path, operand, here, depth))
            else:
                self._refuse(here, "stands among operators; an object that holds names with $ is asked for by $eq")
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    # -- operators -------------------------------------------------------------------------------------------------------

    def _parse_operator(  # noqa: C901, PLR0911 - one an operator
        self, name: str, path: Path, operand: object, where: str, depth: int
    ) -> Filter:
        match name:
            case "$eq":
                return Field(path, Equals(self._parse_value(operand, where)))
            case "$ne":
                return Not(Field(path, Equals(self._parse_value(operand, where))))
            case "$gt" | "$gte" | "$lt" | "$lte":
                return Field(path, Compares(Order(name), self._parse_value(operand, where)))
            case "$in":
                return Field(path, IsOneOf(self._parse_values(operand, where)))
            case "$nin":
                return Not(Field(path, IsOneOf(self._parse_values(operand, where))))
            case "$exists":
                return self._parse_exists(path, operand, where)
            case "$size":
                return self._parse_size(path, operand, where)
            case "$all":
                return self._parse_all(path, operand, where, depth)
            case "$elemMatch":
                return self._parse_elem_match(path, operand, where, depth)
            case "$not":
                if isinstance(operand, dict) and _is_operators(operand):
                    return Not(self._parse_operators(path, operand, where, depth + 1))
                return self._refuse(where, "must be type 'object' (dict), of at least 1 operator")
            case _:
                return self._refuse(where, _say_unknown(name, OPERATORS))

    def _parse_exists(self, path: Path, operand: object, where: str) -> Filter:
        if not isinstance(operand, bool | int | float):
            return self._refuse(where, "must be type 'boolean' (bool)")
        return Field(path, Exists()) if operand else Not(Field(path, Exists()))

    def _parse_size(self, path: Path, operand: object, where: str) -> Filter:
        if isinstance(operand, float) and operand.is_integer():
            operand = int(operand)
        if not isinstance(operand, int) or isinstance(operand, bool) or operand < 0:
            return self._refuse(where, "must be type 'integer' (int), at least 0")
        return Field(path, HasSize(operand))

    def _parse_all(self, path: Path, operand: object, where: str, depth: int) -> Filter:
        """Each of them, one after another: values, or each an `$elemMatch`."""
        if isinstance(operand, list) and any(isinstance(one, dict) and "$elemMatch" in one for one in operand):
            parts: list[Filter] = []
            for place, one in enumerate(operand):
                here = f"{where}[{place}]"
                if isinstance(one, dict) and set(one) == {"$elemMatch"}:
                    parts.append(self._parse_operators(path, one, here, depth + 1))
                else:
                    self._refuse(here, "must be an $elemMatch, as the others are")
            return And(tuple(parts))
        values = self._parse_values(operand, where)
        for _ in values:
            self._count_condition(where, depth)
        return And(tuple(Field(path, Equals(value)) for value in values)) if values else NEVER

    def _parse_elem_match(self, path: Path, operand: object, where: str, depth: int) -> Filter:
        """About the elements themselves where there is an operator that fields have, else about their fields."""
        if isinstance(operand, dict) and _is_operators(operand) and next(iter(operand)) not in LOGIC:
            return Field(path, HasElement(self._parse_operators((), operand, where, depth + 1), is_value=True))
        return Field(path, HasElement(self.parse_object(operand, where, depth + 1), is_value=False))

    def _parse_regex(self, path: Path, pattern: object, options: object, where: str) -> Filter:
        if not isinstance(pattern, str):
            return self._refuse(_join(where, "$regex"), "must be type 'string' (str)")
        if not isinstance(options, str) or not OPTIONS.issuperset(options):
            return self._refuse(_join(where, "$options"), "must be of the letters i, m and s")
        if not self._check_text(pattern, _join(where, "$regex")):
            return NEVER
        self._patterns += 1
        if self._patterns > PATTERNS_MAX:
            raise InvalidError([Finding(where, f"one query may have {PATTERNS_MAX} regular expressions")])
        try:
            search = self._make_pattern(pattern, options)
        except ValueError as error:
            return self._refuse(_join(where, "$regex"), str(error))
        return Field(path, Fits(pattern, options, search))

    # -- values ----------------------------------------------------------------------------------------------------------

    def _parse_value(self, value: object, where: str, depth: int = 0) -> object:
        """The value itself, if it can be compared with."""
        self._values += 1
        if self._values > VALUES_MAX:
            raise InvalidError([Finding(where, f"one query may compare with {VALUES_MAX} values")])
        if depth > VALUE_DEPTH_MAX:
            raise InvalidError([Finding(where, f"must not be nested deeper than {VALUE_DEPTH_MAX}")])
        match value:
            case str():
                self._check_text(value, where)
            case float() if not math.isfinite(value):
                self._refuse(where, "must be a finite number")
            case dict():
                for name, one in value.items():
                    self._check_text(name, where)
                    self._parse_value(one, where, depth + 1)
            case list():
                for one in value:
                    self._parse_value(one, where, depth + 1)
        return value

    def _parse_values(self, operand: object, where: str) -> tuple[Any, ...]:
        if not isinstance(operand, list):
            self._refuse(where, "must be type 'array' (list)")
            return ()
        for place, one in enumerate(operand):
            if isinstance(one, dict) and _is_operators(one):
                self._refuse(f"{where}[{place}]", "must be a value, without operators")
        return tuple(self._parse_value(one, f"{where}[{place}]") for place, one in enumerate(operand))

    def _check_text(self, text: str, where: str) -> bool:
        """Halves of surrogate pairs are no text, and no database has them."""
        is_text = text.isascii() or not SURROGATE.search(text)
        if not is_text:
            self._refuse(where, "is not text: broken UTF-8, or half of a surrogate pair")
        return is_text

    def _count_condition(self, where: str, depth: int) -> None:
        self._conditions += 1
        if self._conditions > CONDITIONS_MAX:
            raise InvalidError([Finding(where, f"one query may have {CONDITIONS_MAX} conditions")])
        if depth > DEPTH_MAX:
            raise InvalidError([Finding(where, f"must not be nested deeper than {DEPTH_MAX}")])

    def _refuse(self, where: str, reason: str) -> Filter:
        self.findings.append(Finding(where, reason))
        return NEVER


def _is_operators(operand: dict[str, Any]) -> bool:
    """Is it what is asked, not a value? The first name decides, as in MongoDB."""
    return next(iter(operand), "").startswith("$")


def _say_unknown(operator: str, known: Sequence[str]) -> str:
    return f"{_clip(operator)} is not supported here; supported are {', '.join(known)}"


def _join(where: str, name: str) -> str:
    return f"{where}.{_clip(name)}"


def _clip(name: str) -> str:
    """A name that somebody else chose, short enough to be told, and text."""
    name = name.encode("utf-8", "replace").decode()
    return name if len(name) <= 80 else name[:77] + "..."
