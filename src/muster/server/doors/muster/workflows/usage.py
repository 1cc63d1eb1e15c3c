"""How does it look on our door what a workflow's tasks took?"""

from typing import Any

from muster.client.shapes.account import UsageRecount
from muster.client.shapes.usage import TaskUsageView, UsageSumsView, UsageView, WorkflowUsageView
from muster.domain.queue import Counts
from muster.domain.usage import UsageSums
from muster.domain.usage_advice import advise, find_efficiency
from muster.server.ports.store import Recount
from muster.server.services.read_usage import TaskUsage, WorkflowUsage


def render_usage(found: WorkflowUsage) -> WorkflowUsageView:
    """Of a workflow."""
    return WorkflowUsageView(
        workflow_id=found.workflow.workflow_id,
        state=found.workflow.state.value,
        tasks=[_render_task(one) for one in found.tasks],
        total=UsageView(**_render_all(found.counts, found.sums)),
    )


def render_usage_recount(recount: Recount) -> UsageRecount:
    """The sums beside the rows."""
    kept, counted = (UsageSumsView(**_render_sums(one)) for one in (recount.usage_kept, recount.usage_counted))
    return UsageRecount(kept=kept, counted=counted, agrees=recount.usage_kept == recount.usage_counted)


def _render_task(one: TaskUsage) -> TaskUsageView:
    asked = one.asked
    return TaskUsageView(
        **_render_all(one.counts, one.sums),
        task_id=one.directive.task_id,
        slots=asked.slots,
        n_cores=asked.n_cores,
        worker_memory_bytes=asked.memory_bytes or None,
        cpu_efficiency=find_efficiency(one.sums, asked),
        advice=list(advise(one.sums, asked, attempts=one.counts.done + one.counts.failed)),
    )


def _render_all(counts: Counts, sums: UsageSums) -> dict[str, Any]:
    of_attempts = {"done": counts.done, "failed": counts.failed, "memory_bytes": sums.memory_bytes or None}
    return _render_sums(sums) | of_attempts


def _render_sums(sums: UsageSums) -> dict[str, Any]:
    return {
        "wall_s": sums.wall_us / 1e6,
        "lost_s": sums.lost_us / 1e6,
        "measured_s": sums.measured_us / 1e6,
        "cpu_s": sums.cpu_us / 1e6,
        "bytes_in": sums.bytes_in,
        "bytes_out": sums.bytes_out,
    }
