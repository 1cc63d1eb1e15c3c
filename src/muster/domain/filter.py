"""Which objects are wanted? A filter, as a tree: the part of MongoDB's filter language that can be asked for, and nothing else of it.

Source: wms.md section 15; MongoDB manual, "Query and Projection Operators". What a filter means for one document is
`match_filter.matches`; how it is read, `parse_filter`. `$ne`, `$nin`, `$not` and `$nor` are `Not` over the whole of what they
deny, `$all` is an `And`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, TypeAlias

from muster.domain.value_order import Kind, kind_of

Path: TypeAlias = tuple[str, ...]
"""Names of fields from the root of a document inwards; one of digits may also be a place in an array."""

ID: Final = "_id"
"""The field that every document has and nobody sees; its value is `OPAQUE`."""


class Mark:
    """A value that no JSON has."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


MISSING: Final = Mark("MISSING")
"""What a path finds that leads nowhere; equal to null."""
OPAQUE: Final = Mark("OPAQUE")
"""What is there and equals, precedes and follows nothing."""


class Order(StrEnum):
    """How a value stands to another one of the same kind."""

    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"


# -- what is asked of one value ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Equals:
    """It is this JSON value: 5 is 5.0 and not true; objects have the same fields in the same order."""

    value: Any


@dataclass(frozen=True)
class IsOneOf:
    """It is one of these JSON values; none: it never is."""

    values: tuple[Any, ...]

    @cached_property
    def plain(self) -> frozenset[tuple[Kind | None, Any]]:
        """Those that are neither objects nor arrays, with their kinds: `True` is not 1."""
        return frozenset((kind_of(one), one) for one in self.values if not isinstance(one, dict | list))

    @cached_property
    def nested(self) -> tuple[Any, ...]:
        """The objects and arrays."""
        return tuple(one for one in self.values if isinstance(one, dict | list))


@dataclass(frozen=True)
class Compares:
    """It is of the same kind as `value`, and stands to it as `order` says."""

    order: Order
    value: Any


@dataclass(frozen=True)
class Exists:
    """It is there, null or not."""


@dataclass(frozen=True)
class Fits:
    """It is text in which the regular expression is found. `search` finds it, in time linear in the text."""

    pattern: str
    options: str
    search: Callable[[str], bool] = field(compare=False, repr=False)


@dataclass(frozen=True)
class HasSize:
    """It is an array of so many elements."""

    size: int


@dataclass(frozen=True)
class HasElement:
    """It is an array one of whose elements fits `condition`.

    Args:
        is_value: the tests of `condition` have no path, and are about the element itself; else they are about its fields.
    """

    condition: "Filter"
    is_value: bool


Predicate: TypeAlias = Equals | IsOneOf | Compares | Exists | Fits | HasSize | HasElement


def list_nested(predicate: Predicate) -> Sequence[Any]:
    """The objects and arrays that a predicate compares with."""
    match predicate:
        case Equals(value) | Compares(_, value):
            return (value,) if isinstance(value, dict | list) else ()
        case IsOneOf():
            return predicate.nested
        case _:
            return ()


# -- the tree ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """One of the values that the path leads to is as asked."""

    path: Path
    predicate: Predicate


@dataclass(frozen=True)
class And:
    """Every part holds; none: it always holds."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True)
class Or:
    """Some part holds; none: it never holds."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Filter: TypeAlias = Field | And | Or | Not


def list_roots(filter_: Filter) -> frozenset[str]:
    """The top-level fields that a filter looks at."""
    match filter_:
        case Field(path, _):
            return frozenset(path[:1])
        case Not(part):
            return list_roots(part)
        case And(parts) | Or(parts):
            return frozenset().union(*map(list_roots, parts))
