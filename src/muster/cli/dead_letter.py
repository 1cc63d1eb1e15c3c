"""`muster dead-letter …`: events whose last attempt failed."""

from cyclopts import App

from muster.cli.console import put, put_json, put_table, render_time, say
from muster.cli.event import put_event
from muster.cli.failure import OK, UsageError
from muster.cli.listing import collect
from muster.cli.lookup import check_event_id, get_workflow_id
from muster.cli.remedies import say_next, say_remedies
from muster.cli.replaying import replay_all
from muster.cli.service import HERE, Service, connect
from muster.cli.watch import say_left_behind
from muster.client.shapes.events import DeadLetterView
from muster.domain.errors import ConflictError

ERROR_CHARS_SHOWN = 100

app = App(name="dead-letter", help="See and replay events whose last attempt failed.", help_format="plaintext")
app.help_epilogue = """Example:
  muster dead-letter list latest

A replay runs the same tasks again. A mistake in one of them (its arguments,
its image) is mended before:
  muster task revise latest --args "python mine.py --n-steps 10"
One in more of the workflow's file (its queues, say), in a new workflow:
  NEW=$(muster workflow submit mended.yaml) &&
    muster event export WF-… points --state dead --state waiting \\
      --with-ids > left.jsonl &&
    muster queue publish "$NEW" points left.jsonl --with-ids --close"""


@app.command(
    name="list",
    help_epilogue="""Examples:
  muster dead-letter list latest
  muster dead-letter list latest --queue points --limit 1000 --json""",
)
def list_(
    workflow: str,
    /,
    *,
    queue: str | None = None,
    limit: int = 50,
    after: str | None = None,
    service: Service = HERE,
) -> int:
    """List dead letters with the error of their last attempt, oldest first.

    Args:
        workflow: its id, or `latest`.
        queue: only those of this queue.
        limit: how many at most.
        after: only those that came after this event.
    """
    with connect(service) as client:
        workflow_id = get_workflow_id(client, workflow)
        rows, next_after = collect(
            lambda after, limit: client.list_dead_letters(workflow_id, queue=queue, after=after, limit=limit),
            lambda page: (page.dead_letters, page.next_after),
            after=after,
            limit=limit,
        )
        view = None if service.json else client.get_workflow(workflow_id)
    if view is None:
        put_json({"dead_letters": rows, "next_after": next_after})
        return OK
    if not rows:
        say("there are no dead letters")
        say_left_behind(0 if view.state == "active" else sum(one.counts.waiting for one in view.queues if one.is_input))
        say_remedies(view, service)
        return OK
    put_table(
        ("event", "queue", "attempts", "died", "error"),
        [(one.event, one.queue, one.attempts, render_time(one.died_at), _summarise(one)) for one in rows],
    )
    if next_after is not None:
        say(f"there are more: --after {next_after}")
    say_remedies(view, service)
    return OK


@app.command(help_epilogue="Example:\n  muster dead-letter show EV-00c3a1b2c4d5e6f7")
def show(event: str, /, *, service: Service = HERE) -> int:
    """Show a dead letter: its body, every attempt, the errors with the end of what the task wrote.

    Args:
        event: its id.
    """
    with connect(service) as client:
        view = client.get_event(check_event_id(event))
    if view.state != "dead":
        raise ConflictError(f"{view.event} is not a dead letter: it is {view.state} (`muster event show` shows it)")
    if service.json:
        put_json(view)
    else:
        put_event(view)
    return OK


@app.command(
    help_epilogue="""Examples:
  muster dead-letter replay latest EV-00c3a1b2c4d5e6f7
  muster dead-letter replay latest --all
  muster dead-letter replay latest --all --queue points

After a mistake in the task (its arguments, its image), mend that first:
  muster task revise latest --args "python mine.py --n-steps 10"

After one in more of the workflow's file, into a new workflow instead:
  NEW=$(muster workflow submit mended.yaml) &&
    muster event export WF-… points --state dead --state waiting \\
      --with-ids > left.jsonl &&
    muster queue publish "$NEW" points left.jsonl --with-ids --close"""
)
def replay(
    workflow: str,
    /,
    *events: str,
    all: bool = False,  # noqa: A002 - the option's name
    queue: str | None = None,
    service: Service = HERE,
) -> int:
    """Send dead letters back to their queue: their attempts are counted from zero, the old ones stay in their history.

    A workflow that was finished, or that finished itself, is active again and gets workers for them; it stays closed to other events.
    One that was aborted stays over.

    Their tasks are run as they are by now: `muster task revise` mends one.

    Args:
        workflow: its id, or `latest`.
        events: ids of the dead letters.
        all: all of them.
        queue: with --all: only those of this queue.
    """
    if bool(events) == all:
        raise UsageError("name the dead letters to replay, or --all of them")
    if queue is not None and not all:
        raise UsageError("--queue goes with --all: dead letters that are named have their queue")
    with connect(service) as client:
        workflow_id = get_workflow_id(client, workflow)
        named = [check_event_id(one) for one in events] if events else None
        found = replay_all(client, workflow_id, queue=queue, named=named)
        view = client.get_workflow(workflow_id) if found.reopened and not service.json else None
    if service.json:
        put_json({"replayed": found.events, "left": found.left, "reopened": found.reopened})
        return OK
    put(f"{len(found.events)} replayed, {found.left} left")
    if view is not None:
        say(f"workflow {workflow_id} is active again, with new workers")
        next_steps = [f"muster workflow watch {workflow_id}"]
        if not view.finish_when_done:
            next_steps.append(
                f"muster workflow finish {workflow_id}    # when they are done: it does not finish itself"
            )
        say_next(next_steps, service)
    return OK


def _summarise(one: DeadLetterView) -> str:
    if one.error is None:
        return "the worker was lost"
    text = (one.error.text or one.error.fingerprint).strip()
    last = text.splitlines()[-1] if text else f"exit code {one.error.exit_code}"
    return last if len(last) <= ERROR_CHARS_SHOWN else last[: ERROR_CHARS_SHOWN - 1] + "…"
