"""Which text of a filter is compared with a number? It fits none, and nobody says so: a date for a time, most of all.

The filter's language has it so (MongoDB manual, "Comparison/Sort Order": values of other types are not compared).
"""

import math
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Union, get_args, get_origin

import msgspec

from muster.cli.found import TIMES

_OF_ONE = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$regex"})
_OF_MANY = frozenset({"$in", "$nin", "$all"})
_LOGIC = frozenset({"$and", "$or", "$nor"})


def list_texts_for_numbers(filter_: Mapping[str, Any], shape: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """The fields of such objects that are numbers and are asked for by a text, each once, with the first of its texts."""
    told: set[str] = set()
    for name, text in _walk(filter_, shape, ""):
        if name not in told:
            told.add(name)
            yield name, text


def render_hint(name: str, text: str) -> str:
    """What to write instead."""
    is_time = name.rpartition(".")[2] in TIMES
    shown = repr(text if len(text) <= 60 else f"{text[:57]}...")
    what = f"{name} is a number{', the seconds since 1970' if is_time else ''}; a text like {shown} never fits it"
    if is_time and (at := _read_date(text)) is not None:
        return f"{what}: write {_render(at.timestamp())}, which is {at:%Y-%m-%d %H:%M:%S} UTC{at:%z}"
    if (number := _read_number(text)) is not None:
        return f"{what}: write {_render(number)} without quotes"
    return f"{what}; `date -d '2026-11-01 12:00' +%s` prints such a number" if is_time else what


def _walk(query: Mapping[str, Any], shape: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, str]]:
    for name, operand in query.items():
        if name in _LOGIC:
            for one in operand if isinstance(operand, list) else ():
                yield from _walk(one, shape, prefix) if isinstance(one, dict) else ()
        else:
            yield from _walk_field(prefix + name, operand, _find_type(shape, name.split(".")))


def _walk_field(name: str, operand: Any, kind: Any) -> Iterator[tuple[str, str]]:
    values: list[Any] = []
    if not isinstance(operand, dict):
        values.append(operand)
    else:
        for operator, value in operand.items():
            if operator in _OF_ONE:
                values.append(value)
            elif operator in _OF_MANY and isinstance(value, list):
                values += value
            elif operator == "$not" and isinstance(value, dict):
                yield from _walk_field(name, value, kind)
            elif operator == "$elemMatch" and isinstance(value, dict) and _is_shape(kind):
                yield from _walk(value, kind, f"{name}.")
    if kind in {int, float}:
        yield from ((name, value) for value in values if isinstance(value, str))


def _find_type(kind: Any, path: Sequence[str]) -> Any:
    """The type at the end of a path, that of its elements where it is an array; None where any may stand there, or none does."""
    while True:
        parts = [one for one in get_args(kind) if one is not types.NoneType]
        if get_origin(kind) is list:
            kind, path = parts[0], path[1:] if path and path[0].isdecimal() else path
        elif get_origin(kind) in {Union, types.UnionType} and len(parts) == 1:
            kind = parts[0]
        elif not path:
            return kind
        elif get_origin(kind) is dict:
            kind, path = parts[1], path[1:]
        elif _is_shape(kind):
            kind = {one.encode_name: one.type for one in msgspec.structs.fields(kind)}.get(path[0])
            path = path[1:]
        else:
            return None


def _is_shape(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _read_date(text: str) -> datetime | None:
    """In the person's own time zone, as times are shown, where it names none."""
    if "-" not in text[1:]:
        return None
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError):  # the second and the third for years that no clock has
        return None


def _read_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _render(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
