"""What travels between the client and our own door? One struct a message; the door and the client share them.

Times are seconds since the epoch (float). Ids are strings. Unknown fields of requests are refused. Answers may grow fields, so
clients ignore those they do not know. Source of the words: wms.md sections 4, 5 and 14.
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Request(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what clients send."""


class Answer(msgspec.Struct):
    """Base of what the service answers."""


# -- workflows -----------------------------------------------------------------------------------------------------------


class WorkerConfig(Request):
    """What each worker asks of its execution point. Sizes: bytes, or text such as `512M` (binary units)."""

    n_cores: int = 1
    worker_memory: int | str = "512M"
    worker_disk: int | str = "1G"
    max_worker_runtime: int = 24 * 3600
    priority: int = 0
    do_transfer_worker_stdouterr: bool = True
    condor_requirements: str = ""


class PilotConfig(Request):
    """Which pilot runs, with which variables and files."""

    tag: str = "latest"
    image_source: Literal["auto", "cvmfs"] = "auto"
    environment: dict[str, str | int | list[str]] = {}
    input_files: list[str] = []


class NewTask(Request):
    """One task of a new workflow.

    `task_args` for an empty `task_image` is the command itself. `timeout_s` null: no limit. `slots`: events at once a worker.
    `max_events`: events that one warm process serves. `input_files`: files at the location's access point that appear in the
    task's working directory.
    """

    cluster_locations: list[str]
    task_image: str
    task_args: str
    input_queue_aliases: list[str]
    output_queue_aliases: list[str] = []
    n_workers: int = 1
    task_env: dict[str, str] = {}
    init_image: str = ""
    init_args: str = ""
    init_env: dict[str, str] = {}
    worker_config: WorkerConfig = msgspec.field(default_factory=WorkerConfig)
    pilot_config: PilotConfig = msgspec.field(default_factory=PilotConfig)
    input_files: list[str] = []
    attempts: int = 5
    timeout_s: float | None = None
    warm: bool = False
    max_events: int = 10_000
    infile_ext: str = "in"
    outfile_ext: str = "out"
    slots: int = 1
    lease_s: float = 60.0


class NewWorkflow(Request):
    """POST /muster/v1/workflows"""

    tasks: list[NewTask]
    public_queue_aliases: list[str] = []
    name: str = ""
    priority: int = 50
    finish_when_done: bool = False


class CountsView(Answer):
    """published = waiting + in_work + done + dead"""

    published: int
    waiting: int
    in_work: int
    done: int
    dead: int


class QueueView(Answer):
    """A queue with its account. `queue_id` is what the compatible doors call mqid."""

    alias: str
    queue_id: str
    is_public: bool
    is_input: bool
    is_output: bool
    closed_at: float | None
    counts: CountsView


class TaskView(Answer):
    """A task directive, every field. Queues by alias."""

    task_id: str
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
    timeout_s: float | None
    warm: bool
    max_events: int
    infile_ext: str
    outfile_ext: str
    slots: int


class PhaseLogView(Answer):
    """One entry of a taskforce's log."""

    target_phase: str
    timestamp: float
    was_successful: bool
    source_event_time: float | None
    source_entity: str
    context: str


class TaskforceView(Answer):
    """A taskforce, every field. `workers`: live sessions now."""

    taskforce_uuid: str
    task_id: str
    workflow_id: str
    timestamp: float
    priority: int
    location: str
    schedd: str
    n_workers: int
    workers: int
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
    claim_until: float
    submit_failures: int
    remove_failures: int


class WorkflowSummary(Answer):
    """A row of the list. `state`: `active`, `FINISHED` or `ABORTED`."""

    workflow_id: str
    name: str
    owner: str
    timestamp: float
    priority: int
    finish_when_done: bool
    state: str
    deactivated_ts: float | None
    deactivated_by: str | None


class WorkflowView(WorkflowSummary):
    """A workflow with its parts."""

    tasks: list[TaskView]
    queues: list[QueueView]
    taskforces: list[TaskforceView]


class WorkflowPage(Answer):
    """GET /muster/v1/workflows?state=&mine=&after=&limit="""

    workflows: list[WorkflowSummary]
    next_after: str | None


class Deactivated(Answer):
    """POST .../actions/finish, .../actions/abort. `state` is what the workflow is in now (an earlier end is kept)."""

    workflow_id: str
    n_taskforces: int
    state: str


class Progress(Answer):
    """GET /muster/v1/workflows/{id}/progress?seen=&wait_s= : answers as soon as `token` differs from `seen`, or after `wait_s`.

    `workers`: live sessions. `input` sums the queues that tasks read. `why`: one sentence when nothing can move.
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


class RecountView(Answer):
    """Counters beside rows counted afresh."""

    kept: CountsView
    counted: CountsView
    agrees: bool


class QueueAccount(Answer):
    """One queue's account; `recount` only when asked for."""

    alias: str
    counts: CountsView
    adds_up: bool
    is_input: bool
    recount: RecountView | None = None


class Account(Answer):
    """GET /muster/v1/workflows/{id}/account?recount=

    `lost` = published - (waiting + in work + done + dead) over the input queues. `counted_twice`: events with more than one result that
    counted (0 by construction; counted from rows with recount). `duplicates`: second results, recorded and sent nowhere.
    `adds_up`: every queue adds up, and agrees with the recount where there is one.
    """

    workflow_id: str
    state: str
    queues: list[QueueAccount]
    published: int
    waiting: int
    in_work: int
    done: int
    dead: int
    lost: int
    counted_twice: int
    duplicates: int
    adds_up: bool


class ErrorGroupView(Answer):
    """Failures with one fingerprint."""

    fingerprint: str
    failures: int
    events: int
    example_event: str
    example_text: str
    first_at: float
    last_at: float
    hosts: list[str]


class TaskforceTrouble(Answer):
    """A taskforce that could not be started or stopped, with the last reason."""

    taskforce_uuid: str
    phase: str
    submit_failures: int
    remove_failures: int
    text: str


class Errors(Answer):
    """GET /muster/v1/workflows/{id}/errors"""

    workflow_id: str
    groups: list[ErrorGroupView]
    taskforces: list[TaskforceTrouble]


# -- events --------------------------------------------------------------------------------------------------------------


class NewEventBody(Request):
    """One event to publish: `kind` json: `body` is any JSON value; bytes: `body` is base64 text."""

    body: Raw
    kind: Literal["json", "bytes"] = "json"
    key: str | None = None


class Publish(Request):
    """POST /muster/v1/workflows/{id}/queues/{alias}/events. `close`: these were the last."""

    events: list[NewEventBody]
    close: bool = False


class PublishedView(Answer):
    """Ids in the order of the request; `duplicates`: how many had a key that was known (their id is the earlier event's)."""

    events: list[str]
    duplicates: int
    closed: bool


class BodyView(Answer):
    """A body: any JSON value, or base64 text, as `kind` says."""

    kind: str
    body: Raw


class LeasedEvent(Answer):
    """An event on lease."""

    event: str
    fence: int
    attempt: int
    limit: int
    kind: str
    body: Raw
    key: str | None = None


class OpenConsumer(Request):
    """POST .../queues/{alias}/consumers"""

    lease_s: float = 60.0


class Consumer(Answer):
    """A person's session on a queue."""

    consumer: str
    lease_s: float


class Consume(Request):
    """POST /muster/v1/consumers/{consumer}/step: ack what was kept, nack (release) what was not, lease the next `want`.

    `call` counts the session's calls from 1; a retry repeats it. `ack`, `nack`: `[event, fence]` pairs.
    """

    call: int
    ack: list[tuple[str, int]] = []
    nack: list[tuple[str, int]] = []
    want: int = 0
    wait_s: float = 0.0


class Consumed(Answer):
    """`drained`: the queue can get no more events and has none left for anybody."""

    events: list[LeasedEvent]
    verdicts: list[str]
    drained: bool


class AttemptErrorView(Answer):
    """Why an attempt failed."""

    text: str
    fingerprint: str
    stdout_tail: str
    stderr_tail: str
    exit_code: int | None


class AttemptView(Answer):
    """One attempt. `outcome`: done, failed, released, expired, late, duplicate."""

    attempt: int
    outcome: str
    worker: str
    host: str
    site: str
    started_at: float
    ended_at: float
    wall_s: float
    error: AttemptErrorView | None


class EventSummary(Answer):
    """A row of an event list."""

    event: str
    queue: str
    state: str
    attempts: int
    key: str | None


class EventView(EventSummary):
    """GET /muster/v1/events/{event}"""

    workflow_id: str
    kind: str
    body: Raw
    parent: str | None
    results: list[str]
    history: list[AttemptView]


class EventPage(Answer):
    """GET /muster/v1/workflows/{id}/events?queue=&state=&after=&limit="""

    events: list[EventSummary]
    next_after: str | None


class DeadLetterView(Answer):
    """One dead letter with the error of its last attempt."""

    event: str
    queue: str
    attempts: int
    died_at: float
    error: AttemptErrorView | None


class DeadLetterPage(Answer):
    """GET /muster/v1/workflows/{id}/dead-letters?queue=&after=&limit="""

    dead_letters: list[DeadLetterView]
    next_after: str | None


class Replay(Request):
    """POST /muster/v1/workflows/{id}/dead-letters/actions/replay: the named events, or all of them (`events` left out)."""

    events: list[str] | UnsetType = UNSET


class Replayed(Answer):
    """`left` dead letters remain."""

    replayed: list[str]
    left: int


# -- sites ---------------------------------------------------------------------------------------------------------------


class Claim(Request):
    """POST /muster/v1/site/claims: take taskforces to start and to stop at these locations; parks up to `wait_s` when there are none.

    The agent's own claims of before are given again (same fence), so that a restart finds them. `agent`: its lasting name.
    """

    agent: str
    locations: list[str]
    limit: int = 16
    wait_s: float = 20.0
    lease_s: float = 60.0
    held: list[str] = []


class StartOrder(Answer):
    """Start this taskforce. `secret` enrols its workers, and only them. `worker` variables are the pilot's environment."""

    taskforce_uuid: str
    workflow_id: str
    task_id: str
    location: str
    schedd: str
    fence: int
    n_workers: int
    task_image: str
    worker_config: dict[str, Any]
    pilot_config: dict[str, Any]
    secret: str


class StopOrder(Answer):
    """Stop this taskforce. `grace_s`: how long workers may finish what they have in hand; 0 for an abort."""

    taskforce_uuid: str
    schedd: str
    fence: int
    cluster_id: int | None
    grace_s: float


class Claims(Answer):
    """Orders under claim. Those in `Claim.held` are only renewed, not given again. `lost`: held before, now another agent's, or over."""

    start: list[StartOrder]
    stop: list[StopOrder]
    lost: list[str]
    lease_s: float


class Submitted(Request):
    """POST /muster/v1/site/taskforces/{uuid}/submitted. The same again changes nothing."""

    agent: str
    fence: int
    cluster_id: int
    n_workers: int
    submit_dict: dict[str, str | int] = {}
    job_event_log_fpath: str = ""


class SiteFailure(Request):
    """POST /muster/v1/site/taskforces/{uuid}/submit-failed, .../remove-failed. `final`: trying again cannot help."""

    agent: str
    fence: int
    error: str
    final: bool = False


class Removed(Request):
    """POST /muster/v1/site/taskforces/{uuid}/removed"""

    agent: str
    fence: int


class Completed(Request):
    """POST /muster/v1/site/taskforces/{uuid}/completed: no proc is left. `at`: when the last one ended."""

    agent: str
    fence: int
    at: float


class SiteReport(Request):
    """POST /muster/v1/site/reports: statuses that changed, each replaced whole; keys as tms.md 6.3 to 6.5."""

    agent: str
    compound_statuses: dict[str, dict[str, dict[str, int]]] = {}
    top_task_errors: dict[str, dict[str, int]] = {}


class PhaseAnswer(Answer):
    """What a report did. `accepted` False: refused by the table, recorded; the phase stays. `phase`: now."""

    taskforce_uuid: str
    phase: str
    accepted: bool


# -- all -----------------------------------------------------------------------------------------------------------------


class FindingView(Answer):
    """One fault of a request."""

    field: str
    reason: str


class Problem(Answer):
    """Every error of our door. `code`: a word for programs: `invalid`, `not-found`, `conflict`, `too-large`, `unauthenticated`,
    `forbidden`, `unavailable`, `rejected`, `session-ended`, `taskforce-ended`, `idempotency-mismatch`, `internal`.
    """

    code: str
    error: str
    findings: list[FindingView] = []
    request_id: str | None = None


class Whoami(Answer):
    """GET /muster/v1/whoami"""

    name: str
    roles: list[str]


class Health(Answer):
    """GET /healthz, /readyz"""

    status: str
    version: str
    detail: str | None = None
