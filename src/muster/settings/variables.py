"""Which variables are set, where, and which of them says what a setting is?

Environment first, then the file that `MUSTER_SETTINGS_FILE` names (lines like `NAME=value`). Our own names go before those of the
services that we replace, wherever either stands.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from dotenv.parser import parse_stream
from pydantic import ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from muster.domain.control_characters import SURROGATE
from muster.domain.errors import Finding, InvalidError
from muster.settings.upstream_variables import Alias, Ignored

SETTINGS_FILE = "MUSTER_SETTINGS_FILE"
"""Only in the environment."""
EMPTY = "empty"
"""Pydantic's name for the fault of a setting that is set to nothing."""
OF_FIELD = "of_field"
"""Pydantic's name for a fault that shows once all settings are read; its context has the `field` at fault."""


@dataclass(frozen=True)
class Variable:
    """A variable that is set; `file` None: in the environment."""

    name: str
    text: str = field(repr=False)
    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        return self.name if self.file is None else f"{self.name} ({self.file}, line {self.line})"


@dataclass(frozen=True)
class Variables:
    """Every variable that is set; the environment goes before the file."""

    environment: Mapping[str, Variable]
    file: Mapping[str, Variable] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Variable]:
        yield from self.environment.values()
        yield from self.file.values()

    def find(self, name: str) -> Variable | None:
        """The one that counts; None where it is not set."""
        return self.environment.get(name) or self.file.get(name)


@dataclass(frozen=True)
class Origin:
    """Where a setting comes from.

    Args:
        used: the variable that says it, None: its default holds.
        text: what that says, as we would write it.
        passed_over: variables of the services that we replace that say something else.
    """

    used: Variable | None = None
    text: str = field(default="", repr=False)
    passed_over: tuple[Variable, ...] = ()


class FromVariables(BaseSettings):
    """Settings that are read from our variables, and from `upstream` ones."""

    model_config = SettingsConfigDict(frozen=True, allow_inf_nan=False, extra="ignore")
    upstream: ClassVar[Mapping[str, Alias | Ignored]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Source(settings_cls, read_variables(os.environ))

    @field_validator("*", mode="before")
    @classmethod
    def _check_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Names of files are bytes, and may be any; all else is sent, shown or kept as text somewhere."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation not in (Path, Path | None) and _is_broken(value):
            raise PydanticCustomError("broken_text", "is not text: it has bytes that are no UTF-8")
        # What is empty by mistake must not be taken for what was not said, nor a folder for the one where we are.
        if value == "" and field.default != "":
            raise PydanticCustomError(EMPTY, "is empty: give it a value, or leave it out, which gives its default")
        return value


class _Source(EnvSettingsSource):
    """As if every variable that is used were in the environment, under our name."""

    def __init__(self, settings: type[BaseSettings], variables: Variables) -> None:
        super().__init__(settings)
        assert issubclass(settings, FromVariables)
        origins = {name: find_origin(settings, name, variables) for name in settings.model_fields}
        self.env_vars = {
            list_names(settings, name)[0].lower(): one.text for name, one in origins.items() if one.used is not None
        }

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """What is not JSON stays a text, for the setting to refuse together with all others that are wrong."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def fault_of(field: str, reason: str) -> PydanticCustomError:
    """What a validator of the whole raises, where one setting is at fault."""
    return PydanticCustomError(OF_FIELD, "{reason}", {"field": field, "reason": reason})


def read_variables(environment: Mapping[str, str]) -> Variables:
    """The variables of the environment and of the settings file. Raises InvalidError for a file that cannot be used."""
    # Names of ours may be written in any case, as ever; those of others are as they are.
    named = {_capitalise(name): Variable(_capitalise(name), text) for name, text in environment.items()}
    path = named.get(SETTINGS_FILE)
    if path is not None and not path.text:
        raise InvalidError([Finding(SETTINGS_FILE, "is empty: name a file, or unset the variable")])
    return Variables(named, {} if path is None else _read_file(Path(path.text)))


def list_names(settings: type[FromVariables], name: str) -> list[str]:
    """The variables that a setting is read from: ours first."""
    prefix = settings.model_config["env_prefix"]
    theirs = [key for key, row in settings.upstream.items() if isinstance(row, Alias) and row.setting == name]
    return [f"{prefix}{name}".upper(), *theirs]


def find_origin(settings: type[FromVariables], name: str, variables: Variables) -> Origin:
    """Where a setting comes from."""
    set_ones = [one for key in list_names(settings, name) if (one := variables.find(key)) is not None]
    said = [(one, text) for one in set_ones if (text := _translate(settings, one)) is not None]
    if not said:
        return Origin()
    (used, text), *others = said
    return Origin(used, text, tuple(one for one, other in others if other != text))


def list_without_effect(settings: type[FromVariables], variables: Variables) -> Mapping[str, list[Variable]]:
    """Variables of the services that we replace that are set and do nothing here, by the reason."""
    found: dict[str, list[Variable]] = {}
    for name, row in settings.upstream.items():
        one = variables.find(name)
        if isinstance(row, Ignored) and one is not None and row.matters(one.text):
            found.setdefault(row.why, []).append(one)
    return found


def _translate(settings: type[FromVariables], variable: Variable) -> str | None:
    """What a variable says, as we would write it; None where it says nothing."""
    row = settings.upstream.get(variable.name)
    if not isinstance(row, Alias):
        return variable.text
    return row.read(variable.text) if variable.text.strip() else None


def _is_broken(value: Any) -> bool:
    """Is there half of a surrogate pair in it? Python makes them of bytes that are no UTF-8."""
    match value:
        case str():
            return SURROGATE.search(value) is not None
        case dict():
            return any(_is_broken(one) for pair in value.items() for one in pair)
        case list() | tuple():
            return any(map(_is_broken, value))
        case _:
            return False


def _capitalise(name: str) -> str:
    capitals = name.upper()
    return capitals if capitals.startswith("MUSTER_") else name


def _read_file(path: Path) -> Mapping[str, Variable]:
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
        fault = Finding(SETTINGS_FILE, f"{path} cannot be read: {reason}; name another file, or unset the variable")
        raise InvalidError([fault]) from error
    found: dict[str, Variable] = {}
    findings = []
    for one in bindings:
        # What is written is not repeated: it may be a secret.
        written = one.original.string
        line = one.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        where = f"{path}, line {line}"
        if one.error or (one.key is not None and one.value is None):
            findings.append(Finding(where, "is not NAME=value; a line that is not meant begins with #"))
        elif one.key is not None and one.value is not None:
            name = _capitalise(one.key)
            if name in found:
                findings.append(Finding(where, f"sets {name} again, as line {found[name].line} does: take one away"))
            found.setdefault(name, Variable(name, one.value, path, line))
    if findings:
        raise InvalidError(findings)
    return found
