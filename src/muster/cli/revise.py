"""`muster task revise`: mend a task of a workflow that goes on."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from msgspec import UNSET

from muster.cli.brake import render_brake
from muster.cli.console import put, put_json, say
from muster.cli.failure import OK, UsageError
from muster.cli.lookup import get_task
from muster.cli.remedies import say_next
from muster.cli.service import HERE, Service, connect
from muster.cli.workflow_file import read_changes
from muster.client.shapes.workflows import ReviseTask, RevisionView, TaskView, WorkerChanges

EXAMPLES = """Examples:
  muster task revise latest --args "python mine.py --n-steps 10 {{INFILE}}"
  muster task revise TK-6f1a2b3c-00c3a1b2-5d6e7f80 --memory 2G \\
    --reason "some events need more"
  muster task revise latest --env MODE=fast --env DEBUG= --timeout-s 600
  muster task revise latest --from changes.yaml

A file has the names of the fields of a task, and only those that change:
  task_image: docker://quay.io/me/mine@sha256:…
  input_files: [/data/calibration-2.npz]"""


def revise(
    task: str,
    /,
    *,
    args: str | None = None,
    image: str | None = None,
    env: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    memory: str | None = None,
    disk: str | None = None,
    timeout_s: float | None = None,
    from_: Annotated[Path | None, Parameter(name="--from", allow_leading_hyphen=True)] = None,
    reason: str = "",
    idempotency_key: str | None = None,
    service: Service = HERE,
) -> int:
    """Mend a task while its workflow goes on: new workers run it from now on, the old ones go once they have nothing in hand.

    What was submitted stays on record, and each attempt says by which revision it was made.

    Args:
        task: its id; or a workflow's id, or `latest`, where that has one task.
        args: its arguments, or its command.
        image: its container image.
        env: NAME=VALUE, a variable of its environment; NAME= takes it away. The others stay.
        memory: what each worker asks for, e.g. 2G.
        disk: likewise.
        timeout_s: seconds that one event may take.
        from_: YAML or JSON with fields of the task that are to be other; - is standard input.
        reason: why, for whoever looks at it.
        idempotency_key: revising again with the same key and changes changes nothing.
    """
    changes = read_changes(from_) if from_ is not None else ReviseTask()
    given = {"task_args": args, "task_image": image, "timeout_s": timeout_s, "reason": reason or None}
    changes = msgspec.structs.replace(changes, **{name: value for name, value in given.items() if value is not None})
    sizes = {"worker_memory": memory, "worker_disk": disk}
    if named := {name: value for name, value in sizes.items() if value is not None}:
        before = WorkerChanges() if changes.worker_config is UNSET else changes.worker_config
        changes = msgspec.structs.replace(changes, worker_config=msgspec.structs.replace(before, **named))
    with connect(service) as client:
        present = get_task(client, task)
        if env:
            changes = msgspec.structs.replace(changes, task_env=_change_variables(present, env))
        view = client.revise_task(present.task_id, changes, idempotency_key=idempotency_key)
        workflow = client.get_workflow(view.workflow_id)
    if service.json:
        put_json(view)
        return OK
    newest = view.revisions[-1]
    put(f"{view.task_id} revision {newest.number}")
    say(f"changed: {', '.join(newest.changes)}")
    if workflow.brake is not None:
        say(f"its workflow is still stopped: {render_brake(workflow.brake)}")
        say_next([f"muster workflow resume {view.workflow_id}"], service)
    elif workflow.state != "active":
        say(f"its workflow is {workflow.state}: dead letters that are replayed bring workers that run it")
        say_next([f"muster dead-letter replay {view.workflow_id} --all"], service)
    else:
        say("workers that run it are on their way; those before them go once they have nothing in hand")
    return OK


def find_current(view: TaskView) -> dict[str, object]:
    """The fields of a task by its newest revision."""
    current: dict[str, object] = msgspec.structs.asdict(view)
    for one in view.revisions:
        current |= one.changes
    return current


def render_changes(revision: RevisionView) -> list[tuple[str, Any]]:
    """What a revision changed: fields and values."""
    return [
        (name, [f"{key}={one}" for key, one in value.items()] if isinstance(value, dict) else value)
        for name, value in revision.changes.items()
    ]


def _change_variables(task: TaskView, env: tuple[str, ...]) -> dict[str, str]:
    now = find_current(task)["task_env"]
    variables = dict(now) if isinstance(now, dict) else {}
    for one in env:
        name, sign, value = one.partition("=")
        if not (name and sign):
            raise UsageError(f"--env {one!r}: write NAME=VALUE, or NAME= to take it away")
        if value:
            variables[name] = value
        else:
            variables.pop(name, None)
    return variables
