"""In what do the two versions differ, beyond the fields of their objects?

Source: wms.md sections 8 and 17, mqs.md section 11. `/v0` is release 0.5.2 with add-workers and an optional `priority`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from compat.exact import Json
from compat.wms_shapes import SHAPES, WmsShapes

LogLine = tuple[str, bool, str, str]
"""Target phase, whether it succeeded, who, and the text."""

ACTIVATED: LogLine = ("pre-launch", True, "Workflow MQ Activator", "")
AUTO_ADVANCED: LogLine = (
    "pre-launch",
    True,
    "Workflow MQ Activator",
    "Auto-advanced because workflow has already been mq-activated.",
)
LAUNCHED: LogLine = ("pending-starter", True, "Taskforce Launch Control", "")
SUBMITTED: LogLine = ("condor-submit", True, "TMS", "")
REMOVED: LogLine = ("condor-rm", True, "TMS", "")
COMPLETED: LogLine = ("condor-complete", True, "TMS", "")

DEACTIVATIONS: Mapping[str, str] = {"abort": "ABORTED", "finished": "FINISHED"}
"""Action → the word it leaves behind."""


def submit_failed(error: str) -> LogLine:
    return ("condor-submit", False, "TMS", f"ERROR: {error}")


def remove_failed(error: str) -> LogLine:
    return ("condor-rm", False, "TMS", f"ERROR: {error}")


def stopped(action: str) -> LogLine:
    return ("pending-stopper", True, "User", f"User deactivated ({DEACTIVATIONS[action]}) workflow")


def was_over(action: str) -> LogLine:
    text = (
        f"User deactivated ({DEACTIVATIONS[action]}) workflow but taskforce is already ending/finished"
        " (pending-stopper, condor-rm, condor-complete)"
    )
    return ("pending-stopper", False, "User", text)


def added(source: str) -> LogLine:
    return ("pre-mq-activation", True, source, "Created when adding more workers for this task directive.")


@dataclass(frozen=True)
class Dialect:
    """One version.

    Args:
        log_text: the field of a log entry that has its text.
        created: the first log entry of a workflow's taskforce.
        unknown_location: the text of a 400, with the name to fill in.
        info_version: `info.version` of its OpenAPI documents.
        has_paging: queries are answered in pages; otherwise all in one answer.
    """

    version: str
    shapes: WmsShapes
    log_text: str
    created: LogLine
    default_priority: int
    unknown_location: str
    info_version: str
    has_paging: bool

    def read_log(self, taskforce: Json) -> list[LogLine]:
        """The taskforce's log; times are checked here and left out."""
        entries = taskforce["phase_change_log"]
        times = [entry["timestamp"] for entry in entries]
        assert times == sorted(times), "a log only grows at its end"
        for entry in entries:
            has_event_time = entry["target_phase"] == "condor-complete" and entry["was_successful"]
            assert (entry["source_event_time"] is not None) == has_event_time, entry
        return [
            (entry["target_phase"], entry["was_successful"], entry["source_entity"], entry[self.log_text])
            for entry in entries
        ]

    @property
    def offered_log(self) -> list[LogLine]:
        """The log of a workflow's taskforce that is ready to start."""
        return [self.created, ACTIVATED, LAUNCHED]


DIALECTS = {
    "v1": Dialect(
        version="v1",
        shapes=SHAPES["v1"],
        log_text="context",
        created=("pre-mq-activation", True, "USER", "Created during initial workflow request."),
        default_priority=50,
        unknown_location="condor cluster location not found: {}",
        info_version="1",
        has_paging=True,
    ),
    "v0": Dialect(
        version="v0",
        shapes=SHAPES["v0"],
        log_text="description",
        created=("pre-mq-activation", True, "User", "During initial workflow creation."),
        default_priority=10,
        unknown_location="condor location not found: {}",
        info_version="0.0.0",
        has_paging=False,
    ),
}

OTHER_VERSION = {"v1": "v0", "v0": "v1"}

SCHEDDS = {"test-alpha": "SCHEDD1", "test-beta": "SCHEDD2"}
COLLECTORS = {"SCHEDD1": "COLLECTOR1", "SCHEDD2": "COLLECTOR2"}
