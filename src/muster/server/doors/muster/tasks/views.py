"""How do tasks look on our door?"""

from collections.abc import Mapping

from muster.client.shapes.workflows import RevisionView, TaskView
from muster.domain.revision import Revision
from muster.domain.workflow import TaskDirective


def render_task(task: TaskDirective, aliases: Mapping[str, str]) -> TaskView:
    """A task, every field. `aliases`: of its queues, by their ids."""
    return TaskView(
        task_id=task.task_id,
        workflow_id=task.workflow_id,
        created_at=task.created_at,
        cluster_locations=list(task.cluster_locations),
        task_image=task.task_image,
        task_args=task.task_args,
        task_env=dict(task.task_env),
        init_image=task.init_image,
        init_args=task.init_args,
        init_env=dict(task.init_env),
        input_queue_aliases=[aliases[one] for one in task.input_queues],
        output_queue_aliases=[aliases[one] for one in task.output_queues],
        attempts=task.attempts,
        retry_s=task.retry_s,
        timeout_s=task.timeout_s,
        warm=task.warm,
        max_events=task.max_events,
        infile_ext=task.infile_ext,
        outfile_ext=task.outfile_ext,
        slots=task.slots,
        brake_attempts=task.brake_attempts,
        brake_share=task.brake_share,
        output=task.output,
        revisions=[_render_revision(one) for one in task.revisions],
    )


def _render_revision(revision: Revision) -> RevisionView:
    configs = {"worker_config": revision.worker_config, "pilot_config": revision.pilot_config}
    changes = {**revision.changes, **{name: dict(one) for name, one in configs.items() if one is not None}}
    return RevisionView(revision.number, revision.at, revision.by, revision.reason, changes)
