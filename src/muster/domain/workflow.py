"""What is a workflow, a task directive, a taskforce? The values that the store keeps and the doors show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from muster.domain.taskforce_phase import Phase

PRIORITY_DEFAULT = 50
PRIORITY_MAX = 100
ADD_WORKERS_PRIORITY = 100
"""What a taskforce made by add-workers gets on top, so that it goes first (wms.md section 12)."""


class Deactivation(StrEnum):
    """How a workflow ended."""

    ABORTED = "ABORTED"
    FINISHED = "FINISHED"


@dataclass(frozen=True)
class Workflow:
    """One workflow.

    Args:
        timestamp, deactivated_ts: seconds since the epoch.
        priority: 1 to 100.
        owner: who made it.
        finish_when_done: it finishes itself once its closed inputs are drained.
    """

    workflow_id: str
    timestamp: float
    priority: int
    owner: str
    name: str
    finish_when_done: bool
    deactivated: Deactivation | None = None
    deactivated_ts: float | None = None
    deactivated_by: str | None = None


@dataclass(frozen=True)
class TaskDirective:
    """One task of a workflow; immutable.

    Args:
        input_queues, output_queues: queue ids, in the order of the request.
        attempts, timeout_s, warm, max_events, infile_ext, outfile_ext, slots: how the worker runs it. `timeout_s` None
            is no limit; `max_events` is how many events one warm process serves; `slots` is events at once a worker.
    """

    task_id: str
    workflow_id: str
    timestamp: float
    position: int
    cluster_locations: tuple[str, ...]
    task_image: str
    task_args: str
    task_env: Mapping[str, str]
    init_image: str
    init_args: str
    init_env: Mapping[str, str]
    input_queues: tuple[str, ...]
    output_queues: tuple[str, ...]
    attempts: int = 5
    timeout_s: float | None = None
    warm: bool = False
    max_events: int = 10_000
    infile_ext: str = "in"
    outfile_ext: str = "out"
    slots: int = 1


@dataclass(frozen=True)
class PhaseLogEntry:
    """One entry of a taskforce's log; the six fields of wms.md section 5.3."""

    target_phase: Phase
    timestamp: float
    was_successful: bool
    source_event_time: float | None
    source_entity: str
    context: str


@dataclass(frozen=True)
class Taskforce:
    """n identical workers for one task at one location; one HTCondor cluster or one set of local processes.

    Args:
        claim_agent, claim_until, claim_fence: which of our agents has taken it, until when (seconds since the epoch,
            the database's clock), and the fencing number that its reports must carry. 0: never claimed.
        submit_failures, remove_failures: failed tries since the last success.
        is_held: no more tries: `submit_failures` reached the limit.
    """

    taskforce_uuid: str
    task_id: str
    workflow_id: str
    timestamp: float
    priority: int
    location: str
    schedd: str
    n_workers: int
    worker_config: Mapping[str, Any]
    pilot_config: Mapping[str, Any]
    phase: Phase
    collector: str | None = None
    cluster_id: int | None = None
    submit_dict: Mapping[str, Any] = field(default_factory=dict)
    job_event_log_fpath: str = ""
    compound_statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    top_task_errors: Mapping[str, int] = field(default_factory=dict)
    claim_agent: str | None = None
    claim_until: float = 0.0
    claim_fence: int = 0
    submit_failures: int = 0
    remove_failures: int = 0
