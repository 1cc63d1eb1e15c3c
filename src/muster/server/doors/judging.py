"""Which faults does a message have? All of them at once, where the decoder stops at the first.

msgspec decodes fast and refuses at the first fault. What it refused is walked again here, against the description of
the same struct, and every fault becomes a finding. An integer written as `5.0` is an integer in JSON's own terms: it is
taken as one.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from muster.domain.errors import Finding, InvalidError

T = TypeVar("T")

FINDINGS_MAX = 100
"""Findings of one message that are told; more help nobody."""

REPEATED_LOOKED_AT = 10_000
"""Items of an array among which repeated ones are looked for."""

_JSON_NAMES: Mapping[type, tuple[str, str]] = {
    inspect.BoolType: ("boolean", "bool"),
    inspect.IntType: ("integer", "int"),
    inspect.FloatType: ("number", "float"),
    inspect.StrType: ("string", "str"),
    inspect.ListType: ("array", "list"),
    inspect.VarTupleType: ("array", "list"),
    inspect.TupleType: ("array", "list"),
    inspect.DictType: ("object", "dict"),
    inspect.StructType: ("object", "dict"),
    inspect.NoneType: ("null", "None"),
}


def judge(value: object, type_: type[T]) -> T:
    """Read a decoded JSON value as a message.

    Args:
        value: what a JSON decoder gives: dict, list, str, int, float, bool or None.
        type_: a msgspec struct.

    Raises:
        InvalidError: it is not one; every fault is a finding.
    """
    findings: list[Finding] = []
    normal = _walk(value, _describe(cast("Hashable", type_)), "", findings)
    if findings:
        raise InvalidError(findings[:FINDINGS_MAX])
    try:
        return msgspec.convert(normal, type_)
    except msgspec.ValidationError as error:  # a rule that the walk does not know
        raise InvalidError([Finding("", str(error))]) from None


@cache
def _describe(type_: Hashable) -> inspect.Type:
    return inspect.type_info(type_)


def _walk(value: Any, wanted: inspect.Type, path: str, findings: list[Finding]) -> Any:  # noqa: C901, PLR0911 - one a type
    """The value with its integers made plain; faults go to `findings`."""
    match wanted:
        case inspect.StructType():
            return _walk_struct(value, wanted, path, findings)
        case inspect.DictType() if isinstance(value, dict):
            return {key: _walk(one, wanted.value_type, _join(path, key), findings) for key, one in value.items()}
        case inspect.ListType() | inspect.VarTupleType() if isinstance(value, list):
            return _walk_array(value, wanted, path, findings)
        case inspect.TupleType() if isinstance(value, list):
            return _walk_tuple(value, wanted, path, findings)
        case inspect.UnionType():
            return _walk_union(value, wanted, path, findings)
        case inspect.Metadata():
            if (wanted.extra_json_schema or {}).get("uniqueItems") and isinstance(value, list):
                findings.extend(Finding(f"{path}[{index}]", "items must be unique") for index in find_repeated(value))
            return _walk(value, wanted.type, path, findings)
        case inspect.LiteralType():
            return _walk_choice(value, wanted.values, path, findings)
        case inspect.EnumType():
            return _walk_choice(value, [one.value for one in wanted.cls], path, findings)
        case inspect.AnyType() | inspect.RawType():
            return value
        case _:
            return _walk_plain(value, wanted, path, findings)


def _walk_struct(value: Any, wanted: inspect.StructType, path: str, findings: list[Finding]) -> Any:
    if not isinstance(value, dict):
        return _refuse(wanted, path, findings, value)
    known = {field.encode_name: field for field in wanted.fields}
    findings.extend(
        Finding(path, f"'{name}' is a required property")
        for name, field in known.items()
        if field.required and name not in value
    )
    if wanted.forbid_unknown_fields:
        findings.extend(
            Finding(path, f"Additional properties are not allowed ('{_clip(name)}' was unexpected)")
            for name in value
            if name not in known
        )
    return {
        name: _walk(one, known[name].type, _join(path, name), findings) for name, one in value.items() if name in known
    }


def _walk_array(
    value: list[Any], wanted: inspect.ListType | inspect.VarTupleType, path: str, findings: list[Finding]
) -> list[Any]:
    if wanted.min_length is not None and len(value) < wanted.min_length:
        findings.append(Finding(path, f"must have at least {wanted.min_length} items"))
    if wanted.max_length is not None and len(value) > wanted.max_length:
        findings.append(Finding(path, f"must have no more than {wanted.max_length} items"))
    return [_walk(one, wanted.item_type, f"{path}[{index}]", findings) for index, one in enumerate(value)]


def _walk_tuple(value: list[Any], wanted: inspect.TupleType, path: str, findings: list[Finding]) -> list[Any]:
    if len(value) != len(wanted.item_types):
        findings.append(Finding(path, f"must have exactly {len(wanted.item_types)} items"))
        return value
    return [
        _walk(one, type_, f"{path}[{index}]", findings)
        for index, (one, type_) in enumerate(zip(value, wanted.item_types, strict=True))
    ]


def _walk_choice(value: Any, choices: Sequence[Any], path: str, findings: list[Finding]) -> Any:
    if value not in choices or isinstance(value, bool):
        known = ", ".join(map(repr, choices))
        findings.append(Finding(path, f"is {_show(value)}; must be one of: {known}"))
    return value


def _walk_union(value: Any, wanted: inspect.UnionType, path: str, findings: list[Finding]) -> Any:
    """The first type that fits; where none does, the faults under the only one of the value's own kind, else one finding."""
    for type_ in wanted.types:
        trial: list[Finding] = []
        normal = _walk(value, type_, path, trial)
        if not trial:
            return normal
    kin = [type_ for type_ in wanted.types if _is_kin(value, type_)]
    if len(kin) == 1:
        return _walk(value, kin[0], path, findings)
    names = [name for type_ in wanted.types if (name := _name(type_)) is not None]
    findings.append(Finding(path, f"must match one of the accepted types: {', '.join(names)}"))
    return value


def _walk_plain(value: Any, wanted: inspect.Type, path: str, findings: list[Finding]) -> Any:  # noqa: PLR0911 - as above
    match wanted:
        case inspect.IntType() if isinstance(value, int | float) and not isinstance(value, bool):
            if isinstance(value, float):
                if not value.is_integer():
                    return _refuse(wanted, path, findings, value)
                value = int(value)
            return _within(value, wanted, path, findings)
        case inspect.FloatType() if isinstance(value, int | float) and not isinstance(value, bool):
            return _within(value, wanted, path, findings)
        case inspect.StrType() if isinstance(value, str):
            if wanted.min_length is not None and len(value) < wanted.min_length:
                findings.append(Finding(path, f"must have at least {wanted.min_length} characters"))
            if wanted.max_length is not None and len(value) > wanted.max_length:
                findings.append(Finding(path, f"must have no more than {wanted.max_length} characters"))
            return value
        case inspect.BoolType() if isinstance(value, bool):
            return value
        case inspect.NoneType() if value is None:
            return value
        case _:
            return _refuse(wanted, path, findings, value)


def _within(value: float, wanted: inspect.IntType | inspect.FloatType, path: str, findings: list[Finding]) -> float:
    if wanted.ge is not None and value < wanted.ge:
        findings.append(Finding(path, f"must be at least {wanted.ge}"))
    if wanted.gt is not None and value <= wanted.gt:
        findings.append(Finding(path, f"must be more than {wanted.gt}"))
    if wanted.le is not None and value > wanted.le:
        findings.append(Finding(path, f"must be no more than {wanted.le}"))
    if wanted.lt is not None and value >= wanted.lt:
        findings.append(Finding(path, f"must be less than {wanted.lt}"))
    return value


def find_repeated(items: Sequence[Any]) -> Iterator[int]:
    """Where an item stands that stood before; a few, told apart by what they are in JSON."""
    seen: set[bytes] = set()
    for index, item in enumerate(items[:REPEATED_LOOKED_AT]):
        text = msgspec.json.encode(item, order="deterministic")
        if text in seen:
            yield index
        seen.add(text)


def _refuse(wanted: inspect.Type, path: str, findings: list[Finding], value: Any) -> Any:
    json_name, python_name = _JSON_NAMES.get(type(wanted), ("value", type(wanted).__name__))
    findings.append(Finding(path, f"must be type '{json_name}' ({python_name})"))
    return value


def _is_kin(value: Any, wanted: inspect.Type) -> bool:
    """Is it an object or an array, as wanted, so that its faults lie within?"""
    match wanted:
        case inspect.StructType() | inspect.DictType():
            return isinstance(value, dict)
        case inspect.ListType() | inspect.VarTupleType() | inspect.TupleType():
            return isinstance(value, list)
        case _:
            return False


def _name(wanted: inspect.Type) -> str | None:
    names = _JSON_NAMES.get(type(wanted))
    return None if names is None else names[0]


def _join(path: str, name: str) -> str:
    return f"{path}.{_clip(name)}" if path else _clip(name)


def _show(value: object) -> str:
    """A value that somebody else chose, short enough to be told."""
    match value:
        case dict():
            return "an object"
        case list():
            return "an array"
        case str():
            return repr(_clip(value))
        case _:  # a number, true, false or null, as in JSON
            return _clip(msgspec.json.encode(value).decode())


def _clip(name: str) -> str:
    """A name that somebody else chose, short enough to be told."""
    return name if len(name) <= 80 else name[:77] + "..."
