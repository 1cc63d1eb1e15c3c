"""`muster workflow usage`: what did its tasks take of machines, for people?"""

from muster.cli.console import put, put_fields, put_json, render_duration
from muster.cli.failure import OK
from muster.cli.lookup import get_workflow_id
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.usage import TaskUsageView, UsageView, WorkflowUsageView
from muster.domain.size import render_size

EXAMPLES = """Examples:
  muster workflow usage latest
  muster workflow usage latest --json"""


def usage(workflow: str, /, *, service: Service = HERE) -> int:
    """Show what the tasks of a workflow took of machines: time, CPU, memory and bytes; and what they could ask for instead.

    Attempts whose worker died are not in it; nor are CPU and memory in containers of Docker or Podman.

    Args:
        workflow: its id, or `latest`.
    """
    with connect(service) as client:
        found = client.get_usage(get_workflow_id(client, workflow))
    if service.json:
        put_json(found)
    else:
        put_usage(found)
    return OK


def put_usage(found: WorkflowUsageView) -> None:
    """Write it, task by task; the total where there are several."""
    for number, task in enumerate(found.tasks):
        put(f"{'' if number == 0 else chr(10)}task {task.task_id}")
        put_fields([*_list_fields(task), ("  memory", _render_memory(task)), ("  cores", _render_cores(task))])
        for one in task.advice:
            put(f"  advice: {one}")
    if len(found.tasks) > 1:
        put("\nall tasks")
        put_fields(_list_fields(found.total))


def _list_fields(of: UsageView) -> list[tuple[str, object]]:
    lost = f", {render_duration(of.lost_s)} of it in attempts that did not end their event" if of.lost_s else ""
    # What is known of CPU time is known of a part of the attempts, perhaps.
    part = f" in {render_duration(of.measured_s)} of which it is known" if of.measured_s < of.wall_s else ""
    return [
        ("  attempts", f"{of.done} done, {of.failed} failed"),
        ("  ran", f"{render_duration(of.wall_s)}{lost}"),
        ("  CPU", f"{render_duration(of.cpu_s)}{part}" if of.measured_s else None),
        ("  bytes", f"{render_size(of.bytes_in)} in, {render_size(of.bytes_out)} out"),
    ]


def _render_memory(task: TaskUsageView) -> str | None:
    if task.memory_bytes is None:
        return None
    asked = f", of {render_size(task.worker_memory_bytes)} for a worker" if task.worker_memory_bytes else ""
    return f"{render_size(task.memory_bytes)} in the largest attempt{asked}{_render_slots(task)}"


def _render_cores(task: TaskUsageView) -> str:
    used = "" if task.cpu_efficiency is None else f", {task.cpu_efficiency:.0%} of their time used"
    return f"{task.n_cores} for a worker{_render_slots(task)}{used}"


def _render_slots(task: TaskUsageView) -> str:
    return f" with {task.slots} events at once" if task.slots > 1 else ""
