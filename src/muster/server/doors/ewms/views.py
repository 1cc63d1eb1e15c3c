"""How does what we keep look to EWMS clients? Exactly upstream's fields, nothing of ours."""

from collections.abc import Mapping, Sequence

import msgspec

from muster.client.shapes import new_workflow as ours
from muster.domain.errors import Finding, InvalidError
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow, WorkflowState
from muster.server.doors.ewms.shapes import (
    NewTask,
    NewWorkflow,
    NewWorkflowAnswer,
    PendingStarter,
    PhaseLogObject,
    TaskDirectiveObject,
    TaskforceObject,
    WorkflowObject,
)
from muster.server.doors.ewms.shapes_v0 import NewTaskV0
from muster.server.doors.mq_profiles import render_profile
from muster.server.services.offer_upstream import Offer
from muster.server.services.read_workflow import WholeTaskforce, WholeWorkflow

DEACTIVATED: Mapping[WorkflowState, str | None] = {
    WorkflowState.ACTIVE: None,
    WorkflowState.FINISHED: "FINISHED",
    WorkflowState.ABORTED: "ABORTED",
}
"""Our states in upstream's words."""


def parse_new_workflow(new: NewWorkflow) -> ours.NewWorkflow:
    """The request in our own door's words. Raises InvalidError for what only this door can refuse."""
    check_tasks(new.tasks)
    return ours.NewWorkflow(
        tasks=[_parse_task(task) for task in new.tasks],
        public_queue_aliases=new.public_queue_aliases,
        priority=new.priority,
    )


def check_tasks(tasks: Sequence[NewTask | NewTaskV0]) -> None:
    """Raise InvalidError for tasks that stand twice, and for those without a number of workers."""
    findings = [
        Finding(f"tasks[{index}].n_workers", "must be at least 1")
        for index, task in enumerate(tasks)
        if task.n_workers is None
    ]
    findings += [
        Finding(f"tasks[{index}]", "items must be unique") for index, task in enumerate(tasks) if task in tasks[:index]
    ]
    if findings:
        raise InvalidError(findings)


def _parse_task(task: NewTask) -> ours.NewTask:
    return ours.NewTask(
        cluster_locations=task.cluster_locations,
        task_image=task.task_image,
        task_args=task.task_args,
        input_queue_aliases=task.input_queue_aliases,
        output_queue_aliases=task.output_queue_aliases,
        n_workers=task.n_workers or 0,
        task_env=task.task_env,
        init_image=task.init_image,
        init_args=task.init_args,
        init_env=task.init_env,
        worker_config=ours.WorkerConfig(**msgspec.structs.asdict(task.worker_config)),
        pilot_config=task.pilot_config,
    )


def render_new_workflow(whole: WholeWorkflow) -> NewWorkflowAnswer:
    """A workflow that was just made, with its parts."""
    return NewWorkflowAnswer(
        render_workflow(whole),
        [render_directive(one) for one in whole.directives],
        [render_taskforce(one) for one in list_in_order_of_request(whole)],
    )


def list_in_order_of_request(whole: WholeWorkflow) -> list[WholeTaskforce]:
    """By task, then by location, as they were asked for."""
    positions = {one.task_id: one.position for one in whole.directives}
    return sorted(whole.taskforces, key=lambda one: positions[one.taskforce.task_id])


def render_workflow(whole: WholeWorkflow) -> WorkflowObject:
    """wms.md 5.1"""
    return render_bare_workflow(whole.workflow)


def render_bare_workflow(workflow: Workflow) -> WorkflowObject:
    """wms.md 5.1"""
    return WorkflowObject(
        workflow.workflow_id,
        workflow.created_at,
        workflow.priority,
        DEACTIVATED[workflow.state],
        workflow.ended_at,
    )


def render_directive(task: TaskDirective) -> TaskDirectiveObject:
    """wms.md 5.2"""
    return TaskDirectiveObject(
        task_id=task.task_id,
        workflow_id=task.workflow_id,
        timestamp=task.created_at,
        cluster_locations=list(task.cluster_locations),
        task_image=task.task_image,
        task_args=task.task_args,
        task_env=dict(task.task_env),
        init_image=task.init_image,
        init_args=task.init_args,
        init_env=dict(task.init_env),
        input_queues=list(task.input_queues),
        output_queues=list(task.output_queues),
    )


def render_taskforce(whole: WholeTaskforce) -> TaskforceObject:
    """wms.md 5.3"""
    return render_logged_taskforce(whole.taskforce, whole.log)


def render_logged_taskforce(one: Taskforce, log: Sequence[PhaseLogEntry]) -> TaskforceObject:
    """wms.md 5.3"""
    return TaskforceObject(
        taskforce_uuid=one.taskforce_uuid,
        task_id=one.task_id,
        workflow_id=one.workflow_id,
        timestamp=one.created_at,
        priority=one.priority,
        collector=None,  # as upstream, whatever the location says: clients of this version do not expect one
        schedd=one.schedd,
        n_workers=one.n_workers,
        worker_config=dict(one.worker_config),
        pilot_config=dict(one.pilot_config),
        cluster_id=one.cluster_id,
        submit_dict=dict(one.submit_dict),
        job_event_log_fpath=one.job_event_log_fpath,
        phase=one.phase.value,
        phase_change_log=[_render_entry(entry) for entry in log],
        compound_statuses={status: dict(counts) for status, counts in one.compound_statuses.items()},
        top_task_errors=dict(one.top_task_errors),
    )


def render_offered(offer: Offer) -> TaskforceObject:
    """wms.md 4.12, 4.15"""
    return render_taskforce(offer.taskforce)


def render_offer(offer: Offer) -> PendingStarter:
    """wms.md 4.13"""
    profiles = [render_profile(one) for one in offer.profiles]
    return PendingStarter(render_taskforce(offer.taskforce), render_directive(offer.taskforce.directive), profiles)


def _render_entry(entry: PhaseLogEntry) -> PhaseLogObject:
    return PhaseLogObject(
        entry.target_phase.value,
        entry.at,
        entry.was_successful,
        entry.source_event_time,
        entry.source_entity,
        entry.context,
    )
