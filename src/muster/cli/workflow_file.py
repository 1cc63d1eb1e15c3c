"""What does a workflow file say, and what is wrong with it? YAML or JSON to `NewWorkflow`, faults with their lines.

The service judges the rules; here is only found what can be said better with the file at hand: syntax, names of fields, kinds of values,
and files that do not exist.
"""

import contextlib
import difflib
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from muster.cli.document_text import TEXT_BYTES_MAX, parse_json, parse_yaml
from muster.cli.field_hints import find_meant
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.workflows import ReviseTask
from muster.domain.errors import Finding, InvalidError, NotFoundError


@dataclass(frozen=True)
class Document:
    """A file's content as plain values.

    Args:
        name: for messages.
        folder: what relative paths in it start from.
        lines: path of a value, e.g. `tasks[0].n_workers` → its line, from 1.
    """

    name: str
    folder: Path
    content: Any
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Where a value stands, for messages: file, line, path; the line of what holds it where it has none itself."""
        around = path
        while around and around not in self.lines:
            around = around[: max(around.rfind("."), around.rfind("["), 0)]
        line = self.lines.get(around)
        return ":".join([self.name, *([str(line)] if line else [])]) + (f": {path}" if path else "")


def read_workflow(path: Path) -> NewWorkflow:
    """Read a file; `-` is standard input.

    Raises:
        NotFoundError: there is no such file.
        InvalidError: syntax, unknown or missing fields, wrong kinds of values, `input_files` that do not exist; all of a kind at once.
    """
    document = read_document(path)
    findings = list(_judge(document.content, NewWorkflow, ""))
    if findings:
        raise InvalidError([Finding(document.place(one.field), one.reason) for one in findings])
    return resolve_files(msgspec.convert(document.content, NewWorkflow), document)


def read_changes(path: Path) -> ReviseTask:
    """Read a file with fields of a task that are to be other; `-` is standard input. Raises as `read_workflow`."""
    document = read_document(path)
    findings = list(_judge(document.content, ReviseTask, ""))
    if findings:
        raise InvalidError([Finding(document.place(one.field), one.reason) for one in findings])
    changes = msgspec.convert(document.content, ReviseTask)
    if changes.input_files is UNSET:
        return changes
    return msgspec.structs.replace(changes, input_files=_resolve(changes.input_files, document, "input_files"))


def read_document(path: Path) -> Document:
    """Read YAML, or JSON (which begins with a brace)."""
    name = "standard input" if str(path) == "-" else str(path)
    text = _read_text(path, name)
    folder = Path.cwd() if str(path) == "-" else path.resolve().parent
    if text.lstrip()[:1] == "{":
        return Document(name, folder, parse_json(text, name))
    content, lines = parse_yaml(text, name)
    return Document(name, folder, content, lines)


def resolve_files(workflow: NewWorkflow, document: Document) -> NewWorkflow:
    """Make `input_files` absolute: relative ones stand beside the workflow's file. Raises InvalidError for those that do not exist."""
    findings: list[Finding] = []
    tasks = []
    for number, task in enumerate(workflow.tasks):
        try:
            files = _resolve(task.input_files, document, f"tasks[{number}].input_files")
        except InvalidError as error:
            findings += error.findings
        else:
            tasks.append(msgspec.structs.replace(task, input_files=files))
    if findings:
        raise InvalidError(findings)
    return msgspec.structs.replace(workflow, tasks=tasks)


def _resolve(names: Sequence[str], document: Document, path: str) -> list[str]:
    files = [(document.folder / name).absolute() for name in names]
    findings = [
        Finding(document.place(f"{path}[{index}]"), f"there is no {file} (relative paths start at the workflow's file)")
        for index, file in enumerate(files)
        if not file.exists()
    ]
    if findings:
        raise InvalidError(findings)
    return [str(file) for file in files]


def list_forgotten(workflow: NewWorkflow, path: Path) -> list[str]:
    """Words of commands that name files beside the workflow's file which are not among the task's `input_files`, each with its place."""
    folder = Path.cwd() if str(path) == "-" else path.resolve().parent
    forgotten = []
    for number, task in enumerate(workflow.tasks):
        given = {Path(one).name for one in (*task.input_files, *task.pilot_config.input_files)}
        with contextlib.suppress(ValueError, OSError):  # words that none can be made of, names that no file can have
            words = [] if task.task_image else shlex.split(task.task_args)
            forgotten += [
                f"tasks[{number}].task_args: {word} stands beside the workflow's file, and is not among its input_files: "
                "the workers do not have it"
                for word in words
                if Path(word).name not in given and not Path(word).is_absolute() and (folder / word).is_file()
            ]
    return forgotten


def _read_text(path: Path, name: str) -> str:
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            content = file.read(TEXT_BYTES_MAX + 1)
        if len(content) > TEXT_BYTES_MAX:
            raise InvalidError([Finding(name, f"is longer than {TEXT_BYTES_MAX >> 20} MiB")])
        return content.decode()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {name}") from None
    except IsADirectoryError:
        raise InvalidError([Finding(name, "is a folder; name the workflow's file")]) from None
    except UnicodeDecodeError as error:
        raise InvalidError([Finding(name, f"is not UTF-8 text (byte {error.start})")]) from error


def _judge(value: Any, wanted: Any, path: str) -> Iterator[Finding]:
    """Every name that no shape has, every field that is missing, every value of the wrong kind."""
    if UnsetType in get_args(wanted):
        wanted = Union[tuple(one for one in get_args(wanted) if one is not UnsetType)]  # noqa: UP007 - made of what is left
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        yield from _judge_fields(value, wanted, path)
    elif get_origin(wanted) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _judge(item, get_args(wanted)[0], f"{path}[{index}]")
    else:
        try:
            msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            reason, _, inner = str(error).partition(" - at `$")
            where = path + inner.rstrip("`")
            if where.endswith("_s"):
                reason = f"must be a number of seconds, not {_describe(value)}"
            elif (choices := _list_choices(wanted)) and not inner:
                reason = f"must be {' or '.join(choices)}, not {_describe(value)}"
            yield Finding(where, f"{reason[:1].lower()}{reason[1:]}" + _advise(value, wanted))
            return
        if isinstance(value, float) and not math.isfinite(value):
            yield Finding(path, f"must be a number, not {value}")
            return
        try:
            msgspec.json.encode(value)
        except UnicodeEncodeError:
            yield Finding(path, "has half of a surrogate pair, which is no character")


def _judge_fields(value: Any, wanted: type[msgspec.Struct], path: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(path, f"must be fields with their values, not {_describe(value)}")
        return
    fields = {one.encode_name: one for one in msgspec.structs.fields(wanted)}
    for name in value:
        if name not in fields:
            meant = find_meant(str(name), wanted)
            hint = f"; did you mean {meant}?" if meant else _suggest(str(name), list(fields))
            yield Finding(_join(path, name), "is no field" + hint)
    for name, one in fields.items():
        if name in value:
            yield from _judge(value[name], one.type, _join(path, name))
        elif one.required:
            yield Finding(_join(path, name), "is missing")


def _list_choices(wanted: object) -> list[str]:
    """The values that there are, where a field takes a few words only."""
    if wanted is bool:
        return ["true", "false"]
    return [str(one) for one in get_args(wanted)] if get_origin(wanted) is Literal else []


def _advise(value: object, wanted: object) -> str:
    if isinstance(value, bool) and wanted is str:
        return "; YAML reads yes, no, on, off as booleans: put it in quotes"
    if wanted is str or (get_origin(wanted) is dict and "str" in str(wanted)):
        return "; put it in quotes"
    return "; write [it] for a list of one" if get_origin(wanted) is list else ""


def _describe(value: object) -> str:
    return "nothing" if value is None else f"{str(value)[:40]!r}"


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _suggest(name: str, fields: list[str]) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), fields, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(fields)}"
