"""Can a task be mended like this? What it would be is judged by the rules of submission, as a whole; out of it comes the revision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import UNSET

from muster.client.shapes.new_workflow import NewTask, PilotConfig, WorkerConfig
from muster.client.shapes.workflows import ReviseTask
from muster.domain.errors import Finding, InvalidError
from muster.domain.location import Location
from muster.domain.queue import Queue
from muster.domain.revision import REVISABLE, Revision
from muster.domain.workflow import TaskDirective
from muster.server.services.judge_task import judge_task
from muster.server.services.plan_workflow import OF_THE_QUEUE, judge_image
from muster.server.services.task_settings import VARIABLES, TaskSettings, resolve_task_settings

PATH = "task"
_OF_TASK = frozenset(field.name for field in msgspec.structs.fields(NewTask)) & REVISABLE
_OF_SETTINGS = frozenset(TaskSettings.__dataclass_fields__) & REVISABLE
_DEFAULTS: Mapping[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(NewTask) if field.default is not msgspec.NODEFAULT
}


@dataclass(frozen=True)
class Present:
    """A task as it is now.

    Args:
        directive: by its newest revision.
        worker_config, pilot_config: as its workers have them now, or as they would come now.
        queues: its input and output queues by their ids.
        places: where it runs.
    """

    directive: TaskDirective
    worker_config: Mapping[str, Any]
    pilot_config: Mapping[str, Any]
    queues: Mapping[str, Queue]
    places: Sequence[Location]


def plan_revision(present: Present, asked: ReviseTask, *, at: float, by: str) -> Revision:
    """The next revision of a task that our own workers run.

    Raises:
        InvalidError: what it would be breaks a rule, or it would be what it is; every fault is a finding.
    """
    directive = present.directive
    new = _apply(present, asked)
    findings: list[Finding] = []
    settings = resolve_task_settings(new, PATH, findings)
    findings.extend(_judge_queue_settings(present, settings))
    findings.extend(judge_task(new, PATH, is_ours=True))
    findings.extend(judge_image(new, PATH, present.places))
    if findings:
        raise InvalidError([replace(one, field=one.field.removeprefix(f"{PATH}.")) for one in findings])
    wanted = {name: getattr(new, name) for name in _OF_TASK - _OF_SETTINGS}
    wanted |= {name: getattr(settings, name) for name in _OF_SETTINGS}
    changes = {name: value for name, value in sorted(wanted.items()) if value != getattr(directive, name)}
    worker_config = msgspec.structs.asdict(new.worker_config)
    pilot_config = {**present.pilot_config, **_list_pilot_changes(new)}
    has_other_workers = worker_config != dict(present.worker_config)
    has_other_pilot = pilot_config != dict(present.pilot_config)
    if not (changes or has_other_workers or has_other_pilot):
        raise InvalidError([Finding("", "changes nothing: the task is like this already")])
    return Revision(
        number=directive.revision + 1,
        at=at,
        by=by,
        reason=asked.reason.strip(),
        changes=changes,
        worker_config=worker_config if has_other_workers else None,
        pilot_config=pilot_config if has_other_pilot else None,
    )


def _apply(present: Present, asked: ReviseTask) -> NewTask:
    """The task as it would be submitted if it were so from the beginning."""
    directive, queues = present.directive, present.queues
    asked_for = {name: value for name in _OF_TASK if (value := getattr(asked, name)) is not UNSET}
    environment = dict(present.pilot_config.get("environment", {}) if asked.environment is UNSET else asked.environment)
    for variable, (field, _) in VARIABLES.items():
        if field in asked_for:
            environment.pop(variable, None)  # it said what the field says otherwise now
    values: dict[str, Any] = {name: getattr(directive, name) for name in _OF_TASK} | asked_for
    values |= {"attempts": directive.attempts, "retry_s": directive.retry_s, "lease_s": _find_lease(present)}
    for variable in environment.keys() & VARIABLES.keys():
        field = VARIABLES[variable][0]
        values[field] = _DEFAULTS[field]  # the variable says it, as it did when it was submitted
    files = list(present.pilot_config.get("input_files", ())) if asked.input_files is UNSET else asked.input_files
    worker_config = dict(present.worker_config)
    if asked.worker_config is not UNSET:
        worker_config |= {
            name: value for name, value in msgspec.structs.asdict(asked.worker_config).items() if value is not UNSET
        }
    known = {field.name for field in msgspec.structs.fields(WorkerConfig)}
    return NewTask(
        cluster_locations=list(directive.cluster_locations),
        input_queue_aliases=[queues[one].alias for one in directive.input_queues],
        output_queue_aliases=[queues[one].alias for one in directive.output_queues],
        worker_config=WorkerConfig(**{name: value for name, value in worker_config.items() if name in known}),
        pilot_config=PilotConfig(environment=environment),
        input_files=files,
        **values,
    )


def _list_pilot_changes(new: NewTask) -> Mapping[str, Any]:
    return {"environment": new.pilot_config.environment, "input_files": list(new.input_files)}


def _find_lease(present: Present) -> float:
    return min((present.queues[one].lease_s for one in present.directive.input_queues), default=60.0)


def _judge_queue_settings(present: Present, settings: TaskSettings) -> list[Finding]:
    """What belongs to its queues was settled when they were made."""
    now = {
        "attempts": present.directive.attempts,
        "retry_s": present.directive.retry_s,
        "lease_s": _find_lease(present),
    }
    return [
        Finding(
            f"{PATH}.environment", f"says {name} {getattr(settings, name):g}: its queues have {now[name]:g}, for good"
        )
        for name in OF_THE_QUEUE
        if getattr(settings, name) != now[name]
    ]
