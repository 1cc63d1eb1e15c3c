"""What travels between clients of the older API and us? Only what differs from `/v1` (wms.md section 17, release 0.5.2)."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from muster.server.doors.ewms.shapes import Answer, Request


class NewWorkerConfigV0(Request):
    """Sizes are text. `condor_requirements` may be left out, as in the example that upstream prints."""

    do_transfer_worker_stdouterr: bool
    max_worker_runtime: int
    n_cores: int
    priority: int
    worker_disk: str
    worker_memory: str
    condor_requirements: str = ""


class NewPilotConfigV0(Request):
    """Without a source of the image."""

    tag: str = "latest"
    environment: dict[str, str | int | list[str]] = msgspec.field(default_factory=dict)
    input_files: list[str] = msgspec.field(default_factory=list)


class NewTaskV0(Request):
    """One task of a workflow. The values of its environments are any JSON."""

    cluster_locations: list[str]
    task_image: str
    task_args: str
    input_queue_aliases: list[str]
    output_queue_aliases: list[str]
    worker_config: NewWorkerConfigV0
    n_workers: int | None
    task_env: dict[str, Any] = msgspec.field(default_factory=dict)
    init_image: str = ""
    init_args: str = ""
    init_env: dict[str, Any] = msgspec.field(default_factory=dict)
    pilot_config: NewPilotConfigV0 = msgspec.field(default_factory=NewPilotConfigV0)


class NewWorkflowV0(Request):
    """POST /v0/workflows"""

    public_queue_aliases: list[str]
    tasks: list[NewTaskV0]
    priority: int = 10


class FindObjectV0(Request):
    """POST /v0/query/...: everything that fits is one answer."""

    query: dict[str, Any]
    projection: Annotated[list[str], msgspec.Meta(min_length=1)] | UnsetType = UNSET


class WorkflowObjectV0(Answer):
    """With when its queues were activated. It is never put off until a time of its own, so there is none to tell."""

    workflow_id: str
    timestamp: float
    priority: int
    mq_activated_ts: float | None
    deactivated: str | None
    deactivated_ts: float | None
    mq_activation_retry_at_ts: None = msgspec.field(name="_mq_activation_retry_at_ts", default=None)


class TaskDirectiveObjectV0(Answer):
    """Without the environments and the init container, which stand in the taskforce's own environment."""

    task_id: str
    workflow_id: str
    timestamp: float
    cluster_locations: list[str]
    task_image: str
    task_args: str
    input_queues: list[str]
    output_queues: list[str]


class PhaseLogObjectV0(Answer):
    """An entry of `phase_change_log`: its text is the `description`."""

    target_phase: str
    timestamp: float
    was_successful: bool
    source_event_time: float | None
    source_entity: str
    description: str


class TaskforceObjectV0(Answer):
    """Without a priority; the pilot's variables stand in `pilot_config.environment`."""

    taskforce_uuid: str
    task_id: str
    workflow_id: str
    timestamp: float
    collector: str
    schedd: str
    n_workers: int
    worker_config: dict[str, Any]
    pilot_config: dict[str, Any]
    cluster_id: int | None
    submit_dict: dict[str, Any]
    job_event_log_fpath: str
    phase: str
    phase_change_log: list[PhaseLogObjectV0]
    compound_statuses: dict[str, dict[str, int]]
    top_task_errors: dict[str, int]


class NewWorkflowAnswerV0(Answer):
    """What POST /v0/workflows made."""

    workflow: WorkflowObjectV0
    task_directives: list[TaskDirectiveObjectV0]
    taskforces: list[TaskforceObjectV0]


class FoundWorkflowsV0(Answer):
    """All workflows that fit; with a projection, as much of each as was asked for."""

    workflows: list[dict[str, Any]]


class FoundDirectivesV0(Answer):
    """All task directives that fit."""

    task_directives: list[dict[str, Any]]


class FoundTaskforcesV0(Answer):
    """All taskforces that fit."""

    taskforces: list[dict[str, Any]]
