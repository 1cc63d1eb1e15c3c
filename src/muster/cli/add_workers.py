"""`muster task add-workers` and `muster workflow add-workers`: which task gets them, and where, when the command line does not say it?"""

import contextlib

from muster.cli.console import clean, put, put_json, render_count, say
from muster.cli.failure import OK, UsageError
from muster.cli.lookup import get_task, get_workflow_id
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.workflows import TaskforceView, TaskView, WorkflowView
from muster.client.synchronous import Client
from muster.domain.errors import MusterError, NotFoundError
from muster.domain.reason import Cause

EXAMPLES = """Examples:
  muster workflow add-workers latest --workers 10
  muster workflow add-workers WF-6f1a2b3c-00c3a1b2 --workers 200 \\
    --task TK-6f1a2b3c-00c3a1b2-5d6e7f80 --location big-pool"""
EXAMPLES_OF_TASK = """Examples:
  muster task add-workers TK-6f1a2b3c-00c3a1b2-5d6e7f80 --workers 200 \\
    --location big-pool

The same by its workflow, where that has one task:
  muster workflow add-workers latest --workers 200"""


def add_workers(
    workflow: str,
    /,
    *,
    workers: int,
    task: str | None = None,
    location: str | None = None,
    idempotency_key: str | None = None,
    service: Service = HERE,
) -> int:
    """Give a task more workers, with the settings of its first ones; they are started before others. Prints their taskforce.

    Args:
        workflow: its id, or `latest`; it must be active.
        workers: how many more.
        task: id of the task; not needed where there is only one.
        location: where they run; not needed where the task has only one place.
        idempotency_key: adding again with the same key and numbers adds nothing.
    """
    with connect(service) as client:
        chosen = _choose_task(client.get_workflow(get_workflow_id(client, workflow)), task)
        return _add(client, chosen, workers, location, idempotency_key, service)


def add_workers_to_task(
    task: str,
    /,
    *,
    workers: int,
    location: str | None = None,
    idempotency_key: str | None = None,
    service: Service = HERE,
) -> int:
    """Give a task more workers, with the settings of its first ones; they are started before others. Prints their taskforce.

    Args:
        task: its id; or a workflow's id, or `latest`, where that has one task. The workflow must be active.
        workers: how many more.
        location: where they run; not needed where the task has only one place.
        idempotency_key: adding again with the same key and numbers adds nothing.
    """
    with connect(service) as client:
        return _add(client, get_task(client, task), workers, location, idempotency_key, service)


def _add(
    client: Client, task: TaskView, workers: int, location: str | None, idempotency_key: str | None, service: Service
) -> int:
    place = _choose_one(location, task.cluster_locations, f"task {task.task_id} runs at", "--location")
    added = client.add_workers(task.task_id, location=place, n_workers=workers, idempotency_key=idempotency_key)
    if service.json:
        put_json(added)
    else:
        put(added.taskforce_uuid)
        say(
            f"{render_count(added.n_workers, 'worker')} {'was' if added.n_workers == 1 else 'were'} ordered at {added.location}"
        )
        _mind_want_of_room(client, added)
    return OK


def _mind_want_of_room(client: Client, added: TaskforceView) -> None:
    """They are ordered, and may have to wait: without end, where those that the workflow has are in their way."""
    with contextlib.suppress(MusterError):  # the order stands, and that is what was asked for
        found = client.explain_workflow(added.workflow_id)
        for one in found.taskforces:
            if one.taskforce_uuid == added.taskforce_uuid and one.cause == Cause.NO_ROOM:
                say(f"mind: {clean(one.text)}. `muster workflow explain {added.workflow_id}` shows it again")


def _choose_task(view: WorkflowView, task: str | None) -> TaskView:
    known = {one.task_id: one for one in view.tasks}
    chosen = _choose_one(task, list(known), f"workflow {view.workflow_id} has the tasks", "--task")
    if chosen not in known:
        raise NotFoundError(f"workflow {view.workflow_id} has no task {chosen!r}; its tasks: {', '.join(known)}")
    return known[chosen]


def _choose_one(word: str | None, there: list[str], what: str, option: str) -> str:
    """The one that is named, or the only one that there is. Raises UsageError where it must be named."""
    if word is not None:
        return word
    if len(there) != 1:
        raise UsageError(f"{what} {', '.join(there)}: name one with {option}")
    return there[0]
