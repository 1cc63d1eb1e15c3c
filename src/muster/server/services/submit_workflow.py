"""How does a request become a workflow? Judged whole, then stored whole: queues, tasks, and a taskforce for each location."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from muster.client.shapes.new_workflow import NewWorkflow
from muster.domain import ids
from muster.domain.caller import Caller
from muster.domain.errors import Finding, InvalidError
from muster.domain.location import Agent, Location
from muster.domain.outbox import Notice
from muster.domain.queue import Counts, Queue
from muster.domain.room import Use
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Origin, PhaseLogEntry, TaskDirective, Taskforce, Workflow
from muster.server.ports.store import StoredAnswer, Transaction
from muster.server.services.advance_taskforce import USER, make_notice
from muster.server.services.find_room import require_possible
from muster.server.services.findings import UpstreamFinding
from muster.server.services.idempotent import RequestKey, answer_once, find_answer
from muster.server.services.parts import Parts
from muster.server.services.pilot_tag import NOT_FOUND, find_pilot_tag, list_pilot_tags
from muster.server.services.plan_workflow import PlannedTask, WorkflowPlan, plan_workflow
from muster.server.services.read_workflow import WholeTaskforce, WholeWorkflow
from muster.server.services.reserve_queues import insert_group
from muster.worker.crash_points import reach

SMALL_TASKS = 16
"""A workflow of so many tasks may be stored with others of its owner; those of more keep nobody waiting."""
CREATED = "Created during initial workflow request."


@dataclass(frozen=True)
class Submission:
    """A request for a workflow.

    Args:
        key: None: a second request makes a second workflow.
        ignores_unknown_aliases: a public alias that no task uses is passed over.
        status, render: the answer that is kept with the key.
    """

    request: NewWorkflow
    caller: Caller
    key: RequestKey | None
    status: int
    render: Callable[[WholeWorkflow], bytes]
    ignores_unknown_aliases: bool = False


async def submit_workflow(parts: Parts, submission: Submission) -> StoredAnswer:
    """Store a workflow, or give the answer that the same request was given before.

    Raises:
        InvalidError: the request breaks rules; every fault is a finding.
        IdempotencyMismatchError: the key belongs to another request.
    """
    try:
        plan = plan_workflow(
            submission.request,
            locations=parts.locations,
            ignores_unknown_aliases=submission.ignores_unknown_aliases,
        )
        _require_member(submission.caller, submission.request.group)
        tags = await _resolve_tags(parts, plan)
    except InvalidError:
        if (earlier := await find_answer(parts.store, submission.key)) is not None:
            return earlier
        raise

    def store(tx: Transaction) -> StoredAnswer:
        def make() -> bytes:
            return submission.render(_insert(tx, parts, plan, submission, tags=tags))

        answer, _ = answer_once(tx, submission.key, status=submission.status, work=make)
        return answer

    group = f"submit {submission.caller.name}" if len(plan.tasks) <= SMALL_TASKS else None
    answer = await parts.store.write(store, group=group)
    reach("server.workflow.committed")
    return answer


async def _resolve_tags(parts: Parts, plan: WorkflowPlan) -> Sequence[str]:
    """The pilot's tag of each task. Raises InvalidError for one that there is not; UnavailableError: the folder cannot be read.

    Our own agents run the worker that comes with them, whatever the tag is, and need no folder.
    """
    folder = parts.settings.pilot_images_dir
    known = None if folder is None or not _is_upstreams(plan) else await list_pilot_tags(folder)
    tags = [find_pilot_tag(task.new.pilot_config.tag, known, own=parts.version) for task in plan.tasks]
    missing: list[Finding] = [
        UpstreamFinding(f"tasks[{index}].pilot_config.tag", NOT_FOUND, text=NOT_FOUND)
        for index, tag in enumerate(tags)
        if tag is None
    ]
    if missing:
        raise InvalidError(missing)
    return [tag for tag in tags if tag is not None]


def _is_upstreams(plan: WorkflowPlan) -> bool:
    """Does upstream's agent start its workers? It does everywhere or nowhere."""
    return any(place.agent is Agent.UPSTREAM for task in plan.tasks for place in task.locations)


def _require_member(caller: Caller, group: str) -> None:
    """Raises InvalidError: the caller is not of that group."""
    if group and group not in caller.groups and not caller.has():
        own = ", ".join(sorted(caller.groups)) or "none"
        raise InvalidError([Finding("group", f"you are not in {group[:100]!r}; your groups: {own[:1000]}")])


def _insert(
    tx: Transaction, parts: Parts, plan: WorkflowPlan, submission: Submission, *, tags: Sequence[str]
) -> WholeWorkflow:
    """Store everything; returns it as `read_whole` would read it, which takes as long again."""
    workers = sum(task.new.n_workers * len(task.locations) for task in plan.tasks)
    require_possible(parts, Use(queues=len(plan.queues), workers=workers), field="tasks")
    now = tx.now()
    workflow = Workflow(
        workflow_id=ids.make_workflow_id(now_s=now, random=parts.random(8)),
        created_at=now,
        priority=plan.priority,
        owner=submission.caller.name,
        owner_group=submission.request.group or None,
        name=plan.name,
        finish_when_done=plan.finish_when_done,
    )
    queues = _make_queues(tx, parts, plan, workflow.workflow_id)
    directives = [_make_directive(parts, workflow, position, task, queues) for position, task in enumerate(plan.tasks)]
    tx.workflows.insert(workflow, directives)
    tx.queues.insert(list(queues.values()))
    insert_group(tx, workflow, queues.values(), is_direct=_is_upstreams(plan))
    made = [
        (
            make_taskforce(
                parts,
                directive,
                location,
                origin=Origin.SUBMITTED,
                now=now,
                priority=workflow.priority,
                n_workers=task.new.n_workers,
                worker_config=msgspec.structs.asdict(task.new.worker_config),
                pilot_config=_make_pilot_config(task, tag),
            ),
            directive,
        )
        for task, directive, tag in zip(plan.tasks, directives, tags, strict=True)
        for location in task.locations
    ]
    told = Notice(workflow.workflow_id, "workflow.created", now, {"owner": workflow.owner, "name": plan.name})
    entry = insert_taskforces(tx, [taskforce for taskforce, _ in made], source=USER, context=CREATED, told=[told])
    return WholeWorkflow(
        workflow=workflow,
        directives=directives,
        queues=list(queues.values()),
        counts={one.number: Counts() for one in queues.values()},
        taskforces=[WholeTaskforce(one, directive, [entry], 0) for one, directive in made],
    )


def make_taskforce(
    parts: Parts,
    directive: TaskDirective,
    location: Location,
    *,
    origin: Origin,
    now: float,
    priority: int,
    n_workers: int,
    worker_config: Mapping[str, Any],
    pilot_config: Mapping[str, Any],
) -> Taskforce:
    """A new taskforce of a task at a location. Where this revision of the task has other configurations, those count."""
    return Taskforce(
        taskforce_uuid=ids.make_taskforce_uuid(directive.task_id, random=parts.random(8)),
        task_id=directive.task_id,
        workflow_id=directive.workflow_id,
        created_at=now,
        priority=priority,
        location=location.name,
        schedd=location.schedd,
        collector=location.collector,
        n_workers=n_workers,
        worker_config=directive.find_config("worker_config") or worker_config,
        pilot_config=directive.find_config("pilot_config") or pilot_config,
        revision=directive.revision,
        phase=Phase.PRE_MQ_ACTIVATION,
        origin=origin,
    )


def insert_taskforces(
    tx: Transaction, new: Sequence[Taskforce], *, source: str, context: str, told: Sequence[Notice] = ()
) -> PhaseLogEntry:
    """Store new taskforces with the first line of their logs, which is returned, and wake those who take them further.

    Args:
        told: notices that follow theirs.
    """
    now = tx.now()
    entry = PhaseLogEntry(Phase.PRE_MQ_ACTIVATION, now, True, None, source, context)
    tx.taskforces.insert_all(new, entry)
    tx.outbox.insert(*(make_notice(one, now) for one in new), *told)
    tx.wake("activate")
    for one in new:
        tx.wake(f"workflow:{one.workflow_id}")
    return entry


def _make_queues(tx: Transaction, parts: Parts, plan: WorkflowPlan, workflow_id: str) -> Mapping[str, Queue]:
    """The queues by alias."""
    numbers = tx.queues.next_numbers(len(plan.queues)) if plan.queues else ()
    return {
        planned.alias: Queue(
            number=number,
            queue_id=ids.make_queue_id(random=parts.random(20)),
            workflow_id=workflow_id,
            alias=planned.alias,
            is_public=planned.is_public,
            is_input=planned.is_input,
            is_output=planned.is_output,
            closed_at=None,
            attempts=planned.attempts,
            lease_s=planned.lease_s,
            retry_s=planned.retry_s,
        )
        for number, planned in zip(numbers, plan.queues, strict=True)
    }


def _make_directive(
    parts: Parts, workflow: Workflow, position: int, task: PlannedTask, queues: Mapping[str, Queue]
) -> TaskDirective:
    new, settings = task.new, task.settings
    return TaskDirective(
        task_id=ids.make_task_id(workflow.workflow_id, random=parts.random(8)),
        workflow_id=workflow.workflow_id,
        created_at=workflow.created_at,
        position=position,
        cluster_locations=tuple(new.cluster_locations),
        task_image=new.task_image,
        task_args=new.task_args,
        task_env=new.task_env,
        init_image=new.init_image,
        init_args=new.init_args,
        init_env=new.init_env,
        input_queues=tuple(queues[alias].queue_id for alias in new.input_queue_aliases),
        output_queues=tuple(queues[alias].queue_id for alias in new.output_queue_aliases),
        attempts=settings.attempts,
        retry_s=settings.retry_s,
        timeout_s=settings.timeout_s,
        warm=settings.warm,
        max_events=settings.max_events,
        infile_ext=settings.infile_ext,
        outfile_ext=settings.outfile_ext,
        slots=settings.slots,
        brake_attempts=settings.brake_attempts,
        brake_share=settings.brake_share,
        output=settings.output,
    )


def _make_pilot_config(task: PlannedTask, tag: str) -> Mapping[str, Any]:
    """What is stored: the tag that was found, `auto` as `cvmfs` (as upstream), the task's files with the pilot's."""
    given = task.new.pilot_config
    return {
        "tag": tag,
        "image_source": "cvmfs",
        "environment": given.environment,
        "input_files": [*given.input_files, *task.new.input_files],
    }
