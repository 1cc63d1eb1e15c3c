"""How do a workflow, its tasks, its queues and its taskforces look? Source of the words: wms.md sections 4 and 5."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from muster.client.shapes.account import CountsView
from muster.client.shapes.message import Answer, Request
from muster.client.shapes.sites import WorkerFacts


class QueueView(Answer):
    """A queue with its account. `queue_id` is what the compatible doors call mqid."""

    alias: str
    queue_id: str
    is_public: bool
    is_input: bool
    is_output: bool
    closed_at: float | None
    counts: CountsView


class QueueAccessView(Answer):
    """GET /muster/v1/workflows/{id}/queues/{alias}/access: a public queue as its owner's programs reach it on the broker.

    `queue_id`: its name there. `auth_token`: the password, `expires_at`: its end. `broker_address` is `user@host`. Where there is no token,
    all but the name are null, and `why` says why.
    """

    workflow_id: str
    alias: str
    queue_id: str
    is_activated: bool
    broker_type: str | None
    broker_address: str | None
    auth_token: str | None
    expires_at: float | None
    why: str | None


class RevisionView(Answer):
    """A revision of a task: `number` 2 and higher. `changes`: fields with their values from then on; configurations whole."""

    number: int
    at: float
    by: str
    reason: str
    changes: dict[str, Any]


class TaskView(Answer, kw_only=True):
    """A task directive, every field as it was submitted; `revisions`: how it was mended since, oldest first. Queues by alias."""

    task_id: str
    workflow_id: str = ""
    created_at: float = 0.0
    cluster_locations: list[str]
    task_image: str
    task_args: str
    task_env: dict[str, str]
    init_image: str
    init_args: str
    init_env: dict[str, str]
    input_queue_aliases: list[str]
    output_queue_aliases: list[str]
    attempts: int
    retry_s: float
    timeout_s: float | None
    warm: bool
    max_events: int
    infile_ext: str
    outfile_ext: str
    slots: int
    brake_attempts: int = 0
    brake_share: float = 0.5
    output: str = "file"
    revisions: list[RevisionView] = field(default_factory=list)


class PhaseLogView(Answer):
    """One entry of a taskforce's log."""

    target_phase: str
    at: float
    was_successful: bool
    source_event_time: float | None
    source_entity: str
    context: str


class TaskforceView(Answer):
    """A taskforce, every field.

    `workers`: live sessions now. `claim_until`: null when no claim is in force. `claim_fence`: the number of the newest claim.
    `origin`: what it was made for: `submitted` with its workflow, `added`, `reopened` by a replay, `resumed` after it was drained.
    `held_reason`: why it is not tried any more; null while it is. `let_go_at`: since when its workers go once they have nothing in hand.
    `revision`: of its task, that they run. `facts`: what its site tells of them beside their states; null: nothing. `reasons`: why those
    that wait there do not run, in its site's sentences, the most telling first; none once it is over.
    """

    taskforce_uuid: str
    task_id: str
    workflow_id: str
    created_at: float
    priority: int
    location: str
    schedd: str
    n_workers: int
    workers: int
    origin: str
    phase: str
    phase_change_log: list[PhaseLogView]
    cluster_id: int | None
    job_event_log_fpath: str
    compound_statuses: dict[str, dict[str, int]]
    top_task_errors: dict[str, int]
    worker_config: dict[str, Any]
    pilot_config: dict[str, Any]
    submit_dict: dict[str, Any]
    claim_agent: str | None
    claim_until: float | None
    claim_fence: int
    submit_failures: int
    remove_failures: int
    held_reason: str | None
    let_go_at: float | None = None
    revision: int = 1
    facts: WorkerFacts | None = None
    reasons: list[str] = field(default_factory=list)


class AddWorkers(Request):
    """POST /muster/v1/tasks/{task_id}/actions/add-workers: a further taskforce of `n_workers` at a location, its name or an alias."""

    location: str
    n_workers: int


class WorkerChanges(Request):
    """What is to be other in what each worker asks for; what is left out stays. Fields as of `WorkerConfig`."""

    n_cores: int | UnsetType = UNSET
    worker_memory: int | str | UnsetType = UNSET
    worker_disk: int | str | UnsetType = UNSET
    max_worker_runtime: int | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    condor_requirements: str | UnsetType = UNSET


class ReviseTask(Request):
    """POST /muster/v1/tasks/{task_id}/revisions: what is to be other from now on; what is left out stays.

    Fields as of `NewTask`, each replaced whole; `environment` is that of its `pilot_config`. `reason`: why, for whoever looks at it.
    """

    task_image: str | UnsetType = UNSET
    task_args: str | UnsetType = UNSET
    task_env: dict[str, str] | UnsetType = UNSET
    init_image: str | UnsetType = UNSET
    init_args: str | UnsetType = UNSET
    init_env: dict[str, str] | UnsetType = UNSET
    timeout_s: float | UnsetType | None = UNSET
    warm: bool | UnsetType = UNSET
    max_events: int | UnsetType = UNSET
    infile_ext: str | UnsetType = UNSET
    outfile_ext: str | UnsetType = UNSET
    output: Literal["file", "lines"] | UnsetType = UNSET
    slots: int | UnsetType = UNSET
    brake_attempts: int | UnsetType = UNSET
    brake_share: float | UnsetType = UNSET
    input_files: list[str] | UnsetType = UNSET
    worker_config: WorkerChanges | UnsetType = UNSET
    environment: dict[str, str | int | list[str]] | UnsetType = UNSET
    reason: Annotated[str, Meta(max_length=500)] = ""


class BrakeView(Answer):
    """A workflow is stopped for a while. `state`: `paused` (its workers wait) or `drained` (they go once they have nothing in hand).

    `by`: who did it; `muster` where most of the last attempts failed, and then `fingerprint` is that of the most frequent failure.
    `reason`: why, in words; may be empty.
    """

    state: str
    at: float
    by: str
    reason: str
    fingerprint: str | None


class BrakeWorkflow(Request):
    """POST .../actions/pause, .../actions/drain. `reason`: why, for whoever looks at it."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class BrakedView(Answer):
    """POST .../actions/pause, .../actions/drain, .../actions/resume.

    `brake`: null where it goes on. `n_taskforces`: how many this call let go, or made in their place.
    """

    workflow_id: str
    state: str
    brake: BrakeView | None
    n_taskforces: int


class WorkflowSummary(Answer, kw_only=True):
    """A row of the list. `state`: `active`, `finished` or `aborted`; `ended_at`, `ended_by`: null while it is active; `group`: null where
    it belongs to its owner alone; `brake`: null unless it is stopped for a while.
    """

    workflow_id: str
    name: str
    owner: str
    created_at: float
    priority: int
    finish_when_done: bool
    state: str
    ended_at: float | None
    ended_by: str | None
    group: str | None = None
    brake: BrakeView | None = None


class WorkflowView(WorkflowSummary, kw_only=True):
    """A workflow with its parts."""

    tasks: list[TaskView]
    queues: list[QueueView]
    taskforces: list[TaskforceView]


class WorkflowPage(Answer):
    """GET /muster/v1/workflows?state=&mine=&after=&limit="""

    workflows: list[WorkflowSummary]
    next_after: str | None


class EndedView(Answer):
    """POST .../actions/finish, .../actions/abort. `state` is what the workflow is in now (an earlier end is kept)."""

    workflow_id: str
    n_taskforces: int
    state: str


class Progress(Answer):
    """GET /muster/v1/workflows/{id}/progress?seen=&wait_s= : answers as soon as `token` differs from `seen`, or after `wait_s`.

    `workers`: live sessions. `input` sums the queues that tasks read. `why`: one sentence when nothing can move. `brake`: null unless it
    is stopped for a while.
    """

    workflow_id: str
    state: str
    token: str
    at: float
    workers: int
    input: CountsView
    queues: list[QueueView]
    phases: dict[str, int]
    failures: int
    why: str | None
    brake: BrakeView | None = None
