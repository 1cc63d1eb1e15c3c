"""How do taskforces look on our door, and their workers?"""

from collections.abc import Sequence

from muster.client.shapes.sites import WorkerFacts
from muster.client.shapes.workers import WorkerPage, WorkerView
from muster.client.shapes.workflows import PhaseLogView, TaskforceView
from muster.domain.workflow import PhaseLogEntry, Taskforce
from muster.server.services.list_workers import WorkerSearch, WorkerUp
from muster.server.services.read_workflow import WholeTaskforce


def render_taskforce(whole: WholeTaskforce) -> TaskforceView:
    """A taskforce, every field."""
    return render_seen_taskforce(whole.taskforce, whole.log, whole.workers)


def render_seen_taskforce(one: Taskforce, log: Sequence[PhaseLogEntry], workers: int) -> TaskforceView:
    """As `render_taskforce`. `workers`: how many sessions live now."""
    return TaskforceView(
        taskforce_uuid=one.taskforce_uuid,
        task_id=one.task_id,
        workflow_id=one.workflow_id,
        created_at=one.created_at,
        priority=one.priority,
        location=one.location,
        schedd=one.schedd,
        n_workers=one.n_workers,
        workers=workers,
        origin=one.origin.value,
        phase=one.phase.value,
        phase_change_log=[render_entry(entry) for entry in log],
        cluster_id=one.cluster_id,
        job_event_log_fpath=one.job_event_log_fpath,
        compound_statuses={status: dict(counts) for status, counts in one.compound_statuses.items()},
        top_task_errors=dict(one.top_task_errors),
        worker_config=dict(one.worker_config),
        pilot_config=dict(one.pilot_config),
        submit_dict=dict(one.submit_dict),
        claim_agent=one.claim_agent,
        claim_until=one.claim_until,
        claim_fence=one.claim_fence,
        submit_failures=one.submit_failures,
        remove_failures=one.remove_failures,
        held_reason=one.held_reason,
        let_go_at=one.let_go_at,
        revision=one.revision,
        facts=None if one.facts is None else WorkerFacts(**vars(one.facts)),
        reasons=list(one.reasons),
    )


def render_entry(entry: PhaseLogEntry) -> PhaseLogView:
    """A line of the log."""
    return PhaseLogView(
        target_phase=entry.target_phase.value,
        at=entry.at,
        was_successful=entry.was_successful,
        source_event_time=entry.source_event_time,
        source_entity=entry.source_entity,
        context=entry.context,
    )


def render_workers(search: WorkerSearch, found: Sequence[WorkerUp], at: float) -> WorkerPage:
    """A page of workers; a full one may have a next one."""
    next_after = str(found[-1].session.number) if len(found) == search.limit else None
    return WorkerPage(search.workflow_id, at, [_render_worker(one) for one in found], next_after)


def _render_worker(one: WorkerUp) -> WorkerView:
    session = one.session
    return WorkerView(
        worker=f"{session.cluster}.{session.proc}@{session.host}",
        taskforce_uuid=session.taskforce_uuid or "",
        cluster=session.cluster,
        proc=session.proc,
        start=session.start,
        host=session.host,
        site=session.site,
        since=session.begun_at,
        slots=session.at_once,
        in_hand=one.in_hand,
        heard_at=one.heard_at,
        until=session.until,
        isolation=session.isolation or "",
    )
