"""`muster taskforce …`: where are the workers, and why not?"""

import os
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from muster.cli.console import clean, put, put_block, put_fields, put_json, put_table, render_time, say
from muster.cli.explain import put_lead, put_reason
from muster.cli.failure import OK, UsageError
from muster.cli.found import list_found, render_found
from muster.cli.lookup import check_task_id, check_taskforce_uuid, get_workflow_id
from muster.cli.phase import render_phase
from muster.cli.pool_facts import put_seen
from muster.cli.release import release_all, release_each
from muster.cli.service import HERE, Service, connect, list_exports
from muster.cli.watch_taskforce import EXAMPLES as EXAMPLES_OF_WATCH
from muster.cli.watch_taskforce import watch
from muster.client.shapes.explanation import ExplanationView, TaskforceReasonView
from muster.client.shapes.workflows import PhaseLogView, TaskforceView
from muster.domain.taskforce_phase import Phase
from muster.domain.taskforce_reason import is_without_cluster

ERRORS_SHOWN = 10
_COLUMNS = ("taskforce_uuid", "location", "phase", "workers", "n_workers", "cluster_id", "created_at", "held_reason")

app = App(
    name="taskforce",
    help="See taskforces, and watch them: where their workers are, and why not. Release those that are held.",
    help_format="plaintext",
)
app.help_epilogue = """Example:
  muster taskforce list latest

A taskforce is workers for one task at one location: one cluster there. More of them: muster task add-workers"""

app.command(watch, help_epilogue=EXAMPLES_OF_WATCH)


@app.command(
    name="list",
    help_epilogue="""Examples:
  muster taskforce list latest
  muster taskforce list --phase pending-starter --location big-pool
  muster taskforce list --held --json

By anything else:
  muster query taskforces '{"workers": 0, "phase": "condor-submit"}'""",
)
def list_(
    workflow: str | None = None,
    /,
    *,
    phase: list[Phase] | None = None,
    location: str | None = None,
    task: str | None = None,
    held: bool = False,
    limit: int = 20,
    after: str | None = None,
    service: Service = HERE,
) -> int:
    """List taskforces, newest first.

    Args:
        workflow: only those of this one: its id, or `latest`.
        phase: only those in this phase; may be given again for others.
        location: only those at this location.
        task: only those of this task.
        held: only those that are not tried any more to start or to stop.
        limit: how many at most.
        after: only those behind this word, which the list before ended with.
    """
    filter_: dict[str, Any] = {}
    if phase:
        chosen = list(dict.fromkeys(one.value for one in phase))
        filter_["phase"] = chosen[0] if len(chosen) == 1 else {"$in": chosen}
    if location is not None:
        filter_["location"] = location
    if task is not None:
        filter_["task_id"] = check_task_id(task)
    if held:
        filter_["held_reason"] = {"$ne": None}
    with connect(service) as client:
        if workflow is not None:
            filter_["workflow_id"] = get_workflow_id(client, workflow)
        projection = None if service.json else _COLUMNS
        rows, next_after = list_found(client, "taskforces", filter_, after=after, limit=limit, projection=projection)
    if service.json:
        put_json({"taskforces": rows, "next_after": next_after})
        return OK
    if rows:
        put_taskforces(rows)
    else:
        say("there are none")
    if next_after is not None:
        say(f"there may be more: --after {next_after}")
    return OK


@app.command(
    help_epilogue="""Examples:
  muster taskforce show TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d
  muster taskforce show TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d --json"""
)
def show(taskforce: str, /, *, service: Service = HERE) -> int:
    """Show a taskforce: its workers, its claim, why it is not at work, what its site sees of it (states, sites, holds, evictions, why some
    workers wait), and its log.

    Args:
        taskforce: its uuid.
    """
    with connect(service) as client:
        view = client.get_taskforce(check_taskforce_uuid(taskforce))
        found = None if service.json else client.explain_workflow(view.workflow_id)
    if found is None:
        put_json(view)
    else:
        _put_view(view, found, list_exports(service, os.environ))
    return OK


@app.command(
    help_epilogue="""Examples:
  muster taskforce log TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d
  muster taskforce log TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d --json"""
)
def log(taskforce: str, /, *, service: Service = HERE) -> int:
    """Show what happened to a taskforce: every change of its phase, and every one that failed, oldest first.

    Args:
        taskforce: its uuid.
    """
    with connect(service) as client:
        view = client.get_taskforce(check_taskforce_uuid(taskforce))
    if service.json:
        put_json({"taskforce_uuid": view.taskforce_uuid, "phase_change_log": view.phase_change_log})
    else:
        _put_log(view.phase_change_log)
    return OK


@app.command(
    help_epilogue="""Examples:
  muster taskforce release TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d
  muster taskforce release --workflow latest --all
  muster taskforce list --held"""
)
def release(
    *taskforces: str,
    workflow: str | None = None,
    all: bool = False,  # noqa: A002 - the option's name
    service: Service = HERE,
) -> int:
    """Try again to start, or to stop, taskforces that are held, with as many tries as new ones; one that is not held stays as it is.

    Those that their site cannot start as they are it will hold again, unless it was changed since; they are named, in JSON as `final`.

    Args:
        taskforces: their uuids.
        workflow: with --all: its id, or `latest`.
        all: all that are held of the workflow.
    """
    if bool(taskforces) == all:
        raise UsageError(
            "which? Name them, or `--workflow ID --all`; `muster taskforce list --held` shows those that are held"
        )
    if all != (workflow is not None):
        raise UsageError("--workflow and --all go together: all taskforces of one workflow that are held")
    uuids = [check_taskforce_uuid(one) for one in taskforces]
    with connect(service) as client:
        chosen = None if workflow is None else get_workflow_id(client, workflow)
        done = release_each(client, service, uuids) if chosen is None else release_all(client, service, chosen)
    if service.json:
        put_json({"taskforces": done.taskforces, "released": done.released, "final": done.final})
    return OK


def put_taskforces(rows: list[dict[str, Any]]) -> None:
    """Write taskforces as a table; of each the fields that it shows."""
    put_table(
        ("taskforce", "location", "phase", "workers", "of", "cluster", "made"),
        [
            (
                one["taskforce_uuid"],
                one["location"],
                render_phase(one["phase"], one["cluster_id"], one["held_reason"]),
                one["workers"],
                one["n_workers"],
                one["cluster_id"],
                render_found("created_at", one["created_at"]),
            )
            for one in rows
        ],
    )


def _put_view(view: TaskforceView, found: ExplanationView, exports: Sequence[str]) -> None:
    claim = "-"
    if view.claim_agent is not None:
        until = "ended" if view.claim_until is None else f"until {render_time(view.claim_until)}"
        claim = f"by {view.claim_agent}, {until} (number {view.claim_fence})"
    put_fields(
        [
            ("taskforce", view.taskforce_uuid),
            ("workflow", view.workflow_id),
            ("task", view.task_id),
            ("made", f"{render_time(view.created_at)} ({view.origin})"),
            ("priority", view.priority),
            ("location", f"{view.location} (schedd {view.schedd})"),
            ("phase", render_phase(view.phase, view.cluster_id, view.held_reason)),
            ("workers", f"{view.workers} of {view.n_workers} up"),
            ("cluster", view.cluster_id),
            ("claim", claim),
            ("failed", f"{view.submit_failures} starts, {view.remove_failures} stops"),
            ("held", view.held_reason),
            ("event log", view.job_event_log_fpath),
        ]
    )
    _put_why(view, found, exports)
    put_seen(view)
    errors = sorted(view.top_task_errors.items(), key=lambda one: -one[1])
    put_block("errors of its tasks", "\n".join(f"{n} x {' '.join(text.split())}" for text, n in errors[:ERRORS_SHOWN]))
    put("\nlog")
    _put_log(view.phase_change_log)


def _put_why(view: TaskforceView, found: ExplanationView, exports: Sequence[str]) -> None:
    """Why it is not at work, in words."""
    reason: TaskforceReasonView | None = next(
        (one for one in found.taskforces if one.taskforce_uuid == view.taskforce_uuid), None
    )
    if reason is not None:
        put("\nwhy it is not at work")
        put_reason(reason, at=found.at)
        put_lead(exports, [reason])
    elif is_without_cluster(view.phase, view.cluster_id):
        put(
            "\nit is over: it was ended before it had a cluster, so that there is nothing to stop, and no agent is waited for"
        )
    elif found.left_out:
        put(f"\nthe whole workflow: muster workflow explain {clean(view.workflow_id)}")


def _put_log(log_: list[PhaseLogView]) -> None:
    put_table(
        ("at", "phase", "went well", "by", "what"),
        [
            (
                render_time(one.at),
                one.target_phase,
                one.was_successful,
                one.source_entity,
                " ".join(one.context.split()),
            )
            for one in log_
        ],
    )
