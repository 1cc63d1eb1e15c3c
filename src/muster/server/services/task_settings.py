"""How are a task's events run? Fields of the request, and variables of the pilot's environment that mean the same.

Clients of EWMS can say nothing but variables, so both doors read them. Where a field and a variable are both given and
disagree, that is a finding: neither is a good guess. Settings of the worker (`MUSTER_WORKER_…`) are judged here and read by the worker.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from muster.client.shapes.new_workflow import NewTask
from muster.domain.errors import Finding
from muster.worker.protocol import OUTPUT_FILE, OUTPUT_LINES
from muster.worker.settings import find_fault

PREFIX = "MUSTER_TASK_"
FINISH_WHEN_DONE = "MUSTER_TASK_FINISH_WHEN_DONE"
"""On the first task: the workflow's flag."""
GPUS = "MUSTER_TASK_GPUS"
"""How many GPUs each worker of the task needs. Its workers are told when they enrol."""

ATTEMPTS_MAX = 1000
RETRY_S_MAX = 86_400.0
TIMEOUT_S_MAX = 366 * 86_400.0
MAX_EVENTS_MAX = 1_000_000_000
SLOTS_MAX = 1024
GPUS_MAX = 64
LEASE_S_MIN, LEASE_S_MAX = 1.0, 86_400.0
VALUE_CHARS_SHOWN = 80
BRAKE_ATTEMPTS_MIN, BRAKE_ATTEMPTS_MAX = 10, 10_000
EXTENSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
"""A file name's ending, without the dot in front."""

_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True)
class TaskSettings:
    """How the workers run a task, and how often its events are tried; see `domain.workflow.TaskDirective`."""

    attempts: int
    retry_s: float
    timeout_s: float | None
    warm: bool
    max_events: int
    infile_ext: str
    outfile_ext: str
    slots: int
    lease_s: float
    brake_attempts: int
    brake_share: float
    output: str


def parse_integer(text: str) -> int:
    """A decimal integer. Raises ValueError with half a sentence."""
    if re.fullmatch(r"[+-]?[0-9]{1,12}", text.strip()) is None:
        raise ValueError("must be a whole number")
    return int(text)


def parse_number(text: str) -> float:
    """A decimal number. Raises ValueError with half a sentence."""
    if re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{0,9})?", text.strip()) is None:
        raise ValueError("must be a number")
    return float(text)


def parse_flag(text: str) -> bool:
    """Yes or no, in the usual words. Raises ValueError with half a sentence."""
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


def parse_output(text: str) -> str:
    """What of a task's output is one event. Raises ValueError with half a sentence."""
    word = text.strip().lower()
    if word not in (OUTPUT_FILE, OUTPUT_LINES):
        raise ValueError(f"must be {OUTPUT_FILE} or {OUTPUT_LINES}")
    return word


def parse_extension(text: str) -> str:
    """A pilot's file extension: leading dots do not count. Raises ValueError with half a sentence."""
    extension = text.strip().lstrip(".")
    if EXTENSION.fullmatch(extension) is None:
        raise ValueError("must be a file extension: letters, digits, `_`, `.` and `-`, at most 32")
    return extension


def parse_gpus(given: str | int | list[str]) -> int:
    """A number of GPUs. Raises ValueError with half a sentence."""
    number = parse_integer(_one_text(given))
    if not 0 <= number <= GPUS_MAX:
        raise ValueError(f"must be 0 to {GPUS_MAX}")
    return number


VARIABLES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "MUSTER_TASK_ATTEMPTS": ("attempts", parse_integer),
    "MUSTER_TASK_RETRY_S": ("retry_s", parse_number),
    "MUSTER_TASK_TIMEOUT_S": ("timeout_s", parse_number),
    "MUSTER_TASK_WARM": ("warm", parse_flag),
    "MUSTER_TASK_MAX_EVENTS": ("max_events", parse_integer),
    "MUSTER_TASK_SLOTS": ("slots", parse_integer),
    "MUSTER_TASK_LEASE_S": ("lease_s", parse_number),
    "MUSTER_TASK_OUTPUT": ("output", parse_output),
    "MUSTER_TASK_BRAKE_ATTEMPTS": ("brake_attempts", parse_integer),
    "MUSTER_TASK_BRAKE_SHARE": ("brake_share", parse_number),
    "EWMS_PILOT_INFILE_EXT": ("infile_ext", parse_extension),
    "EWMS_PILOT_OUTFILE_EXT": ("outfile_ext", parse_extension),
    "EWMS_PILOT_TASK_TIMEOUT": ("timeout_s", parse_number),
    "EWMS_PILOT_MAX_CONCURRENT_TASKS": ("slots", parse_integer),
}
"""Variable → the field that means the same, and how its text is read."""

_DEFAULTS: Mapping[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(NewTask) if field.default is not msgspec.NODEFAULT
}


def resolve_task_settings(task: NewTask, path: str, findings: list[Finding]) -> TaskSettings:
    """Put fields and variables of a task together.

    Args:
        path: where the task stands in the request, e.g. `tasks[0]`.
        findings: faults are added to it; then the settings returned are not to be used.
    """
    fields: dict[str, Any] = {name: getattr(task, name) for name in TaskSettings.__dataclass_fields__}
    said_by: dict[str, str] = {}
    for name in ("infile_ext", "outfile_ext"):
        fields[name] = fields[name].lstrip(".")
    for variable, given in task.pilot_config.environment.items():
        if variable == FINISH_WHEN_DONE:
            continue
        where = f"{path}.pilot_config.environment.{variable}"
        if variable == GPUS:
            findings.extend(_judge_gpus(given, where))
            continue
        if variable not in VARIABLES:
            if variable.startswith(PREFIX):
                known = ", ".join(sorted({*VARIABLES, FINISH_WHEN_DONE, GPUS}))
                findings.append(Finding(where, f"is not a variable that means something; known are {known}"))
            elif fault := find_fault(variable, _text_at_worker(given)):
                findings.append(Finding(where, fault))
            continue
        field, parse = VARIABLES[variable]
        try:
            value = parse(_one_text(given))
        except ValueError as error:
            findings.append(Finding(where, _tell_fault(given, error)))
            continue
        is_given = field in said_by or getattr(task, field) != _DEFAULTS[field]
        if is_given and value != fields[field]:
            findings.append(Finding(where, f"is {value}, and {said_by.get(field, field)} says {fields[field]}"))
            continue
        fields[field], said_by[field] = value, variable
    settings = TaskSettings(**fields)
    findings.extend(_find_faults(settings, path, said_by))
    return settings


def _judge_gpus(given: str | int | list[str], where: str) -> Iterator[Finding]:
    try:
        parse_gpus(given)
    except ValueError as error:
        yield Finding(where, _tell_fault(given, error))


def wants_to_finish(task: NewTask, path: str, findings: list[Finding]) -> bool:
    """Does the first task's environment ask that the workflow finishes itself?"""
    given = task.pilot_config.environment.get(FINISH_WHEN_DONE)
    if given is None:
        return False
    try:
        return parse_flag(_one_text(given))
    except ValueError as error:
        findings.append(Finding(f"{path}.pilot_config.environment.{FINISH_WHEN_DONE}", _tell_fault(given, error)))
        return False


def _tell_fault(given: str | int | list[str], error: ValueError) -> str:
    """As `worker.settings.find_fault` says it."""
    return f"is {_text_at_worker(given)[:VALUE_CHARS_SHOWN]!r}; {error}"


def _one_text(given: str | int | list[str]) -> str:
    if isinstance(given, list):
        raise ValueError("must be one value, not a list")  # noqa: TRY004 - a finding of the user's input, as the others are
    return str(given)


def _text_at_worker(given: str | int | list[str]) -> str:
    """As site agents give it to the worker."""
    return ";".join(given) if isinstance(given, list) else str(given)


def _find_faults(settings: TaskSettings, path: str, said_by: Mapping[str, str]) -> list[Finding]:
    faults = {
        "attempts": None if 1 <= settings.attempts <= ATTEMPTS_MAX else f"must be 1 to {ATTEMPTS_MAX}",
        "retry_s": None if 0 <= settings.retry_s <= RETRY_S_MAX else f"must be 0 to {RETRY_S_MAX:.0f} seconds",
        "timeout_s": None
        if settings.timeout_s is None or 0 < settings.timeout_s <= TIMEOUT_S_MAX
        else f"must be more than 0 and at most {TIMEOUT_S_MAX:.0f} seconds",
        "max_events": None if 1 <= settings.max_events <= MAX_EVENTS_MAX else f"must be 1 to {MAX_EVENTS_MAX}",
        "slots": None if 1 <= settings.slots <= SLOTS_MAX else f"must be 1 to {SLOTS_MAX}",
        "lease_s": None
        if LEASE_S_MIN <= settings.lease_s <= LEASE_S_MAX
        else f"must be {LEASE_S_MIN:.0f} to {LEASE_S_MAX:.0f} seconds",
        "brake_attempts": None
        if not settings.brake_attempts or BRAKE_ATTEMPTS_MIN <= settings.brake_attempts <= BRAKE_ATTEMPTS_MAX
        else f"must be 0 (never), or {BRAKE_ATTEMPTS_MIN} to {BRAKE_ATTEMPTS_MAX}",
        "brake_share": None if 0 <= settings.brake_share < 1 else "must be at least 0 and less than 1",
        **{
            name: None
            if EXTENSION.fullmatch(getattr(settings, name))
            else "must be a file extension: letters, digits, `_`, `.` and `-`, at most 32"
            for name in ("infile_ext", "outfile_ext")
        },
    }
    return [
        Finding(f"{path}.pilot_config.environment.{said_by[name]}" if name in said_by else f"{path}.{name}", reason)
        for name, reason in faults.items()
        if reason is not None
    ]
