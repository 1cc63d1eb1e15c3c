"""What is wrong with the settings? A fault of pydantic's as one of ours, each setting by the name of its variable."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from muster.cli.masking import mask
from muster.cli.variable_names import KUBERNETES, list_unread
from muster.domain.errors import Finding, InvalidError
from muster.settings.variables import (
    EMPTY,
    OF_FIELD,
    FromVariables,
    find_origin,
    list_names,
    list_without_effect,
    read_variables,
)

S = TypeVar("S", bound=FromVariables)
SILENT = frozenset({"database_url"})
"""Values that may hold a password in a place where nobody expects it, so they are not repeated at all."""


JSON_TYPES = {
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "list_type": "a JSON list",
    "tuple_type": "a JSON list",
}
"""By the name of pydantic's fault."""
WORDS = {
    "missing": "is missing: it must be given",
    "extra_forbidden": "is not known here: take it away, or mend its name",
    "string_too_short": "is empty: give it a value",
}
"""What we say for some of pydantic's faults, by their names; each says all, without the value."""


def read_settings(settings: type[S], **given: Any) -> S:
    """Read settings from variables, except those that are given. Raises InvalidError naming every variable that is wrong."""
    made = try_settings(settings, **given)
    if isinstance(made, InvalidError):
        raise made
    return made


def read_settings_at_start(settings: type[S], **given: Any) -> S:
    """As `read_settings`, for a part that starts: a variable of ours that nobody reads is a fault, too."""
    unread = list(list_unread(read_variables(os.environ)))
    made = try_settings(settings, **given)
    faults = made.findings if isinstance(made, InvalidError) else ()
    if unread or isinstance(made, InvalidError):
        raise InvalidError([*unread, *faults])
    return made


def try_settings(settings: type[S], **given: Any) -> S | InvalidError:
    """The settings, or what is wrong with them."""
    try:
        return settings(**given)
    except ValidationError as error:
        return InvalidError(_render_faults(error, settings))


@contextmanager
def named_as_variables(settings: type[FromVariables]) -> Iterator[None]:
    """Faults of settings that only their use shows: raised in the block as InvalidError, passed on by the names of the variables."""
    try:
        yield
    except InvalidError as error:
        fields = settings.model_fields
        raise InvalidError(
            [
                Finding(find_variable(settings, one.field), one.reason) if one.field in fields else one
                for one in error.findings
            ]
        ) from error


def find_variable(settings: type[FromVariables], field: str) -> str:
    """The variable that says what a setting is, or ours, which could."""
    used = find_origin(settings, field, read_variables(os.environ)).used
    return list_names(settings, field)[0] if used is None else str(used)


def list_remarks(settings: type[FromVariables]) -> list[str]:
    """What whoever starts a part should know of the variables: which ones are passed over, and which have no effect, and why."""
    variables = read_variables(os.environ)
    remarks = []
    for name in settings.model_fields:
        origin = find_origin(settings, name, variables)
        used = origin.used
        if used is not None and origin.passed_over:
            others = ", ".join(map(str, origin.passed_over))
            remarks.append(
                f"{used} is used ({mask(name, origin.text) or 'empty'}), and not {others}, which says something else"
            )
    for why, unused in list_without_effect(settings, variables).items():
        remarks.append(f"{', '.join(map(str, unused))}: no effect: {why}")
    return remarks


def _render_faults(error: ValidationError, settings: type[FromVariables]) -> Sequence[Finding]:
    findings = []
    # Pydantic names a setting by its field, or by its variable.
    fields = {name: field for field in settings.model_fields for name in (field, *list_names(settings, field))}
    for one in error.errors(include_url=False):
        path = [str(part) for part in one["loc"]]
        if not path:  # of several settings together; the input would be all of them
            at_fault = one["ctx"]["field"] if one["type"] == OF_FIELD else None
            where = "the settings" if at_fault is None else find_variable(settings, at_fault)
            findings.append(Finding(where, one["msg"]))
            continue
        field = fields[path[0]]
        given = str(one["input"])
        is_said = one["type"] == EMPTY or one["type"] in WORDS
        shown = "" if field in SILENT or is_said else f" (it is {mask(field, given)[:100]!r})"
        if field == "port" and given.startswith(("tcp://", "udp://")):
            shown += f". {KUBERNETES}"
        reason = WORDS.get(one["type"]) or (_explain_json(one) if len(path) == 1 else None) or one["msg"]
        findings.append(Finding(".".join([find_variable(settings, field), *path[1:]]), reason + shown))
    return findings


def _explain_json(error: ErrorDetails) -> str | None:
    """Why a text that must be JSON is none; None where that is not what is wrong."""
    wanted, text = JSON_TYPES.get(error["type"]), error["input"]
    if wanted is None or not isinstance(text, str):
        return None
    try:
        msgspec.json.decode(text if text.lstrip().startswith(("{", "[")) else "null")
    except msgspec.DecodeError as fault:
        return f"must be {wanted}: {fault}"
    return f"must be {wanted}"
