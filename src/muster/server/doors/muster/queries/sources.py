"""Where in what we keep do the fields of our door's objects come from? So that the store can narrow down what a query wants.

It must agree with the views of workflows, tasks and taskforces.
"""

from collections.abc import Mapping
from typing import Final

from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Origin, WorkflowState
from muster.server.ports.finder import Attribute, Computed, Log, Source, Words


def _as_they_are(*names: str) -> Mapping[str, Source]:
    """Fields that are the attributes of these names."""
    return {name: Attribute(name) for name in names}


WORKFLOW_SOURCES: Final[Mapping[str, Source]] = {
    **_as_they_are(
        "workflow_id", "name", "owner", "created_at", "priority", "finish_when_done", "ended_at", "ended_by"
    ),
    "state": Words("state", {state: state.value for state in WorkflowState}),
    "group": Attribute("owner_group"),
    "brake": Computed(),
}
_NOT_BY_EVERY_VERSION = (
    *("attempts", "retry_s", "timeout_s", "warm", "max_events", "infile_ext", "outfile_ext", "slots"),
    *("brake_attempts", "brake_share", "output", "revisions"),
)
TASK_SOURCES: Final[Mapping[str, Source]] = {
    **_as_they_are("task_id", "workflow_id", "created_at", "cluster_locations", "task_image", "task_args", "task_env"),
    **_as_they_are("init_image", "init_args", "init_env"),
    **dict.fromkeys(("input_queue_aliases", "output_queue_aliases", *_NOT_BY_EVERY_VERSION), Computed()),
}
TASKFORCE_SOURCES: Final[Mapping[str, Source]] = {
    **_as_they_are("taskforce_uuid", "task_id", "workflow_id", "created_at", "priority", "location", "schedd"),
    **_as_they_are("n_workers", "cluster_id", "job_event_log_fpath", "compound_statuses", "top_task_errors"),
    **_as_they_are("worker_config", "pilot_config", "submit_dict", "claim_agent", "claim_until", "claim_fence"),
    **_as_they_are("submit_failures", "remove_failures", "held_reason", "let_go_at", "revision"),
    **dict.fromkeys(("workers", "facts", "reasons"), Computed()),
    "origin": Words("origin", {origin: origin.value for origin in Origin}),
    "phase": Words("phase", {phase: phase.value for phase in Phase}),
    "phase_change_log": Log(
        {
            name: name
            for name in ("target_phase", "at", "was_successful", "source_event_time", "source_entity", "context")
        }
    ),
}
