"""`muster workflow …`: make, see, watch and end workflows."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from muster.cli import brake, hosts
from muster.cli.add_workers import EXAMPLES, add_workers
from muster.cli.console import clean, put, put_block, put_fields, put_json, put_table, render_count, render_time, say
from muster.cli.explain import EXAMPLES as EXAMPLES_OF_EXPLAIN
from muster.cli.explain import explain
from muster.cli.failure import FAILED, OK
from muster.cli.listing import collect
from muster.cli.lookup import get_workflow_id
from muster.cli.phase import render_phase
from muster.cli.remedies import say_next, say_remedies
from muster.cli.service import HERE, Service, connect
from muster.cli.usage import EXAMPLES as EXAMPLES_OF_USAGE
from muster.cli.usage import usage
from muster.cli.watch import say_left_behind, watch_workflow
from muster.cli.workflow_file import list_forgotten, read_workflow
from muster.client.shapes.account import Account, CountsView, Errors
from muster.client.shapes.workflows import EndedView, WorkflowSummary, WorkflowView
from muster.client.synchronous import Client

app = App(name="workflow", help="Make, see, watch and end workflows.", help_format="plaintext")
app.help_epilogue = "Example:\n  muster workflow submit examples/daya-bay/workflow.yaml --watch"
app.command(explain, help_epilogue=EXAMPLES_OF_EXPLAIN)
app.command(add_workers, help_epilogue=EXAMPLES)
app.command(hosts.trust, help_epilogue=hosts.EXAMPLES_OF_TRUST)
app.command(brake.pause, help_epilogue=brake.EXAMPLES_OF_PAUSE)
app.command(brake.drain, help_epilogue=brake.EXAMPLES_OF_DRAIN)
app.command(brake.resume, help_epilogue=brake.EXAMPLES_OF_RESUME)
app.command(usage, help_epilogue=EXAMPLES_OF_USAGE)


@app.command(
    help_epilogue="""Examples:
  muster workflow submit examples/daya-bay/workflow.yaml
  muster workflow submit flow.yaml --name run-7 --watch
  generate-flow | muster workflow submit -"""
)
def submit(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    name: str | None = None,
    watch: bool = False,
    idempotency_key: str | None = None,
    service: Service = HERE,
) -> int:
    """Make a workflow from a file. Prints its id.

    Args:
        file: YAML or JSON; - is standard input. Relative `input_files` in it start at the file.
        name: its name, instead of the one in the file.
        watch: look on until it has ended.
        idempotency_key: submitting again with the same key and file gives the same workflow.
    """
    workflow = read_workflow(file)
    if name is not None:
        workflow = msgspec.structs.replace(workflow, name=name)
    with connect(service) as client:
        view = client.submit_workflow(workflow, idempotency_key=idempotency_key)
        for one in list_forgotten(workflow, file):
            say(f"mind: {one}")
        if not service.json:
            put(view.workflow_id)
            _say_submitted(view, service, is_watched=watch)
        elif not watch:
            put_json(view)
        return watch_workflow(client, view.workflow_id, service) if watch else OK


@app.command(
    name="list",
    help_epilogue="""Examples:
  muster workflow list
  muster workflow list --state active --mine --json""",
)
def list_(
    *,
    state: Literal["active", "finished", "aborted"] | None = None,
    mine: bool = False,
    limit: int = 20,
    after: str | None = None,
    service: Service = HERE,
) -> int:
    """List workflows, newest first.

    Args:
        state: only those in this state.
        mine: only your own.
        limit: how many at most.
        after: only those older than this workflow.
    """
    with connect(service) as client:
        rows, next_after = collect(
            lambda after, limit: client.list_workflows(state=state, mine=mine, after=after, limit=limit),
            lambda page: (page.workflows, page.next_after),
            after=after,
            limit=limit,
        )
    if service.json:
        put_json({"workflows": rows, "next_after": next_after})
        return OK
    if not rows:
        say("there are none")
        return OK
    put_table(("workflow", "name", "state", "owner", "made", "ended"), [_row(one) for one in rows])
    if next_after is not None:
        say(f"there are more: --after {next_after}")
    return OK


@app.command(
    help_epilogue="""Examples:
  muster workflow show latest
  muster workflow show latest --json"""
)
def show(workflow: str, /, *, service: Service = HERE) -> int:
    """Show a workflow with its tasks, queues and taskforces.

    Args:
        workflow: its id, or `latest`.
    """
    with connect(service) as client:
        view = client.get_workflow(get_workflow_id(client, workflow))
    if service.json:
        put_json(view)
    else:
        _put_view(view)
    return OK


@app.command(
    help_epilogue="""Examples:
  muster workflow watch latest
  muster workflow watch latest --json > progress.jsonl
  muster workflow watch latest --notices"""
)
def watch(workflow: str, /, *, notices: bool = False, service: Service = HERE) -> int:
    """Look on until a workflow has ended. Exit code 0: finished with all done; 1: aborted, or events are dead, waiting or in work.

    Args:
        workflow: its id, or `latest`.
        notices: show also what happens, from its beginning until its workers are gone (with --json: lines that have a `kind`).
    """
    with connect(service) as client:
        return watch_workflow(client, get_workflow_id(client, workflow), service, notices=notices)


@app.command(
    help_epilogue="""Examples:
  muster workflow account latest
  muster workflow account latest --recount"""
)
def account(workflow: str, /, *, recount: bool = False, service: Service = HERE) -> int:
    """Say what became of every event. Exit code 0: it adds up, also with events that are dead or waiting; 1: it does not.

    Args:
        workflow: its id, or `latest`.
        recount: count rows afresh beside the counters (slow with millions of events).
    """
    with connect(service) as client:
        found = client.get_account(get_workflow_id(client, workflow), recount=recount)
    if service.json:
        put_json(found)
    else:
        _put_account(found)
    return OK if is_exact(found) else FAILED


@app.command(
    help_epilogue="""Examples:
  muster workflow errors latest
  muster workflow errors latest --by host
  muster workflow errors latest --by site --json

What to do about events that died:
  muster dead-letter list latest"""
)
def errors(workflow: str, /, *, by: Literal["cause", "host", "site"] = "cause", service: Service = HERE) -> int:
    """Show why attempts failed, grouped by cause, the most frequent first; or where.

    Args:
        workflow: its id, or `latest`.
        by: what they are grouped by. `host` and `site` show how many were done and failed there, and which hosts rest.
    """
    with connect(service) as client:
        if by != "cause":
            return hosts.put_places(client.list_hosts(get_workflow_id(client, workflow)), by, service)
        found = client.get_errors(get_workflow_id(client, workflow))
        resting = None if service.json else client.list_hosts(found.workflow_id)
    if service.json:
        put_json(found)
    else:
        _put_errors(found)
        hosts.say_resting(resting)
        if any(group.done < group.events for group in found.groups):
            say(f"what became of them, and what can be done: muster dead-letter list {found.workflow_id}")
    return OK


@app.command(help_epilogue="Example:\n  muster workflow finish latest")
def finish(workflow: str, /, *, service: Service = HERE) -> int:
    """End a workflow; its workers end what they have in hand.

    Args:
        workflow: its id, or `latest`.
    """
    with connect(service) as client:
        return _put_ended(client, client.finish_workflow(get_workflow_id(client, workflow)), service)


@app.command(help_epilogue="Example:\n  muster workflow abort latest")
def abort(workflow: str, /, *, service: Service = HERE) -> int:
    """End a workflow; its workers are stopped at once.

    Args:
        workflow: its id, or `latest`.
    """
    with connect(service) as client:
        return _put_ended(client, client.abort_workflow(get_workflow_id(client, workflow)), service)


def render_sum(found: Account) -> str:
    """The account in one line; what is neither done nor published is named when there is any."""
    parts = [f"{found.published} published", f"{found.done} done"]
    parts += [
        f"{count} {word}"
        for count, word in ((found.waiting, "waiting"), (found.in_work, "in work"), (found.dead, "dead"))
        if count
    ]
    return ", ".join([*parts, f"{found.lost} lost", f"{found.counted_twice} counted twice"])


def is_exact(found: Account) -> bool:
    """Nothing is lost, nothing counted twice, and every queue adds up."""
    return found.adds_up and found.lost == 0 and found.counted_twice == 0


def _say_submitted(view: WorkflowView, service: Service, *, is_watched: bool) -> None:
    name = f" ({view.name})" if view.name else ""
    say(f"workflow {view.workflow_id}{name} is submitted")
    inputs = [queue.alias for queue in view.queues if queue.is_input and queue.is_public]
    lines = [f"muster queue publish {view.workflow_id} {alias} FILE --close" for alias in inputs]
    if not is_watched:
        lines.append(f"muster workflow watch {view.workflow_id}")
    if lines:
        say_next(lines, service)


def _row(one: WorkflowSummary) -> tuple[object, ...]:
    ended = render_time(one.ended_at)
    state = brake.render_state(one.state, one.brake)
    return one.workflow_id, one.name, state, one.owner, render_time(one.created_at), ended


def _put_view(view: WorkflowView) -> None:
    put_fields(
        [
            ("workflow", view.workflow_id),
            ("name", view.name),
            ("owner", view.owner),
            ("group", view.group or "-"),
            ("state", view.state),
            ("stopped", brake.render_brake(view.brake)),
            ("made", render_time(view.created_at)),
            ("ended", f"{render_time(view.ended_at)} by {view.ended_by}" if view.ended_at else "-"),
            ("finishes itself", view.finish_when_done),
        ]
    )
    put("\ntasks")
    put_table(
        ("task", "command", "input", "output", "attempts", "warm"),
        [
            (
                task.task_id,
                " ".join(filter(None, (task.task_image, task.task_args))),
                task.input_queue_aliases,
                task.output_queue_aliases,
                task.attempts,
                task.warm,
            )
            for task in view.tasks
        ],
    )
    put("\nqueues")
    put_queues([(queue.alias, queue.counts, queue.closed_at is not None) for queue in view.queues])
    put("\ntaskforces")
    put_table(
        ("taskforce", "location", "phase", "workers", "of", "cluster"),
        [
            (
                one.taskforce_uuid,
                one.location,
                render_phase(one.phase, one.cluster_id, one.held_reason),
                one.workers,
                one.n_workers,
                one.cluster_id,
            )
            for one in view.taskforces
        ],
    )


def put_queues(queues: list[tuple[str, CountsView, bool]]) -> None:
    """Write the counts of queues: alias, counts, whether it is closed."""
    put_table(
        ("queue", "published", "waiting", "in work", "done", "dead", "closed"),
        [
            (alias, counts.published, counts.waiting, counts.in_work, counts.done, counts.dead, is_closed)
            for alias, counts, is_closed in queues
        ],
    )


def _put_account(found: Account) -> None:
    put(render_sum(found))
    put("")
    columns = ["queue", "published", "waiting", "in work", "done", "dead", "adds up"]
    rows: list[list[object]] = []
    differing: list[str] = []
    for queue in found.queues:
        counts = queue.counts
        kept = [counts.published, counts.waiting, counts.in_work, counts.done, counts.dead]
        rows.append([queue.alias, *kept, queue.adds_up])
        if queue.recount is not None:
            afresh = queue.recount.counted
            counted = [afresh.published, afresh.waiting, afresh.in_work, afresh.done, afresh.dead]
            rows.append(["  counted afresh", *counted, queue.recount.agrees])
            if queue.recount.usage is not None and not queue.recount.usage.agrees:
                differing.append(queue.alias)
    put_table(columns, rows)
    if differing:
        put(
            f"\nthe sums of usage differ from the attempts' rows ({', '.join(differing)}): some were folded by an older service, "
            "beside this one; events are not concerned"
        )
    if found.duplicates:
        put(f"\n{found.duplicates} second results were recorded and sent nowhere")
    if not is_exact(found):
        say("the account does NOT add up: this is a fault of Muster; please report it with `--json --recount`")


def _in_one_line(text: str) -> str:
    return clean(" ".join(text.split()))


def _put_errors(found: Errors) -> None:
    if not found.groups and not found.taskforces:
        say("no attempt has failed, and no worker")
    for group in found.groups:
        hosts = ", ".join(group.hosts[:5])
        counted = f"{render_count(group.failures, 'failure')} of {render_count(group.events, 'event')}"
        put(f"{counted}: {_in_one_line(group.fingerprint) or 'without a text'}")
        if group.done == group.events:
            put("  all of them are done by now" if group.done > 1 else "  it is done by now")
        elif group.done:
            put(f"  {group.done} of {group.events} events are done by now")
        put(f"  from {render_time(group.first_at)} to {render_time(group.last_at)} on {hosts or '-'}")
        put(f"  for example {group.example_event} (muster event show {group.example_event})")
        put_block("", group.example_text)
        put("")
    for trouble in found.taskforces:
        put(f"taskforce {trouble.taskforce_uuid} ({trouble.phase})")
        if trouble.submit_failures or trouble.remove_failures:
            failures = render_count(trouble.submit_failures, "time"), render_count(trouble.remove_failures, "time")
            put(f"  could not be started {failures[0]}, or stopped {failures[1]}")
        if trouble.held_reason is not None:
            put("  it is not tried any more")
        put_block("", trouble.text)


def _put_ended(client: Client, answer: EndedView, service: Service) -> int:
    if service.json:
        put_json(answer)
        return OK
    put(f"{answer.workflow_id} {answer.state}")
    n = answer.n_taskforces
    say(
        f"{render_count(n, 'taskforce')} {'is' if n == 1 else 'are'} being stopped"
        if n
        else "it had no taskforce left to stop"
    )
    if waiting := client.get_progress(answer.workflow_id).input.waiting:
        say_left_behind(waiting)
        say_remedies(client.get_workflow(answer.workflow_id), service)
    return OK
