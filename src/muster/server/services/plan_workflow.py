"""Can this workflow be run as it is written? Every rule at once; out of it come queues, tasks and places, ready to be stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.domain.errors import Finding, InvalidError
from muster.domain.location import Agent, Location, explain_no_containers
from muster.domain.role_rules import TEXT_CHARS_MAX
from muster.domain.workflow import PRIORITY_MAX
from muster.server.services.findings import UpstreamFinding
from muster.server.services.judge_task import (
    ALIAS,
    ALIAS_RULE,
    find_duplicates,
    has_control_characters,
    judge_task,
)
from muster.server.services.task_settings import TaskSettings, resolve_task_settings, wants_to_finish

TASKS_MAX = 100
NAME_SHOWN_MAX = 2000
"""Characters of a name that upstream's sentence repeats."""
NAME_CHARS_MAX = 200
OF_THE_QUEUE = ("attempts", "retry_s", "lease_s")
"""Settings of a task that are its input queues'."""


@dataclass(frozen=True)
class PlannedQueue:
    """A queue to be made."""

    alias: str
    is_public: bool
    is_input: bool
    is_output: bool
    attempts: int
    lease_s: float
    retry_s: float


@dataclass(frozen=True)
class PlannedTask:
    """A task with the places where its workers run, one taskforce each."""

    new: NewTask
    settings: TaskSettings
    locations: Sequence[Location]


@dataclass(frozen=True)
class WorkflowPlan:
    """A workflow that can be run. Queues are in the order in which the tasks name them."""

    name: str
    priority: int
    finish_when_done: bool
    queues: Sequence[PlannedQueue]
    tasks: Sequence[PlannedTask]


def plan_workflow(
    request: NewWorkflow, *, locations: Mapping[str, Location], ignores_unknown_aliases: bool
) -> WorkflowPlan:
    """Judge a request and lay out what it needs.

    Args:
        locations: every name and alias that there is.
        ignores_unknown_aliases: a public alias that no task uses, and an input that nothing can come into, are passed over, as
            upstream does, instead of refused.

    Raises:
        InvalidError: every fault is a finding.
    """
    findings = list(_judge_whole(request, ignores_unknown_aliases=ignores_unknown_aliases))
    tasks = []
    for index, task in enumerate(request.tasks[:TASKS_MAX]):
        path = f"tasks[{index}]"
        settings = resolve_task_settings(task, path, findings)
        places = _find_locations(task, path, locations, findings)
        is_ours = any(one.agent is Agent.MUSTER for one in places)
        findings.extend(judge_task(task, path, is_ours=is_ours, is_upstreams=bool(places) and not is_ours))
        findings.extend(judge_image(task, path, places))
        tasks.append(PlannedTask(task, settings, places))
    agents = {place.agent for task in tasks for place in task.locations}
    if len(agents) > 1:
        findings.append(
            Finding(
                "tasks",
                "name locations of both kinds, served by Muster and by upstream; a workflow is one or the other",
            )
        )
    finish = request.finish_when_done or (bool(tasks) and wants_to_finish(tasks[0].new, "tasks[0]", findings))
    queues = _plan_queues(request, tasks, findings)
    if finish and not any(queue.is_public and queue.is_input for queue in queues):
        findings.append(
            Finding("finish_when_done", "needs a public input queue: the end is seen when such queues are closed")
        )
    if findings:
        raise InvalidError(findings)
    priority = max(1, min(PRIORITY_MAX, request.priority))
    return WorkflowPlan(request.name.strip(), priority, finish, queues, tasks)


def judge_image(task: NewTask, path: str, places: Sequence[Location]) -> Iterator[Finding]:
    """Would its agent refuse it? Said now, and not once there is room for it and somebody has published events."""
    if task.task_image:
        for place in places:
            if not place.containers:
                yield Finding(f"{path}.task_image", explain_no_containers(task.task_image[:1000], place.name))


def _judge_whole(request: NewWorkflow, *, ignores_unknown_aliases: bool) -> Iterator[Finding]:
    if not request.tasks:
        yield Finding("tasks", "must have at least 1 items")
    if len(request.tasks) > TASKS_MAX:
        yield Finding("tasks", f"must have no more than {TASKS_MAX} items")
    if len(request.name) > NAME_CHARS_MAX or has_control_characters(request.name):
        yield Finding("name", f"must be at most {NAME_CHARS_MAX} characters, without control characters")
    if len(request.group) > TEXT_CHARS_MAX or has_control_characters(request.group):
        yield Finding("group", f"must be at most {TEXT_CHARS_MAX} characters, without control characters")
    for index in find_duplicates(request.public_queue_aliases):
        yield Finding(f"public_queue_aliases[{index}]", "items must be unique")
    if not ignores_unknown_aliases:
        yield from _judge_aliases(request)


def _judge_aliases(request: NewWorkflow) -> Iterator[Finding]:
    """Names of queues that mean nothing: most are misspelt."""
    used = {alias for task in request.tasks for alias in (*task.input_queue_aliases, *task.output_queue_aliases)}
    for index, alias in enumerate(request.public_queue_aliases):
        if alias not in used:
            known = ", ".join(sorted(used)) or "none"
            yield Finding(f"public_queue_aliases[{index}]", f"no task uses a queue {alias[:100]!r}; used are: {known}")
    fed = {*request.public_queue_aliases, *(alias for task in request.tasks for alias in task.output_queue_aliases)}
    for number, task in enumerate(request.tasks):
        for index, alias in enumerate(task.input_queue_aliases):
            if alias not in fed:
                yield Finding(
                    f"tasks[{number}].input_queue_aliases[{index}]",
                    f"nothing can come into {alias[:100]!r}: no task writes into it and it is not public; "
                    f"those into which something can come are: {', '.join(sorted(fed)) or 'none'}",
                )


def _find_locations(
    task: NewTask, path: str, locations: Mapping[str, Location], findings: list[Finding]
) -> list[Location]:
    found = []
    if not task.cluster_locations:
        findings.append(Finding(f"{path}.cluster_locations", "must have at least 1 items"))
    findings.extend(
        Finding(f"{path}.cluster_locations[{index}]", "items must be unique")
        for index in find_duplicates(task.cluster_locations)
    )
    for index, name in enumerate(task.cluster_locations):
        try:
            found.append(get_location(locations, name, field=f"{path}.cluster_locations[{index}]"))
        except InvalidError as error:
            findings.extend(error.findings)
    return found


def get_location(locations: Mapping[str, Location], name: str, *, field: str) -> Location:
    """The location of that name or alias. Raises InvalidError, which says what there is."""
    if name in locations:
        return locations[name]
    known = ", ".join(sorted(locations)) or "none"
    raise InvalidError(
        [
            UpstreamFinding(
                field,
                f"there is no location {name[:100]!r}; known are: {known}",
                text=f"condor cluster location not found: {name[:NAME_SHOWN_MAX]}",
                text_v0=f"condor location not found: {name[:NAME_SHOWN_MAX]}",
            )
        ]
    )


def _plan_queues(request: NewWorkflow, tasks: Sequence[PlannedTask], findings: list[Finding]) -> list[PlannedQueue]:
    """One queue for each alias that a task names, in the order of first mention."""
    public = frozenset(request.public_queue_aliases)
    aliases: dict[str, None] = {}
    readers: dict[str, int] = {}
    outputs: set[str] = set()
    for index, task in enumerate(tasks):
        for alias in (*task.new.input_queue_aliases, *task.new.output_queue_aliases):
            aliases[alias] = None
        for position, alias in enumerate(task.new.input_queue_aliases):
            first = tasks[readers.setdefault(alias, index)].settings
            if any(getattr(first, name) != getattr(task.settings, name) for name in OF_THE_QUEUE):
                findings.append(
                    Finding(
                        f"tasks[{index}].input_queue_aliases[{position}]",
                        f"is read by tasks[{readers[alias]}] too, with other {' or '.join(OF_THE_QUEUE)}; they must agree",
                    )
                )
        outputs.update(task.new.output_queue_aliases)
    findings.extend(
        Finding("tasks", f"{alias[:100]!r}: {ALIAS_RULE}") for alias in aliases if not ALIAS.fullmatch(alias)
    )
    if not tasks:
        return []
    settings = {alias: tasks[readers.get(alias, 0)].settings for alias in aliases}
    return [
        PlannedQueue(
            alias=alias,
            is_public=alias in public,
            is_input=alias in readers,
            is_output=alias in outputs,
            **{name: getattr(settings[alias], name) for name in OF_THE_QUEUE},
        )
        for alias in aliases
    ]
