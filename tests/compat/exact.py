"""Is an answer exactly what its page says: every field there, none more, each of its type?

A shape is a msgspec struct without defaults: a field that may be absent does not exist on the wire that is described here.
Numbers are strict (`5.0` is no integer in an answer, and a boolean is no number).
"""

from typing import Any, TypeVar

import msgspec

Json = dict[str, Any]
T = TypeVar("T")


class Exact(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An object that has all of its fields and no other."""


def check(value: object, shape: type[T], what: str = "the answer") -> T:
    """The value as its shape.

    Raises:
        AssertionError: a field is missing, unknown or of another type; the text has its path.
    """
    try:
        return msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as error:
        raise AssertionError(f"{what} is no {shape.__name__}: {error}; it is {value!r}") from None


def has_duplicates(values: list[str]) -> bool:
    return len(set(values)) != len(values)
