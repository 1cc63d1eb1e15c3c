"""`muster workflow pause`, `drain` and `resume`: stop a workflow for a while, and go on with it."""

from muster.cli.console import clean, put, put_json, render_count, render_time, say
from muster.cli.failure import OK
from muster.cli.lookup import get_workflow_id
from muster.cli.remedies import say_next
from muster.cli.replaying import replay_all
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.workflows import BrakedView, BrakeView

EXAMPLES_OF_PAUSE = """Examples:
  muster workflow pause latest
  muster workflow pause latest --reason "the calibration is wrong"

What is at work goes on to its end, and the workers wait for more. To free
the pool as well, drain it:
  muster workflow drain latest"""
EXAMPLES_OF_DRAIN = """Examples:
  muster workflow drain latest
  muster workflow drain latest --reason "the pool is needed until Monday"
"""
EXAMPLES_OF_RESUME = """Examples:
  muster workflow resume latest
  muster workflow resume latest --dead-letters"""


def pause(workflow: str, /, *, reason: str = "", service: Service = HERE) -> int:
    """Begin no more events of a workflow until it is resumed. What is at work goes on to its end; its workers stay, and wait.

    Args:
        workflow: its id, or `latest`.
        reason: why, for whoever looks at it.
    """
    with connect(service) as client:
        return _put(client.pause_workflow(get_workflow_id(client, workflow), reason=reason), service)


def drain(workflow: str, /, *, reason: str = "", service: Service = HERE) -> int:
    """As pause, and its workers go as soon as they have nothing in hand; `resume` brings new ones.

    Args:
        workflow: its id, or `latest`.
        reason: why, for whoever looks at it.
    """
    with connect(service) as client:
        return _put(client.drain_workflow(get_workflow_id(client, workflow), reason=reason), service)


def resume(workflow: str, /, *, dead_letters: bool = False, service: Service = HERE) -> int:
    """Go on with a workflow that was paused or drained, or that stopped itself because most of its attempts failed.

    Args:
        workflow: its id, or `latest`.
        dead_letters: send its dead letters back to their queues first, as `muster dead-letter replay --all` does.
    """
    with connect(service) as client:
        workflow_id = get_workflow_id(client, workflow)
        replayed = len(replay_all(client, workflow_id, queue=None).events) if dead_letters else 0
        answer = client.resume_workflow(workflow_id)
    if dead_letters and not service.json:
        say(f"{render_count(replayed, 'dead letter')} went back")
    return _put(answer, service)


def render_state(state: str, brake: BrakeView | None) -> str:
    """Where a workflow is, in a word or two."""
    return state if brake is None else f"{state}, {brake.state}"


def render_brake(brake: BrakeView | None) -> str:
    """Who stopped it, and why; `-` where nobody did."""
    if brake is None:
        return "-"
    why = f": {brake.reason}" if brake.reason else ""
    return clean(f"{brake.state} by {brake.by} at {render_time(brake.at)}{why}")


def _put(answer: BrakedView, service: Service) -> int:
    if service.json:
        put_json(answer)
        return OK
    put(f"{answer.workflow_id} {render_state(answer.state, answer.brake)}")
    taskforces = render_count(answer.n_taskforces, "taskforce")
    if answer.brake is None:
        say(f"it goes on{f', with {taskforces} made anew' if answer.n_taskforces else ''}")
        say_next([f"muster workflow watch {answer.workflow_id}"], service)
        return OK
    if answer.n_taskforces:
        say(f"the workers of {taskforces} go once they have nothing in hand")
    say_next([f"muster workflow resume {answer.workflow_id}"], service)
    return OK
