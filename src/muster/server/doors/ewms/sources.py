"""Where in what we keep do the fields of EWMS clients' objects come from? So that the store can narrow down what a query wants.

It must agree with `views`.
"""

from collections.abc import Mapping
from typing import Final

from muster.domain.taskforce_phase import Phase
from muster.server.doors.ewms.views import DEACTIVATED
from muster.server.ports.finder import Attribute, Constant, Log, Source, Words


def as_they_are(*names: str) -> Mapping[str, Source]:
    """Fields that are the attributes of these names."""
    return {name: Attribute(name) for name in names}


WORKFLOW_SOURCES: Final[Mapping[str, Source]] = {
    **as_they_are("workflow_id", "priority"),
    "timestamp": Attribute("created_at"),
    "deactivated": Words("state", DEACTIVATED),
    "deactivated_ts": Attribute("ended_at"),
}
DIRECTIVE_SOURCES: Final[Mapping[str, Source]] = {
    **as_they_are("task_id", "workflow_id", "cluster_locations", "task_image", "task_args", "task_env"),
    **as_they_are("init_image", "init_args", "init_env", "input_queues", "output_queues"),
    "timestamp": Attribute("created_at"),
}
TASKFORCE_SOURCES: Final[Mapping[str, Source]] = {
    **as_they_are("taskforce_uuid", "task_id", "workflow_id", "priority", "schedd", "n_workers"),
    **as_they_are("worker_config", "pilot_config", "cluster_id", "submit_dict", "job_event_log_fpath"),
    **as_they_are("compound_statuses", "top_task_errors"),
    "timestamp": Attribute("created_at"),
    "collector": Constant(None),
    "phase": Words("phase", {phase: phase.value for phase in Phase}),
    "phase_change_log": Log(
        {
            "target_phase": "target_phase",
            "timestamp": "at",
            "was_successful": "was_successful",
            "source_event_time": "source_event_time",
            "source_entity": "source_entity",
            "context": "context",
        }
    ),
}
