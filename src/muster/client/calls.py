"""What is asked of the service, and how is its answer read? One description of every call, without any I/O.

Source: the route table of docs/design/conventions.md. The shells (`asynchronous.py`, `synchronous.py`) carry calls out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import UNSET

from muster.client.call import Call
from muster.client.making import BASE, get, idempotency, nothing, part, post, reader, render_query
from muster.client.shapes.account import Account, Errors
from muster.client.shapes.admin import Purge, PurgedView, ResetView
from muster.client.shapes.consumers import Consume, Consumed, Consumer, OpenConsumer
from muster.client.shapes.events import (
    AttemptLogView,
    DeadLetterPage,
    EventBodyPage,
    EventPage,
    EventView,
    Publish,
    PublishedView,
    Replay,
    Replayed,
    TailView,
)
from muster.client.shapes.explanation import ExplanationView
from muster.client.shapes.hosts import Hosts, TrustHost
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.queries import PAGE_MAX, FoundPage, Query
from muster.client.shapes.service import Health, Limits, Locations, Whoami
from muster.client.shapes.usage import WorkflowUsageView
from muster.client.shapes.worker_orders import OrderWorkers, WorkerOrderView
from muster.client.shapes.workers import WorkerPage
from muster.client.shapes.workflows import (
    AddWorkers,
    BrakedView,
    BrakeWorkflow,
    EndedView,
    Progress,
    QueueAccessView,
    QueueView,
    ReviseTask,
    TaskforceView,
    TaskView,
    WorkflowPage,
    WorkflowView,
)

EVENTS = "text/event-stream"
Queried: TypeAlias = Literal["workflows", "tasks", "taskforces"]
"""What queries find."""


def submit_workflow(workflow: NewWorkflow, *, idempotency_key: str | None = None) -> Call[WorkflowView]:
    """Make a workflow. The same `idempotency_key` with the same workflow gives the workflow made before."""
    return post("/workflows", workflow, WorkflowView, headers=idempotency(idempotency_key))


def list_workflows(
    *, state: str | None = None, mine: bool = False, after: str | None = None, limit: int | None = None
) -> Call[WorkflowPage]:
    """Workflows, newest first. `state`: `active`, `finished` or `aborted`; `after`: the `next_after` of the page before."""
    return get("/workflows", WorkflowPage, state=state, mine=mine or None, after=after, limit=limit)


def get_workflow(workflow_id: str) -> Call[WorkflowView]:
    """One workflow with its tasks, queues and taskforces."""
    return get(f"/workflows/{part(workflow_id)}", WorkflowView)


def get_progress(workflow_id: str, *, seen: str | None = None, wait_s: float = 0.0) -> Call[Progress]:
    """How far it is; parks up to `wait_s` seconds until something differs from the progress whose `token` is `seen`."""
    path = f"/workflows/{part(workflow_id)}/progress"
    return get(path, Progress, seen=seen, wait_s=wait_s or None, parked_s=wait_s)


def open_stream(workflow_id: str, *, after: str | None = None, last_id: str = "") -> Call[None]:
    """What happens to it, as server-sent events. `stream` of the clients reads them."""
    headers = {"Accept": EVENTS, "Accept-Encoding": "identity"} | ({"Last-Event-ID": last_id} if last_id else {})
    path = f"{BASE}/workflows/{part(workflow_id)}/stream"
    return Call("GET", path, nothing, query=render_query({"after": after}), headers=headers)


def finish_workflow(workflow_id: str) -> Call[EndedView]:
    """End a workflow: its workers end what they have in hand."""
    return post(f"/workflows/{part(workflow_id)}/actions/finish", None, EndedView)


def abort_workflow(workflow_id: str) -> Call[EndedView]:
    """End a workflow: its workers are stopped at once."""
    return post(f"/workflows/{part(workflow_id)}/actions/abort", None, EndedView)


def pause_workflow(workflow_id: str, *, reason: str = "") -> Call[BrakedView]:
    """Begin no event of it until it is resumed: what is at work goes on to its end, and its workers wait."""
    return post(f"/workflows/{part(workflow_id)}/actions/pause", BrakeWorkflow(reason), BrakedView)


def drain_workflow(workflow_id: str, *, reason: str = "") -> Call[BrakedView]:
    """As `pause_workflow`, and its workers go as soon as they have nothing in hand."""
    return post(f"/workflows/{part(workflow_id)}/actions/drain", BrakeWorkflow(reason), BrakedView)


def resume_workflow(workflow_id: str) -> Call[BrakedView]:
    """Go on with a workflow that was paused or drained, or that stopped itself."""
    return post(f"/workflows/{part(workflow_id)}/actions/resume", None, BrakedView)


def get_account(workflow_id: str, *, recount: bool = False) -> Call[Account]:
    """What became of every event. `recount` counts rows afresh beside the counters, which may take minutes."""
    path = f"/workflows/{part(workflow_id)}/account"
    return get(path, Account, recount=recount or None, parked_s=600.0 if recount else 0.0)


def get_usage(workflow_id: str) -> Call[WorkflowUsageView]:
    """What its tasks took of machines: time, CPU, memory, bytes; and what they could ask for instead."""
    return get(f"/workflows/{part(workflow_id)}/usage", WorkflowUsageView)


def get_errors(workflow_id: str) -> Call[Errors]:
    """Why attempts failed, grouped by cause, most frequent first; and taskforces that could not be started or stopped."""
    return get(f"/workflows/{part(workflow_id)}/errors", Errors)


def list_hosts(workflow_id: str) -> Call[Hosts]:
    """How its attempts ended at each host, those with the most failures first, and which hosts rest."""
    return get(f"/workflows/{part(workflow_id)}/hosts", Hosts)


def trust_host(workflow_id: str, host: str) -> Call[Hosts]:
    """Give a host that rests events at once, and judge it afresh."""
    return post(f"/workflows/{part(workflow_id)}/hosts/actions/trust", TrustHost(host), Hosts)


def list_workers(
    workflow_id: str, *, taskforce: str | None = None, after: str | None = None, limit: int | None = None
) -> Call[WorkerPage]:
    """The workers that are up now, of all of its taskforces or of one, the oldest first."""
    path = f"/workflows/{part(workflow_id)}/workers"
    return get(path, WorkerPage, taskforce=taskforce, after=after, limit=limit)


def explain_workflow(workflow_id: str) -> Call[ExplanationView]:
    """Why it is not (or no longer) running: which phase waits for whom, since when, the last error, and what would move it."""
    return get(f"/workflows/{part(workflow_id)}/explanation", ExplanationView)


def list_events(
    workflow_id: str,
    *,
    queue: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Call[EventPage]:
    """Events of a queue in a state (`waiting`, `in_work`, `done`, `dead`), oldest first."""
    path = f"/workflows/{part(workflow_id)}/events"
    return get(path, EventPage, queue=queue, state=state, after=after, limit=limit)


def list_event_bodies(
    workflow_id: str,
    *,
    queue: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Call[EventBodyPage]:
    """As `list_events`, with bodies: for the workflow's owner, and a page ends early where they are long.

    `export_events` of the clients goes over all pages.
    """
    path = f"/workflows/{part(workflow_id)}/events"
    return get(path, EventBodyPage, bodies=True, queue=queue, state=state, after=after, limit=limit)


def list_dead_letters(
    workflow_id: str, *, queue: str | None = None, after: str | None = None, limit: int | None = None
) -> Call[DeadLetterPage]:
    """Events whose last attempt failed, with its error, oldest first."""
    path = f"/workflows/{part(workflow_id)}/dead-letters"
    return get(path, DeadLetterPage, queue=queue, after=after, limit=limit)


def replay_dead_letters(
    workflow_id: str,
    events: Sequence[str] | None = None,
    *,
    queue: str | None = None,
    idempotency_key: str | None = None,
) -> Call[Replayed]:
    """Send dead letters back to their queue: the named ones, or (None) all of them, or of one queue, as many as one call takes.

    A workflow that was finished is active again with the first that goes back.
    """
    replay = Replay(
        events=UNSET if events is None else list(events),
        queue=UNSET if queue is None else queue,
    )
    path = f"/workflows/{part(workflow_id)}/dead-letters/actions/replay"
    return post(path, replay, Replayed, headers=idempotency(idempotency_key))


def publish_events(
    workflow_id: str, alias: str, publish: Publish, *, idempotency_key: str | None = None
) -> Call[PublishedView]:
    """Publish one batch, all of it or nothing. `publish` of the clients sends any number."""
    path = f"/workflows/{part(workflow_id)}/queues/{part(alias)}/events"
    return post(path, publish, PublishedView, headers=idempotency(idempotency_key))


def close_queue(workflow_id: str, alias: str) -> Call[QueueView]:
    """Say that all input is in."""
    return post(f"/workflows/{part(workflow_id)}/queues/{part(alias)}/actions/close", None, QueueView)


def get_queue_access(workflow_id: str, alias: str) -> Call[QueueAccessView]:
    """How programs reach a public queue on the broker, with its token; for the workflow's owner."""
    return get(f"/workflows/{part(workflow_id)}/queues/{part(alias)}/access", QueueAccessView)


def open_consumer(workflow_id: str, alias: str, consumer: OpenConsumer | None = None) -> Call[Consumer]:
    """Begin to consume from a queue. `consume` of the clients does the whole conversation."""
    path = f"/workflows/{part(workflow_id)}/queues/{part(alias)}/consumers"
    return post(path, consumer or OpenConsumer(), Consumer)


def step_consumer(consumer: str, consume: Consume) -> Call[Consumed]:
    """Acknowledge and lease; may be sent again as it is, because it carries its number."""
    return post(f"/consumers/{part(consumer)}/step", consume, Consumed, parked_s=consume.wait_s)


def close_consumer(consumer: str) -> Call[None]:
    """End a consumer; what it still holds goes back."""
    return Call("POST", f"{BASE}/consumers/{part(consumer)}/actions/close", nothing)


def get_event_logs(event: str, *, attempt: int | None = None) -> Call[AttemptLogView]:
    """What an attempt at an event printed: that one, counted as in its history, or the last that failed."""
    return get(f"/events/{part(event)}/logs", AttemptLogView, attempt=attempt)


def get_event_tail(event: str) -> Call[TailView]:
    """What the task that is at work at an event prints right now: what its worker brought last, which is asked for half a minute more."""
    return get(f"/events/{part(event)}/tail", TailView)


def get_event(event: str) -> Call[EventView]:
    """One event with its body and every attempt."""
    return get(f"/events/{part(event)}", EventView)


def get_task(task_id: str) -> Call[TaskView]:
    """One task, every field."""
    return get(f"/tasks/{part(task_id)}", TaskView)


def add_workers(
    task_id: str, *, location: str, n_workers: int, idempotency_key: str | None = None
) -> Call[TaskforceView]:
    """Give a task of an active workflow a further taskforce at a location; the same `idempotency_key` gives it once."""
    path = f"/tasks/{part(task_id)}/actions/add-workers"
    return post(path, AddWorkers(location, n_workers), TaskforceView, headers=idempotency(idempotency_key))


def revise_task(task_id: str, revision: ReviseTask, *, idempotency_key: str | None = None) -> Call[TaskView]:
    """Mend a task of an active workflow: new workers run it from now on, the old ones go once they have nothing in hand."""
    return post(f"/tasks/{part(task_id)}/revisions", revision, TaskView, headers=idempotency(idempotency_key))


def get_taskforce(taskforce_uuid: str) -> Call[TaskforceView]:
    """One taskforce with its log."""
    return get(f"/taskforces/{part(taskforce_uuid)}", TaskforceView)


def release_taskforce(taskforce_uuid: str) -> Call[TaskforceView]:
    """Have a taskforce that is held tried again; one that is not held stays as it is."""
    return post(f"/taskforces/{part(taskforce_uuid)}/actions/release", None, TaskforceView)


def order_workers(
    taskforce_uuid: str, order: OrderWorkers, *, idempotency_key: str | None = None
) -> Call[WorkerOrderView]:
    """Have its site hold, release or remove some of its workers, or bring what one wrote; `get_worker_order` tells what came of it."""
    path = f"/taskforces/{part(taskforce_uuid)}/orders"
    return post(path, order, WorkerOrderView, headers=idempotency(idempotency_key))


def get_worker_order(taskforce_uuid: str, order_id: str, *, wait_s: float = 0.0) -> Call[WorkerOrderView]:
    """How it stands with an order; parks up to `wait_s` seconds while it waits for the site's agent."""
    path = f"/taskforces/{part(taskforce_uuid)}/orders/{part(order_id)}"
    return get(path, WorkerOrderView, wait_s=wait_s or None, parked_s=wait_s)


def purge(*, dry_run: bool = False, place: str | None = None) -> Call[PurgedView]:
    """For operators: remove what need not be kept any longer, or only count it; `place`: go on where an answer said."""
    return post("/admin/purge", Purge(dry_run, place), PurgedView)


def reset() -> Call[ResetView]:
    """For operators: empty a service that is one for tests."""
    return post("/admin/reset", None, ResetView)


def query(
    what: Queried,
    filter_: Mapping[str, Any] | None = None,
    *,
    projection: Sequence[str] | None = None,
    after: str = "",
    limit: int = PAGE_MAX,
    newest_first: bool = False,
) -> Call[FoundPage]:
    """A page of the objects that fit a filter (docs/reference/query.md), oldest first. `query_pages` of the clients gives all pages.

    `projection`: fields to show, dotted into objects; None: all. `after`: the `next_after` of the page before.
    """
    fields = UNSET if projection is None else list(projection)
    asked = Query(dict(filter_ or {}), fields, after, limit, newest_first)
    return post(f"/query/{what}", asked, FoundPage)


def whoami() -> Call[Whoami]:
    """Who the token belongs to."""
    return get("/whoami", Whoami)


def get_limits() -> Call[Limits]:
    """How much may be in use at once, and how much is."""
    return get("/limits", Limits)


def list_locations() -> Call[Locations]:
    """Where workers can run, which agents ask for work there, and what waits and runs."""
    return get("/locations", Locations)


def get_health() -> Call[Health]:
    """Is the process alive? Needs no token."""
    return Call("GET", "/healthz", reader(Health))


def get_readiness() -> Call[Health]:
    """Does the service answer for its database? Needs no token."""
    return Call("GET", "/readyz", reader(Health))
