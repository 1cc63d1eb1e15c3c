"""`muster settings`: what is set, and by what?"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import anyio
import msgspec
from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.extras import needing
from muster.cli.failure import OK
from muster.cli.masking import mask
from muster.cli.service import IS_EMPTY
from muster.cli.settings_faults import list_remarks, named_as_variables, try_settings
from muster.cli.variable_names import COMMAND_VARIABLES, list_unread
from muster.domain.errors import Finding, InvalidError, RejectedError
from muster.settings.parts import PARTS, TITLES, ServerSettings
from muster.settings.sentences import read_sentences
from muster.settings.variables import FromVariables, find_origin, list_names, read_variables

app = App(
    name="settings",
    help_format="plaintext",
    help_epilogue="""Examples:
  muster settings
  muster settings serve --set
  MUSTER_SETTINGS_FILE=/etc/muster.env muster settings site --json

No server is asked. The limits that a running one has:
  muster limits""",
)


class Source(msgspec.Struct):
    """Where a value comes from: `default`, `environment` or `file`; by which variable, in which line of which file."""

    kind: str
    variable: str | None = None
    file: str | None = None
    line: int | None = None


class Setting(msgspec.Struct):
    """One setting. `variables`: the names that set it, ours first. `value`: as it would be written; secrets are masked."""

    part: str
    setting: str
    variables: list[str]
    value: str
    default: str
    source: Source
    sentence: str


@app.default
def settings(
    part: Literal["serve", "site", "client"] | None = None,
    /,
    *,
    set: bool = False,  # noqa: A002 - the option's name
    json: bool = False,
    debug: bool = False,
) -> int:
    """Show every setting, its value, and where that comes from.

    Secrets are masked. Exit code 4 when the settings are not valid: what is wrong is told. Those of `muster serve` are judged as its
    start does, with the files that they name; no server is asked.

    Args:
        part: only those of `muster serve`, of `muster site`, or of `client`: commands, and programs that call them. `muster up` has
            the first two, and decides some by itself.
        set: only those that differ from their default.
        json: write them as JSON.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    chosen = {part: PARTS[part]} if part is not None else PARTS
    findings = list(list_unread(read_variables(os.environ)))
    rows: list[Setting] = []
    remarks: list[str] = []
    for name, one in chosen.items():
        made = try_settings(one)
        if name == "client":
            rows += _list_rows_of_commands()
            findings += [Finding(one.name, IS_EMPTY) for one in COMMAND_VARIABLES if os.environ.get(one.name) == ""]
        rows += _list_rows(name, one, None if isinstance(made, InvalidError) else made)
        remarks += list_remarks(one)
        try:
            remarks += _judge(made)
        except InvalidError as error:
            findings += error.findings
    shown = [row for row in rows if not set or row.value != row.default]
    if json:
        put_json({"settings": shown, "findings": [str(one) for one in findings], "remarks": remarks})
    else:
        _put_rows(shown)
        for remark in remarks:
            say(f"mind: {remark}")
    if findings:
        raise InvalidError(findings)
    return OK


def _judge(made: FromVariables | InvalidError) -> list[str]:
    """What to know of settings that can be read. Raises InvalidError: the part would not start."""
    if isinstance(made, InvalidError):
        raise made
    if not isinstance(made, ServerSettings):
        return []
    try:
        with needing("server"):
            from muster.server.check_settings import check_settings
    except RejectedError:
        return ["the files that the settings of `muster serve` name are not looked at: its part is not installed here"]
    with named_as_variables(ServerSettings):
        return anyio.run(check_settings, made)


def _list_rows_of_commands() -> Iterator[Setting]:
    """What commands look for in the environment alone."""
    for one in COMMAND_VARIABLES:
        given = os.environ.get(one.name)
        yield Setting(
            part="client",
            setting=one.setting,
            variables=[one.name],
            value=one.default if given is None else mask(one.setting, given),
            default=one.default,
            source=Source("default") if given is None else Source("environment", variable=one.name),
            sentence=one.sentence,
        )


def _list_rows(part: str, settings: type[FromVariables], made: FromVariables | None) -> Iterator[Setting]:
    """Every setting of a part; with what is written where it is not valid."""
    variables, sentences = read_variables(os.environ), read_sentences(settings)
    values = {} if made is None else made.model_dump(mode="json")
    for name, field in settings.model_fields.items():
        origin = find_origin(settings, name, variables)
        used = origin.used
        default = mask(name, render_value(field.get_default(call_default_factory=True)))
        value = render_value(values[name]) if name in values else origin.text
        kind = "default" if used is None else "environment" if used.file is None else "file"
        yield Setting(
            part=part,
            setting=name,
            variables=list_names(settings, name),
            value=default if used is None else mask(name, value),
            default=default,
            source=Source(
                kind,
                variable=None if used is None else used.name,
                file=None if used is None or used.file is None else str(used.file),
                line=None if used is None else used.line,
            ),
            sentence=sentences.get(name, ""),
        )


def render_value(value: Any) -> str:
    """A value as it would be written in a variable."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list() | tuple() if all(isinstance(one, str) for one in value):
            return ",".join(value)
        case dict() | list() | tuple():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)


def _put_rows(rows: Sequence[Setting]) -> None:
    part = None
    for row in rows:
        if row.part != part:
            put(f"{'' if part is None else chr(10)}{TITLES[row.part]}")
            part = row.part
        put(f"\n  {row.variables[0]}={row.value}    ({_render_source(row)})")
        put(f"    {row.sentence}")
    if not rows:
        say("every setting has its default")


def _render_source(row: Setting) -> str:
    source = row.source
    if source.kind == "default":
        return "default"
    by = "" if source.variable == row.variables[0] else f"{source.variable}, "
    return f"{by}environment" if source.file is None else f"{by}{source.file}, line {source.line}"
