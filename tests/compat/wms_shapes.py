"""What do the answers of the workflow service look like, field by field, on each version?

Source: wms.md sections 4, 5, 6 and 14 for `/v1`; section 17 (release 0.5.2) for `/v0`, whose `_mq_activation_retry_at_ts` is
null where it was infinite, and which has add-workers too.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from compat.exact import Exact, has_duplicates
from compat.mqs_shapes import MQProfileObject, QueueId

TIME = "[1-9a-f][0-9a-f]{7}"
PIECE = "[0-9a-f]{8}"
WorkflowId = Annotated[str, Meta(pattern=f"^WF-{TIME}-{PIECE}$")]
TaskId = Annotated[str, Meta(pattern=f"^TK-{TIME}-{PIECE}-{PIECE}$")]
TaskforceId = Annotated[str, Meta(pattern=f"^TF-{TIME}-{PIECE}-{PIECE}-{PIECE}$")]

Phase = Literal[
    "pre-mq-activation",
    "pre-launch",
    "pending-starter",
    "condor-submit",
    "pending-stopper",
    "condor-rm",
    "condor-complete",
]
Source = Literal["USER", "TMS", "User", "Workflow MQ Activator", "Taskforce Launch Control"]
Environment = dict[str, str | int | Annotated[list[str], Meta(min_length=1)]]
Locations = Annotated[list[str], Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]


# -- what both versions share ------------------------------------------------------------------------------------


class _Workflow(Exact):
    workflow_id: WorkflowId
    timestamp: float
    priority: int
    deactivated: Literal["ABORTED", "FINISHED"] | None
    deactivated_ts: float | None

    def __post_init__(self) -> None:
        if (self.deactivated is None) != (self.deactivated_ts is None):
            raise ValueError("`deactivated` and `deactivated_ts` are set together")


class _TaskDirective(Exact):
    task_id: TaskId
    workflow_id: WorkflowId
    timestamp: float
    cluster_locations: Locations
    task_image: str
    task_args: str
    input_queues: list[QueueId]
    output_queues: list[QueueId]

    def __post_init__(self) -> None:
        if any(map(has_duplicates, (self.cluster_locations, self.input_queues, self.output_queues))):
            raise ValueError("locations and queues are unique")


class _LogEntry(Exact):
    target_phase: Phase
    timestamp: float
    was_successful: bool
    source_event_time: float | None
    source_entity: Source


class _PilotConfig(Exact):
    tag: Annotated[str, Meta(min_length=1)]
    environment: Environment
    input_files: list[str]


class _WorkerConfig(Exact):
    do_transfer_worker_stdouterr: bool
    max_worker_runtime: int
    n_cores: int
    priority: int
    condor_requirements: str


class _Taskforce(Exact):
    taskforce_uuid: TaskforceId
    task_id: TaskId
    workflow_id: WorkflowId
    timestamp: float
    schedd: str
    n_workers: int | None
    cluster_id: int | None
    submit_dict: dict[str, str | int]
    job_event_log_fpath: str
    phase: Phase
    compound_statuses: dict[str, dict[str, int]]
    top_task_errors: dict[str, int]


class Deactivated(Exact):
    """The answer of abort and finished."""

    workflow_id: WorkflowId
    n_taskforces: Count


class Confirmed(Exact):
    """The answer of every route of a TMS about one taskforce."""

    taskforce_uuid: TaskforceId


class StatusUpdated(Exact, tag_field="status", tag="updated"):
    uuid: str


class StatusFailed(Exact, tag_field="status", tag="failed"):
    uuid: str
    error: Literal["no taskforce found with uuid"]


class StatusResults(Exact):
    results: list[StatusFailed | StatusUpdated]

    def __post_init__(self) -> None:
        kinds = [type(one) for one in self.results]
        if kinds != sorted(kinds, key=lambda kind: kind is StatusUpdated):
            raise ValueError("failures come first")


# -- /v1 ---------------------------------------------------------------------------------------------------------


class WorkflowV1(_Workflow):
    pass


class TaskDirectiveV1(_TaskDirective):
    task_env: dict[str, str]
    init_image: str
    init_args: str
    init_env: dict[str, str]


class LogEntryV1(_LogEntry):
    context: str


class PilotConfigV1(_PilotConfig):
    image_source: Literal["cvmfs"]


class WorkerConfigV1(_WorkerConfig):
    worker_disk: str | int
    worker_memory: str | int


class TaskforceV1(_Taskforce):
    priority: int
    collector: None
    pilot_config: PilotConfigV1
    worker_config: WorkerConfigV1
    phase_change_log: Annotated[list[LogEntryV1], Meta(min_length=1)]


class CreatedV1(Exact):
    workflow: WorkflowV1
    task_directives: list[TaskDirectiveV1]
    taskforces: list[TaskforceV1]


class OfferV1(Exact):
    taskforce: TaskforceV1
    task_directive: TaskDirectiveV1
    mqprofiles: list[MQProfileObject]


class WorkflowsV1(Exact):
    workflows: list[WorkflowV1]
    next_after: str | None


class TaskDirectivesV1(Exact):
    task_directives: list[TaskDirectiveV1]
    next_after: str | None


class TaskforcesV1(Exact):
    taskforces: list[TaskforceV1]
    next_after: str | None


# -- /v0 ---------------------------------------------------------------------------------------------------------


class WorkflowV0(_Workflow):
    mq_activated_ts: float | None
    mq_activation_retry_at_ts: float | None = field(name="_mq_activation_retry_at_ts")


class TaskDirectiveV0(_TaskDirective):
    pass


class LogEntryV0(_LogEntry):
    description: str


class PilotConfigV0(_PilotConfig):
    pass


class WorkerConfigV0(_WorkerConfig):
    worker_disk: str
    worker_memory: str


class TaskforceV0(_Taskforce):
    collector: str
    pilot_config: PilotConfigV0
    worker_config: WorkerConfigV0
    phase_change_log: Annotated[list[LogEntryV0], Meta(min_length=1)]


class CreatedV0(Exact):
    workflow: WorkflowV0
    task_directives: list[TaskDirectiveV0]
    taskforces: list[TaskforceV0]


class WorkflowsV0(Exact):
    workflows: list[WorkflowV0]


class TaskDirectivesV0(Exact):
    task_directives: list[TaskDirectiveV0]


class TaskforcesV0(Exact):
    taskforces: list[TaskforceV0]


# -- by version --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WmsShapes:
    """The shapes of one version.

    Args:
        found: by the key of a query's answer.
        offer: the answer of pending-starter when there is something to start.
    """

    workflow: type[Any]
    task_directive: type[Any]
    taskforce: type[Any]
    created: type[Any]
    offer: type[Any]
    found: dict[str, type[Any]]


V1 = WmsShapes(
    workflow=WorkflowV1,
    task_directive=TaskDirectiveV1,
    taskforce=TaskforceV1,
    created=CreatedV1,
    offer=OfferV1,
    found={"workflows": WorkflowsV1, "task_directives": TaskDirectivesV1, "taskforces": TaskforcesV1},
)
V0 = WmsShapes(
    workflow=WorkflowV0,
    task_directive=TaskDirectiveV0,
    taskforce=TaskforceV0,
    created=CreatedV0,
    offer=TaskforceV0,
    found={"workflows": WorkflowsV0, "task_directives": TaskDirectivesV0, "taskforces": TaskforcesV0},
)
SHAPES = {"v1": V1, "v0": V0}
