"""What travels between EWMS clients and us? One struct a message, with exactly upstream's fields (wms.md sections 4, 5, 14)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from muster.client.shapes.new_workflow import PilotConfig
from muster.server.doors.mq_profiles import MQProfileObject


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """Base of what clients send."""


class Answer(msgspec.Struct):
    """Base of what we answer."""


# -- requests ------------------------------------------------------------------------------------------------------------


class NewWorkerConfig(Request):
    """All required but `condor_requirements`, which upstream's own example leaves out."""

    do_transfer_worker_stdouterr: bool
    max_worker_runtime: int
    n_cores: int
    priority: int
    worker_disk: int | str
    worker_memory: int | str
    condor_requirements: str = ""


class NewTask(Request):
    """One task of a workflow."""

    cluster_locations: list[str]
    task_image: str
    task_args: str
    input_queue_aliases: list[str]
    output_queue_aliases: list[str]
    worker_config: NewWorkerConfig
    n_workers: int | None
    task_env: dict[str, str] = {}
    init_image: str = ""
    init_args: str = ""
    init_env: dict[str, str] = {}
    pilot_config: PilotConfig = msgspec.field(default_factory=PilotConfig)


class NewWorkflow(Request):
    """POST /v1/workflows"""

    public_queue_aliases: list[str]
    tasks: list[NewTask]
    priority: int = 50


class AddWorkers(Request):
    """POST /v1/task-directives/{task_id}/actions/add-workers"""

    cluster_location: str
    n_workers: int | None


class CondorSubmit(Request):
    """POST /v1/tms/condor-submit/taskforces/{uuid}: the four that count; other fields of a taskforce may come along."""

    cluster_id: int
    n_workers: int
    submit_dict: dict[str, str | int]
    job_event_log_fpath: str
    taskforce_uuid: Any = UNSET
    task_id: Any = UNSET
    workflow_id: Any = UNSET
    timestamp: Any = UNSET
    priority: Any = UNSET
    collector: Any = UNSET
    schedd: Any = UNSET
    worker_config: Any = UNSET
    pilot_config: Any = UNSET
    phase: Any = UNSET
    phase_change_log: Any = UNSET
    compound_statuses: Any = UNSET
    top_task_errors: Any = UNSET


class Failed(Request):
    """POST .../failed. Upstream's agent sends no `error` where it should."""

    error: str = ""


class CondorComplete(Request):
    """POST /v1/tms/condor-complete/taskforces/{uuid}"""

    condor_complete_ts: int


class StatusUpdate(Request):
    """POST /v1/tms/statuses/taskforces"""

    top_task_errors_by_taskforce: dict[str, dict[str, int]] | UnsetType = UNSET
    compound_statuses_by_taskforce: dict[str, dict[str, dict[str, int]]] | UnsetType = UNSET


class FindObject(Request):
    """POST /v1/query/...: wms.md 5.4. `after` empty: from the beginning."""

    query: dict[str, Any]
    projection: Annotated[list[str], msgspec.Meta(min_length=1)] | UnsetType = UNSET
    after: str = ""


# -- answers -------------------------------------------------------------------------------------------------------------


class WorkflowObject(Answer):
    """wms.md 5.1"""

    workflow_id: str
    timestamp: float
    priority: int
    deactivated: str | None
    deactivated_ts: float | None


class TaskDirectiveObject(Answer):
    """wms.md 5.2"""

    task_id: str
    workflow_id: str
    timestamp: float
    cluster_locations: list[str]
    task_image: str
    task_args: str
    task_env: dict[str, str]
    init_image: str
    init_args: str
    init_env: dict[str, str]
    input_queues: list[str]
    output_queues: list[str]


class PhaseLogObject(Answer):
    """An entry of `phase_change_log`."""

    target_phase: str
    timestamp: float
    was_successful: bool
    source_event_time: float | None
    source_entity: str
    context: str


class TaskforceObject(Answer):
    """wms.md 5.3, in upstream's order."""

    taskforce_uuid: str
    task_id: str
    workflow_id: str
    timestamp: float
    priority: int
    collector: str | None
    schedd: str
    n_workers: int
    worker_config: dict[str, Any]
    pilot_config: dict[str, Any]
    cluster_id: int | None
    submit_dict: dict[str, Any]
    job_event_log_fpath: str
    phase: str
    phase_change_log: list[PhaseLogObject]
    compound_statuses: dict[str, dict[str, int]]
    top_task_errors: dict[str, int]


class NewWorkflowAnswer(Answer):
    """What POST /v1/workflows made."""

    workflow: WorkflowObject
    task_directives: list[TaskDirectiveObject]
    taskforces: list[TaskforceObject]


class DeactivatedAnswer(Answer):
    """Answer to finished and abort."""

    workflow_id: str
    n_taskforces: int


class PendingStarter(Answer):
    """A taskforce to start, with the queues of its task, where they are on the broker."""

    taskforce: TaskforceObject
    task_directive: TaskDirectiveObject
    mqprofiles: list[MQProfileObject]


class TaskforceUuid(Answer):
    """Answer to a report."""

    taskforce_uuid: str


class StatusResult(Answer, omit_defaults=True):
    """What became of one taskforce's statuses; `error` only on failures."""

    uuid: str
    status: Literal["updated", "failed"]
    error: str | None = None


class StatusResults(Answer):
    """Failures first."""

    results: list[StatusResult]


class FoundWorkflows(Answer):
    """A page of workflows; with a projection, as much of each as was asked for. `next_after` null: there is no more."""

    workflows: list[dict[str, Any]]
    next_after: str | None


class FoundDirectives(Answer):
    """A page of task directives."""

    task_directives: list[dict[str, Any]]
    next_after: str | None


class FoundTaskforces(Answer):
    """A page of taskforces."""

    taskforces: list[dict[str, Any]]
    next_after: str | None
