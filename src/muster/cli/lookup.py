"""Which workflow, task, taskforce or event is meant by the word on the command line?"""

from muster.cli.failure import UsageError
from muster.client.shapes.workflows import TaskView
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.domain.ids import EVENT_ID, TASK_ID, TASKFORCE_UUID, WORKFLOW_ID

LATEST = ("latest", "@last")
"""The caller's newest workflow."""


def get_workflow_id(client: Client, word: str) -> str:
    """The id that the word stands for. Raises NotFoundError, InvalidError."""
    if word in LATEST:
        page = client.list_workflows(mine=True, limit=1)
        if not page.workflows:
            raise NotFoundError(f"{word}: you have no workflow yet; submit one with `muster workflow submit FILE`")
        return page.workflows[0].workflow_id
    if WORKFLOW_ID.fullmatch(word) is None:
        raise InvalidError(
            [Finding("workflow", f"{word!r} is not the id of a workflow, like WF-…-…; `latest` is your newest one")]
        )
    return word


def check_event_id(word: str) -> str:
    """The word, if it can be an event's id. Raises InvalidError."""
    if EVENT_ID.fullmatch(word) is None:
        raise InvalidError([Finding("event", f"{word!r} is not the id of an event, like EV-00c3a1b2c4d5e6f7")])
    return word


def check_task_id(word: str) -> str:
    """The word, if it can be a task's id. Raises InvalidError."""
    if TASK_ID.fullmatch(word) is None:
        reason = (
            f"{word!r} is not the id of a task, like TK-…-…-…; `muster task list WORKFLOW` shows those of a workflow"
        )
        raise InvalidError([Finding("task", reason)])
    return word


def get_task(client: Client, word: str) -> TaskView:
    """The task that the word stands for: by its id, or as the only one of a workflow.

    Raises NotFoundError, InvalidError; UsageError: the workflow has several.
    """
    if word not in LATEST and WORKFLOW_ID.fullmatch(word) is None:
        return client.get_task(check_task_id(word))
    view = client.get_workflow(get_workflow_id(client, word))
    if len(view.tasks) != 1:
        known = ", ".join(one.task_id for one in view.tasks)
        raise UsageError(f"workflow {view.workflow_id} has {len(view.tasks)} tasks: name one of {known}")
    return view.tasks[0]


def check_taskforce_uuid(word: str) -> str:
    """The word, if it can be a taskforce's. Raises InvalidError."""
    if TASKFORCE_UUID.fullmatch(word) is None:
        reason = f"{word!r} is not the uuid of a taskforce, like TF-…-…-…-…; `muster taskforce list` shows them"
        raise InvalidError([Finding("taskforce", reason)])
    return word
