"""How does an explanation look on our door?"""

from muster.client.shapes.explanation import ExplanationView, ReasonView, TaskforceReasonView
from muster.domain.explanation import Explained, Explanation
from muster.domain.reason import Reason


def render_explanation(found: Explanation) -> ExplanationView:
    """Why a workflow is as it is."""
    return ExplanationView(
        workflow_id=found.workflow.workflow_id,
        name=found.workflow.name,
        state=found.workflow.state.value,
        at=found.at,
        verdict=found.verdict.value,
        summary=found.summary,
        reasons=[_render_reason(one) for one in found.reasons],
        taskforces=[_render_taskforce(one) for one in found.taskforces],
        working=found.working,
        over=found.over,
        left_out=found.left_out,
    )


def _render_reason(reason: Reason) -> ReasonView:
    return ReasonView(
        cause=reason.cause.value,
        text=reason.text,
        waits_for=reason.waits_for.value,
        since=reason.since,
        last_error=reason.last_error,
        remedies=list(reason.remedies),
        needs_help=reason.needs_help,
    )


def _render_taskforce(found: Explained) -> TaskforceReasonView:
    taskforce, reason = found.taskforce, found.reason
    return TaskforceReasonView(
        cause=reason.cause.value,
        text=reason.text,
        waits_for=reason.waits_for.value,
        since=reason.since,
        last_error=reason.last_error,
        remedies=list(reason.remedies),
        needs_help=reason.needs_help,
        taskforce_uuid=taskforce.taskforce_uuid,
        task_id=taskforce.task_id,
        location=taskforce.location,
        schedd=taskforce.schedd,
        phase=taskforce.phase.value,
        cluster_id=taskforce.cluster_id,
        workers=found.workers,
        n_workers=taskforce.n_workers,
    )
