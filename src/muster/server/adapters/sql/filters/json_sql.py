"""What must SQL be able to say of a column of JSON text? Each dialect says it in its own functions."""

from collections.abc import Callable, Sequence
from typing import Protocol

from muster.domain.filter import Order, Path
from muster.domain.value_order import Kind
from muster.server.adapters.sql.filters.between import Condition

KEYS_MAX = 3
"""Names of a path that SQL follows; what we keep is not that deep."""


class Element(Protocol):
    """An element of an array, or a value that stands alone. Each condition is false where it is of another kind."""

    def is_kind(self, kind: Kind) -> Condition: ...

    def is_bool(self, value: bool) -> Condition:  # noqa: FBT001 - the value
        ...

    def is_text(self, values: Sequence[str]) -> Condition:
        """It is one of these texts."""

    def compares_text(self, order: Order, value: str) -> Condition: ...

    def is_number(self, values: Sequence[float]) -> Condition:
        """It is one of these numbers, each at most 2^53 in size, and not one of those that `is_rough` tells of."""

    def compares_number(self, order: Order, value: float) -> Condition:
        """As `is_number`."""

    def is_rough(self) -> Condition:
        """It is a number that the database may read as another one, the next but one digit of which differs."""


class JsonSql(Protocol):
    """A column of JSON text. A path of names leads through objects alone; no path: the whole."""

    def can_follow(self, path: Path) -> bool:
        """Can the names be looked up for what they are?"""

    def is_odd(self) -> Condition:
        """The text holds what the database cannot read, or reads otherwise: NUL, halves of surrogate pairs (or whole ones)."""

    def is_missing(self, path: Path) -> Condition: ...

    def is_kind(self, path: Path, kind: Kind) -> Condition:
        """OBJECT or ARRAY."""

    def has_size(self, path: Path, size: int) -> Condition:
        """It is an array of so many elements."""

    def has_element(self, path: Path, test: Callable[[Element], Condition], *, or_is_one: bool) -> Condition:
        """It is an array with an element that passes; or, with `or_is_one`, it is a value that is no array and no object, and passes."""

    def unless_odd(self, condition: Condition, otherwise: Condition) -> Condition:
        """The condition, which is not looked at where the text is odd."""
