"""What can be done about events that are dead, or left in a workflow that is over? Commands that can be typed as they are printed."""

import os
from collections.abc import Iterator, Sequence

from muster.cli.console import clean, say
from muster.cli.service import Service, list_exports
from muster.client.shapes.workflows import QueueView, WorkflowView


def say_next(lines: Sequence[str], service: Service) -> None:
    """Say what to type next, so that it reaches the same service."""
    say("\n".join(["next:", *(f"  {line}" for line in (*list_exports(service, os.environ), *lines))]))


def say_remedies(view: WorkflowView, service: Service) -> None:
    """Say what mends a workflow; nothing where nothing is dead or left.

    A replay helps where the program was wrong, a revision where the task was, a new workflow where more of its file was: only the person
    knows which.
    """
    inputs = [queue for queue in view.queues if queue.is_input]
    unfinished = [queue for queue in inputs if queue.counts.dead or (queue.counts.waiting and view.state != "active")]
    if not unfinished:
        return
    lines: list[str] = []
    if view.state != "aborted" and any(queue.counts.dead for queue in unfinished):
        lines += [
            "where the program or its data were wrong, once they are mended:",
            f"  muster dead-letter replay {view.workflow_id} --all",
            "where a task was (its arguments, its image), before that:",
            f"  muster task revise {view.tasks[0].task_id if len(view.tasks) > 1 else view.workflow_id} --args '…'",
            "where more of the workflow file was (its queues, say): mend it, and",
        ]
    else:
        lines.append("to take what is not done to a new workflow, once its file is mended:")
    lines += [f"  {line}" for line in list_moves(view.workflow_id, inputs, unfinished)]
    say_next(lines, service)


def list_moves(workflow_id: str, inputs: Sequence[QueueView], unfinished: Sequence[QueueView]) -> Iterator[str]:
    """Lines for a shell that take the dead and waiting events of some of the input queues to a new workflow, and close all others."""
    for queue in unfinished:
        if not queue.is_public:
            yield f"# first make {clean(queue.alias)} public in mended.yaml: so far only tasks publish into it"
    commands = ["NEW=$(muster workflow submit mended.yaml)"]
    for queue in unfinished:
        alias = queue.alias
        commands.append(
            f"muster event export {workflow_id} {alias} --state dead --state waiting --with-ids > left-{alias}.jsonl"
        )
        commands.append(f'muster queue publish "$NEW" {alias} left-{alias}.jsonl --with-ids --close')
    others = [queue.alias for queue in inputs if queue.is_public and queue not in unfinished]
    commands += [f'muster queue close "$NEW" {alias}' for alias in others]
    for command in commands[:-1]:
        yield f"{command} &&"
    yield commands[-1]
