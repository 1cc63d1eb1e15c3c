"""How does what we keep look to clients of the older API? Exactly the fields of release 0.5.2 (wms.md section 17).

In that release the service itself wrote the pilot's variables into each taskforce: of the task from the beginning, of the queues
once they are activated.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from muster.client.shapes import new_workflow as ours
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Workflow
from muster.server.doors.ewms.shapes_v0 import (
    NewTaskV0,
    NewWorkflowAnswerV0,
    NewWorkflowV0,
    PhaseLogObjectV0,
    TaskDirectiveObjectV0,
    TaskforceObjectV0,
    WorkflowObjectV0,
)
from muster.server.doors.ewms.views import DEACTIVATED, check_tasks, list_in_order_of_request
from muster.server.services.offer_upstream import Offer
from muster.server.services.read_workflow import WholeTaskforce, WholeWorkflow
from muster.server.services.submit_workflow import CREATED

_CREATED_BY, _CREATED = "User", "During initial workflow creation."
_NOT_HERE = ("image_source",)
_SIZES = ("worker_disk", "worker_memory")


def parse_new_workflow(new: NewWorkflowV0) -> ours.NewWorkflow:
    """The request in our own door's words. Raises InvalidError for what only this door can refuse."""
    check_tasks(new.tasks)
    return ours.NewWorkflow(
        tasks=[_parse_task(task) for task in new.tasks],
        public_queue_aliases=new.public_queue_aliases,
        priority=new.priority,
    )


def _parse_task(task: NewTaskV0) -> ours.NewTask:
    return ours.NewTask(
        cluster_locations=task.cluster_locations,
        task_image=task.task_image,
        task_args=task.task_args,
        input_queue_aliases=task.input_queue_aliases,
        output_queue_aliases=task.output_queue_aliases,
        n_workers=task.n_workers or 0,
        task_env=_make_texts(task.task_env),
        init_image=task.init_image,
        init_args=task.init_args,
        init_env=_make_texts(task.init_env),
        worker_config=ours.WorkerConfig(**msgspec.structs.asdict(task.worker_config)),
        pilot_config=ours.PilotConfig(**msgspec.structs.asdict(task.pilot_config)),
    )


def _make_texts(environment: Mapping[str, Any]) -> dict[str, str]:
    """A variable is text in the end: what is none is written as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in environment.items()}


def render_new_workflow(whole: WholeWorkflow) -> NewWorkflowAnswerV0:
    """A workflow that was just made, with its parts."""
    return NewWorkflowAnswerV0(
        render_workflow(whole),
        [render_directive(one) for one in whole.directives],
        [render_taskforce(one) for one in list_in_order_of_request(whole)],
    )


def render_workflow(whole: WholeWorkflow) -> WorkflowObjectV0:
    """Its queues were activated when its first taskforce went on."""
    went_on = [entry.at for one in whole.taskforces for entry in one.log if _is_activation(entry)]
    return render_activated_workflow(whole.workflow, min(went_on, default=None))


def render_activated_workflow(workflow: Workflow, activated_at: float | None) -> WorkflowObjectV0:
    """A workflow whose queues were activated then, seconds since the epoch."""
    return WorkflowObjectV0(
        workflow.workflow_id,
        workflow.created_at,
        workflow.priority,
        activated_at,
        DEACTIVATED[workflow.state],
        workflow.ended_at,
    )


def render_directive(task: TaskDirective) -> TaskDirectiveObjectV0:
    """A task."""
    return TaskDirectiveObjectV0(
        task_id=task.task_id,
        workflow_id=task.workflow_id,
        timestamp=task.created_at,
        cluster_locations=list(task.cluster_locations),
        task_image=task.task_image,
        task_args=task.task_args,
        input_queues=list(task.input_queues),
        output_queues=list(task.output_queues),
    )


def render_taskforce(whole: WholeTaskforce) -> TaskforceObjectV0:
    """A taskforce with the pilot's variables."""
    one = whole.taskforce
    config = {name: value for name, value in one.pilot_config.items() if name not in _NOT_HERE}
    return TaskforceObjectV0(
        taskforce_uuid=one.taskforce_uuid,
        task_id=one.task_id,
        workflow_id=one.workflow_id,
        timestamp=one.created_at,
        collector=one.collector or "",
        schedd=one.schedd,
        n_workers=one.n_workers,
        worker_config=dict(one.worker_config) | {name: _render_size(one.worker_config[name]) for name in _SIZES},
        pilot_config=config | {"environment": config["environment"] | _list_variables(whole)},
        cluster_id=one.cluster_id,
        submit_dict=dict(one.submit_dict),
        job_event_log_fpath=one.job_event_log_fpath,
        phase=one.phase.value,
        phase_change_log=[_render_entry(entry) for entry in whole.log],
        compound_statuses={status: dict(counts) for status, counts in one.compound_statuses.items()},
        top_task_errors=dict(one.top_task_errors),
    )


def render_offer(offer: Offer) -> TaskforceObjectV0:
    """A taskforce to start: the pilot's variables say of the queues also how they are reached on the broker."""
    rendered = render_taskforce(offer.taskforce)
    environment = rendered.pilot_config["environment"] | _list_connection_variables(offer)
    return msgspec.structs.replace(rendered, pilot_config=rendered.pilot_config | {"environment": environment})


def _list_queue_variables(task: TaskDirective) -> dict[str, list[str]]:
    """The queues' names, in lists."""
    ways = {"EWMS_PILOT_QUEUE_INCOMING": task.input_queues, "EWMS_PILOT_QUEUE_OUTGOING": task.output_queues}
    return {name: list(mqids) for name, mqids in ways.items() if mqids}


def _list_connection_variables(offer: Offer) -> dict[str, list[str]]:
    """Of each queue that is on the broker where that is and its token, in lists; only for whom the tokens are."""
    shown = {one.grouped.profile.mqid: one for one in offer.profiles}
    variables: dict[str, list[str]] = {}
    for name, mqids in _list_queue_variables(offer.taskforce.directive).items():
        for one in [shown[mqid] for mqid in mqids if mqid in shown]:
            if one.broker is None or one.token is None:
                continue
            values = {
                "AUTH_TOKEN": one.token,
                "BROKER_TYPE": one.broker.kind,
                "BROKER_ADDRESS": one.broker.login_address,
            }
            for suffix, value in values.items():
                variables.setdefault(f"{name}_{suffix}", []).append(value)
    return variables


def _render_size(size: int | str) -> str:
    """Bytes as text with a unit that HTCondor knows, rounded up; text as it was given."""
    return size if isinstance(size, str) else f"{-(-size // 1024)}K"


def _list_variables(whole: WholeTaskforce) -> dict[str, Any]:
    """The pilot's variables: image and arguments always, the others where there is something in them, queues from activation on."""
    task = whole.directive
    variables: dict[str, Any] = {"EWMS_PILOT_TASK_IMAGE": task.task_image, "EWMS_PILOT_TASK_ARGS": task.task_args}
    maybe = {
        "EWMS_PILOT_TASK_ENV_JSON": json.dumps(task.task_env) if task.task_env else "",
        "EWMS_PILOT_INIT_IMAGE": task.init_image,
        "EWMS_PILOT_INIT_ARGS": task.init_args,
        "EWMS_PILOT_INIT_ENV_JSON": json.dumps(task.init_env) if task.init_env else "",
    }
    variables |= {name: value for name, value in maybe.items() if value}
    return variables | (_list_queue_variables(task) if any(map(_is_activation, whole.log)) else {})


def _render_entry(entry: PhaseLogEntry) -> PhaseLogObjectV0:
    is_first = entry.context == CREATED
    return PhaseLogObjectV0(
        entry.target_phase.value,
        entry.at,
        entry.was_successful,
        entry.source_event_time,
        _CREATED_BY if is_first else entry.source_entity,
        _CREATED if is_first else entry.context,
    )


def _is_activation(entry: PhaseLogEntry) -> bool:
    return entry.target_phase is Phase.PRE_LAUNCH and entry.was_successful
