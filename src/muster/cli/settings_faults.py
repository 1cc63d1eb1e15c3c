"""What is wrong with the settings? A fault of pydantic's as one of ours, each setting by the name of its variable."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from muster.domain.errors import Finding, InvalidError

S = TypeVar("S", bound=BaseSettings)
SECRET = frozenset({"database_url"})
"""Values that may hold a password, so they are not repeated."""
_USER = re.compile(r"://[^/?#\s]*@")
"""Name and password in an address, which does not belong there."""


def read_settings(settings: type[S], *, prefix: str) -> S:
    """Read settings from the environment. Raises InvalidError naming every variable that is wrong."""
    try:
        return settings()
    except ValidationError as error:
        raise render_faults(error, prefix=prefix) from None
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
            [Finding(prefix + one.field.upper(), one.reason) if one.field in fields else one for one in error.findings]
        ) from error


def render_faults(error: ValidationError, *, prefix: str) -> InvalidError:
    """The findings of a settings class whose variables begin with the prefix."""
    findings = []
    for one in error.errors(include_url=False, include_context=False):
        path = [str(part) for part in one["loc"]]
        if not path:  # of several settings together; the input would be all of them
            findings.append(Finding("the settings", one["msg"]))
            continue
        shown = "" if path[0] in SECRET else f" (it is {_USER.sub('://…@', str(one['input']))[:100]!r})"
        findings.append(Finding(".".join([prefix + path[0].upper(), *path[1:]]), one["msg"] + shown))
    return InvalidError(findings)
