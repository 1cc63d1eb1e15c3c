"""What is a workflow, a task directive, a taskforce, and which state of a workflow follows which event?

The values that the store keeps and the doors show, and the life of a workflow as a table. No other module assigns its state.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from muster.domain.brake import Brake, BrakeEvent, BrakeRule, BrakeState, next_brake
from muster.domain.pool_facts import PoolFacts
from muster.domain.revision import FIRST, Revision, find_config, merge_changes
from muster.domain.taskforce_phase import Phase

PRIORITY_DEFAULT = 50
PRIORITY_MAX = 100
ADD_WORKERS_PRIORITY = 100
"""What a taskforce made by add-workers gets on top, so that it goes first (wms.md section 12)."""


class WorkflowState(StrEnum):
    """Where a workflow is."""

    ACTIVE = "active"
    FINISHED = "finished"
    ABORTED = "aborted"


class WorkflowEvent(StrEnum):
    """What can happen to a workflow."""

    FINISHED = "finished"  # its owner says that it is done
    ABORTED = "aborted"  # its owner gives it up
    DRAINED = "drained"  # it waited for that: its closed inputs are done
    REOPENED = "reopened"  # dead letters of it were sent back


S, E = WorkflowState, WorkflowEvent

TRANSITIONS: Mapping[tuple[WorkflowState, WorkflowEvent], WorkflowState] = {
    (S.ACTIVE, E.FINISHED): S.FINISHED,
    (S.ACTIVE, E.ABORTED): S.ABORTED,
    (S.ACTIVE, E.DRAINED): S.FINISHED,
    (S.FINISHED, E.REOPENED): S.ACTIVE,
}
"""Every pair that moves a workflow. Any other pair leaves it as it is: an end is kept, and who was aborted stays so."""

TERMINAL = frozenset(WorkflowState) - {state for state, _ in TRANSITIONS}


def next_state(state: WorkflowState, event: WorkflowEvent) -> WorkflowState | None:
    """The state after the event, or None where it changes nothing."""
    return TRANSITIONS.get((state, event))


@dataclass(frozen=True)
class Workflow:
    """One workflow.

    Args:
        created_at: seconds since the epoch.
        priority: 1 to 100.
        owner: who made it.
        owner_group: whose members may do with it what its owner may; None: nobody else.
        ended_at, ended_by: of its end, seconds since the epoch; None while it is active.
        finish_when_done: it finishes itself once its closed inputs are drained.
        brake: it is stopped for a while; None: it is not.
    """

    workflow_id: str
    created_at: float
    priority: int
    owner: str
    name: str
    finish_when_done: bool
    state: WorkflowState = WorkflowState.ACTIVE
    ended_at: float | None = None
    ended_by: str | None = None
    owner_group: str | None = None
    brake: Brake | None = None

    @property
    def is_active(self) -> bool:
        """Has it not ended?"""
        return self.state is S.ACTIVE

    @property
    def lets_workers_go(self) -> bool:
        """Was it drained, so that its workers go, and none are brought before it is resumed?"""
        return self.brake is not None and self.brake.state is BrakeState.DRAINED

    def after(self, event: WorkflowEvent, *, at: float, by: str) -> "Workflow | None":
        """The workflow after the event, or None where it changes nothing. `at`, `by`: of the end, if this is one."""
        state = next_state(self.state, event)
        if state is None:
            return None
        if state is S.ACTIVE:
            return replace(self, state=state, ended_at=None, ended_by=None)
        return replace(self, state=state, ended_at=at, ended_by=by, brake=None)

    def braked(
        self, event: BrakeEvent, *, at: float, by: str, reason: str = "", fingerprint: str | None = None
    ) -> "Workflow | None":
        """The workflow after somebody used its brake, or None where that changes nothing."""
        brake = next_brake(self.brake, event, at=at, by=by, reason=reason)
        if brake is self.brake or not self.is_active:
            return None
        return replace(self, brake=None if brake is None else replace(brake, fingerprint=fingerprint))


@dataclass(frozen=True)
class TaskDirective:
    """One task of a workflow, as one of its revisions has it; as it was submitted, unless said otherwise.

    Args:
        input_queues, output_queues: queue ids, in the order of the request.
        attempts, retry_s: how often an event is tried, and the pause after its first failure (`domain.retry`).
        timeout_s, warm, max_events, infile_ext, outfile_ext, slots: how the worker runs it. `timeout_s` None
            is no limit; `max_events` is how many events one warm process serves; `slots` is events at once a worker.
        output: `file`, or `lines`: each line of its output is an event.
        brake_attempts, brake_share: when its failures stop the workflow (`domain.brake`).
        revision: by which these are its fields. revisions: all that were made since it was submitted.
    """

    task_id: str
    workflow_id: str
    created_at: float
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
    retry_s: float = 2.0
    timeout_s: float | None = None
    warm: bool = False
    max_events: int = 10_000
    infile_ext: str = "in"
    outfile_ext: str = "out"
    slots: int = 1
    brake_attempts: int = 100
    brake_share: float = 0.5
    output: str = "file"
    revision: int = FIRST
    revisions: tuple[Revision, ...] = ()

    @property
    def newest(self) -> "TaskDirective":
        """As its last revision has it."""
        return self.at_revision(self.revisions[-1].number) if self.revisions else self

    def at_revision(self, number: int) -> "TaskDirective":
        """As that revision of it has it. For the task as it was submitted."""
        if number == FIRST:
            return self
        return replace(self, revision=number, **merge_changes(self.revisions, up_to=number))

    def find_config(self, name: str) -> Mapping[str, Any] | None:
        """The `worker_config` or `pilot_config` of this revision; None: as its first taskforces have it."""
        return find_config(self.revisions, name, up_to=self.revision)

    @property
    def brake_rule(self) -> BrakeRule:
        """When its failures stop the workflow."""
        return BrakeRule(self.brake_attempts, self.brake_share)


def list_reached(directives: Sequence[TaskDirective], queues: Iterable[str]) -> list[TaskDirective]:
    """The tasks that can get work from these queues: those that read one, and through any number of tasks those behind them.

    Args:
        directives: of one workflow.
        queues: queue ids.
    """
    filled = set(queues)
    reached: set[str] = set()
    while True:  # each round reaches a task more, or is the last
        further = [one for one in directives if one.task_id not in reached and not filled.isdisjoint(one.input_queues)]
        if not further:
            return [one for one in directives if one.task_id in reached]
        for one in further:
            reached.add(one.task_id)
            filled.update(one.output_queues)


@dataclass(frozen=True)
class PhaseLogEntry:
    """One entry of a taskforce's log; the six fields of wms.md section 5.3."""

    target_phase: Phase
    at: float
    was_successful: bool
    source_event_time: float | None
    source_entity: str
    context: str


class Origin(StrEnum):
    """What a taskforce was made for."""

    SUBMITTED = "submitted"  # with its workflow
    ADDED = "added"  # more workers for a task
    REOPENED = "reopened"  # for events that went back when no taskforce of the task was left
    RESUMED = "resumed"  # in the place of one that was drained
    REVISED = "revised"  # for a new revision of its task


@dataclass(frozen=True)
class Taskforce:
    """n identical workers for one task at one location; one HTCondor cluster or one set of local processes.

    Args:
        claim_agent, claim_until, claim_fence: which of our agents took it last, until when (seconds since the epoch, the
            database's clock; None: no claim), and the fencing number that its reports must carry (0: never claimed).
        submit_failures, remove_failures: failed tries since the last success.
        held_reason: why it is not tried any more to start or to stop it; None while it is tried.
        let_go_at: since when its workers go as soon as they have done what they have in hand, seconds since the epoch; None: they stay.
        revision: of its task, that its workers run.
        facts: what its site tells of its workers beside their states; None: nothing.
        reasons: why those of them that wait do not run, in its site's sentences.
    """

    taskforce_uuid: str
    task_id: str
    workflow_id: str
    created_at: float
    priority: int
    location: str
    schedd: str
    n_workers: int
    worker_config: Mapping[str, Any]
    pilot_config: Mapping[str, Any]
    phase: Phase
    origin: Origin = Origin.SUBMITTED
    collector: str | None = None
    cluster_id: int | None = None
    submit_dict: Mapping[str, Any] = field(default_factory=dict)
    job_event_log_fpath: str = ""
    compound_statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    top_task_errors: Mapping[str, int] = field(default_factory=dict)
    claim_agent: str | None = None
    claim_until: float | None = None
    claim_fence: int = 0
    submit_failures: int = 0
    remove_failures: int = 0
    held_reason: str | None = None
    let_go_at: float | None = None
    revision: int = FIRST
    facts: PoolFacts | None = None
    reasons: tuple[str, ...] = ()
