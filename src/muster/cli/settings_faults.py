"""What is wrong with the settings? A fault of pydantic's as one of ours, each setting by the name of its variable."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import AliasChoices, ValidationError
from pydantic_settings import BaseSettings, SettingsError

from muster.domain.errors import Finding, InvalidError

S = TypeVar("S", bound=BaseSettings)
SECRET = frozenset({"database_url"})
"""Values that may hold a password, so they are not repeated."""
_USER = re.compile(r"://[^/?#\s]*@")
"""Name and password in an address, which does not belong there."""
_USER = re.compile(r"://[^/?#\s]*@")
"""Name and password in an address, which does not belong there."""


def read_settings(settings: type[S], *, prefix: str) -> S:
    """Read settings from the environment. Raises InvalidError naming every variable that is wrong."""
    try:
        return settings()
    except ValidationError as error:
        raise render_faults(error, settings, prefix=prefix) from None
    except SettingsError as error:  # a variable that must be JSON and is not; pydantic stops at the first
        reason = str(error.__cause__ or error)
        match = re.search(r'field "(\w+)"', str(error))
        raise InvalidError([Finding(prefix + match[1].upper() if match else "the settings", reason)]) from None


@contextmanager
def named_as_variables(settings: type[BaseSettings], *, prefix: str) -> Iterator[None]:
    """Faults of settings that only their use shows: raised in the block as InvalidError, passed on by the names of the variables."""
    try:
        yield
    except InvalidError as error:
        fields = settings.model_fields
        raise InvalidError(
            [
                Finding(find_variable(settings, one.field, prefix=prefix), one.reason) if one.field in fields else one
                for one in error.findings
            ]
        ) from error


def list_variables(settings: type[BaseSettings], field: str, *, prefix: str) -> list[str]:
    """The variables that set a field: ours first, then those of the services that we replace."""
    alias = settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [one for one in alias.choices if isinstance(one, str)]
    return [alias] if isinstance(alias, str) else [prefix + field.upper()]


def find_variable(settings: type[BaseSettings], field: str, *, prefix: str) -> str:
    """The variable that sets a field here, or that could."""
    names = list_variables(settings, field, prefix=prefix)
    return next((one for one in names if one in os.environ), names[0])


def render_faults(error: ValidationError, settings: type[BaseSettings], *, prefix: str) -> InvalidError:
    """The findings of a settings class whose variables begin with the prefix."""
    names = {one: field for field in settings.model_fields for one in list_variables(settings, field, prefix=prefix)}
    findings = []
    for one in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in one["loc"]]
        if not path:  # of several settings together; the input would be all of them
            findings.append(Finding("the settings", one["msg"]))
            continue
        field = names.get(path[0], path[0])  # pydantic names the one or the other
        shown = "" if field in SECRET else f" (it is {_USER.sub('://…@', str(one['input']))[:100]!r})"
        variable = find_variable(settings, field, prefix=prefix)
        findings.append(Finding(".".join([variable, *path[1:]]), one["msg"] + shown))
    return InvalidError(findings)
