"""`muster task …`: the tasks of workflows, and more workers for them."""

from typing import Any

from cyclopts import App

from muster.cli.add_workers import EXAMPLES_OF_TASK, add_workers_to_task
from muster.cli.console import clean, put, put_fields, put_json, put_table, say
from muster.cli.failure import OK
from muster.cli.found import list_found, render_found
from muster.cli.lookup import get_task, get_workflow_id
from muster.cli.revise import EXAMPLES as EXAMPLES_OF_REVISE
from muster.cli.revise import render_changes, revise
from muster.cli.service import HERE, Service, connect
from muster.cli.taskforce import put_taskforces
from muster.client.shapes.workflows import TaskView

TASKFORCES_SHOWN = 20

app = App(
    name="task", help="See the tasks of workflows, mend them, and give them more workers.", help_format="plaintext"
)
app.help_epilogue = "Example:\n  muster task list latest"
app.command(add_workers_to_task, name="add-workers", help_epilogue=EXAMPLES_OF_TASK)
app.command(revise, help_epilogue=EXAMPLES_OF_REVISE)


@app.command(
    name="list",
    help_epilogue="""Examples:
  muster task list latest
  muster task list --limit 100 --json

By anything else:
  muster query tasks '{"cluster_locations": "big-pool"}'""",
)
def list_(
    workflow: str | None = None,
    /,
    *,
    limit: int = 20,
    after: str | None = None,
    service: Service = HERE,
) -> int:
    """List tasks, newest first.

    Args:
        workflow: only those of this one: its id, or `latest`.
        limit: how many at most.
        after: only those behind this word, which the list before ended with.
    """
    with connect(service) as client:
        filter_ = {} if workflow is None else {"workflow_id": get_workflow_id(client, workflow)}
        rows, next_after = list_found(client, "tasks", filter_, after=after, limit=limit)
    if service.json:
        put_json({"tasks": rows, "next_after": next_after})
        return OK
    if rows:
        put_table(
            ("task", "command", "input", "output", "at", "made"),
            [
                (
                    one["task_id"],
                    " ".join(filter(None, (one["task_image"], one["task_args"]))),
                    one["input_queue_aliases"],
                    one["output_queue_aliases"],
                    one["cluster_locations"],
                    render_found("created_at", one["created_at"]),
                )
                for one in rows
            ],
        )
    else:
        say("there are none")
    if next_after is not None:
        say(f"there may be more: --after {next_after}")
    return OK


@app.command(
    help_epilogue="""Examples:
  muster task show latest
  muster task show TK-6f1a2b3c-00c3a1b2-5d6e7f80
  muster task show TK-6f1a2b3c-00c3a1b2-5d6e7f80 --json"""
)
def show(task: str, /, *, service: Service = HERE) -> int:
    """Show a task, and the newest of its taskforces.

    Args:
        task: its id; or a workflow's id, or `latest`, where that has one task.
    """
    with connect(service) as client:
        view = get_task(client, task)
        task_id = view.task_id
        taskforces, more = (
            ([], None)
            if service.json
            else list_found(client, "taskforces", {"task_id": task_id}, after=None, limit=TASKFORCES_SHOWN)
        )
    if service.json:
        put_json(view)
        return OK
    _put_view(view)
    put("\ntaskforces")
    put_taskforces(taskforces)
    if more is not None:
        say(f"there may be more: muster taskforce list --task {task_id} --after {more}")
    return OK


def _put_view(view: TaskView) -> None:
    fields: list[tuple[str, Any]] = [
        ("task", view.task_id),
        ("workflow", view.workflow_id),
        ("made", render_found("created_at", view.created_at)),
        ("image", view.task_image),
        ("command", view.task_args),
        ("environment", [f"{name}={value}" for name, value in view.task_env.items()]),
        ("input", view.input_queue_aliases),
        ("output", view.output_queue_aliases),
        ("runs at", view.cluster_locations),
        ("attempts", f"{view.attempts}, the first pause is {view.retry_s:g} s"),
        ("time limit", None if view.timeout_s is None else f"{view.timeout_s:g} s"),
        ("warm", f"yes, {view.max_events} events a process" if view.warm else "no"),
        ("events at once", f"{view.slots} a worker"),
    ]
    if view.init_image or view.init_args:
        fields.append(("init", " ".join(filter(None, (view.init_image, view.init_args)))))
    put_fields(fields)
    for one in view.revisions:
        why = f" ({one.reason})" if one.reason else ""
        put(clean(f"\nrevision {one.number}, by {one.by} at {render_found('created_at', one.at)}{why}"))
        put_fields([(f"  {name}", value) for name, value in render_changes(one)])
