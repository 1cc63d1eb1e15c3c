"""What became of the events? Lists by queue and state, one event with its history, dead letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from operator import attrgetter

from muster.domain.attempt_output import AttemptOutput
from muster.domain.caller import Caller
from muster.domain.errors import NotFoundError
from muster.domain.event_state import EventState
from muster.domain.queue import Queue
from muster.domain.workflow import Workflow
from muster.server.ports.events import AttemptRow, DeadLetter, EventRow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow, get_queue, require_owner

BODIES_BYTES_MAX = 4 << 20
"""Bodies of one page; one that is longer alone still comes."""


@dataclass(frozen=True)
class Page:
    """What a list is asked for. `alias` and `state` None: all of them; `after` is an event's number; `limit` 1 or more."""

    workflow_id: str
    alias: str | None
    after: int
    limit: int
    state: EventState | None = None


@dataclass(frozen=True)
class EventHistory:
    """One event with every attempt that ended; `aliases` names the queues."""

    workflow: Workflow
    queue: Queue
    row: EventRow
    attempts: Sequence[AttemptRow]


async def list_events(parts: Parts, page: Page) -> Sequence[tuple[Queue, EventRow]]:
    """Events by number, oldest first, without their bodies. Raises NotFoundError."""
    return await parts.store.read(lambda tx: _list_rows(tx, page))


async def list_event_bodies(parts: Parts, caller: Caller, page: Page) -> tuple[Sequence[tuple[Queue, EventRow]], bool]:
    """Events by number, oldest first, with their bodies; and whether more may follow: the page is full, or was cut because its bodies
    are long.

    Raises NotFoundError; ForbiddenError for others than owner and operators.
    """

    def look(tx: Transaction) -> tuple[Sequence[tuple[Queue, EventRow]], bool]:
        get_owned_workflow(tx, caller, page.workflow_id)
        rows = _list_rows(tx, page)
        bodies = tx.events.list_bodies([row.event for _, row in rows], size_bytes_max=BODIES_BYTES_MAX)
        whole = [(queue, replace(row, body=bodies[row.event])) for queue, row in rows if row.event in bodies]
        return whole, len(rows) == page.limit or len(whole) < len(rows)

    return await parts.store.read(look)


async def list_dead_letters(parts: Parts, page: Page) -> Sequence[tuple[Queue, DeadLetter]]:
    """Dead letters by number, oldest first. Raises NotFoundError."""

    def look(tx: Transaction) -> Sequence[tuple[Queue, DeadLetter]]:
        queues = {queue.number: queue for queue in _list_queues(tx, page)}
        letters = [
            letter for number in queues for letter in tx.events.list_dead(number, after=page.after, limit=page.limit)
        ]
        return [(queues[one.queue], one) for one in nsmallest(page.limit, letters, key=attrgetter("event"))]

    return await parts.store.read(look)


async def get_event(parts: Parts, caller: Caller, event: int) -> EventHistory:
    """One event, its body and its history. Raises NotFoundError; ForbiddenError for others than owner and operators."""

    def look(tx: Transaction) -> EventHistory:
        row = tx.events.get(event)
        queue = tx.queues.get(row.queue)
        workflow = tx.workflows.get(queue.workflow_id)
        require_owner(caller, workflow.owner, what=f"workflow {workflow.workflow_id}", group=workflow.owner_group)
        return EventHistory(workflow, queue, row, tx.events.list_attempts(event))

    return await parts.store.read(look)


@dataclass(frozen=True)
class AttemptLog:
    """What one attempt at an event printed.

    Args:
        number: of the attempt, as the event's history counts them, from 1.
        output: None: no more is kept of it than the ends in its error.
        kept: numbers of the attempts of which more is kept.
    """

    number: int
    row: AttemptRow
    output: AttemptOutput | None
    kept: Sequence[int]


async def get_attempt_log(parts: Parts, caller: Caller, event: int, attempt: int | None) -> AttemptLog:
    """What an attempt printed. `attempt` None: the last one of which there is anything.

    Raises NotFoundError: there is no such event or attempt, or nothing is kept of what it printed; ForbiddenError for others than owner
    and operators.
    """

    def look(tx: Transaction) -> AttemptLog:
        row = tx.events.get(event)
        workflow = tx.workflows.get(tx.queues.get(row.queue).workflow_id)
        require_owner(caller, workflow.owner, what=f"workflow {workflow.workflow_id}", group=workflow.owner_group)
        attempts = dict(enumerate(tx.events.list_attempts(event), 1))
        fences = set(tx.attempt_logs.list_fences(event))
        kept = [number for number, one in attempts.items() if one.fence in fences]
        number = attempt if attempt is not None else _find_last(attempts, kept)
        if number is None or number not in attempts:
            raise NotFoundError(_say_what_there_is(number, attempts))
        chosen = attempts[number]
        output = tx.attempt_logs.find(event, chosen.fence) if chosen.fence in fences else None
        if output is None and chosen.error is None:
            raise NotFoundError(f"attempt {number} did not fail: what it printed is not kept")
        return AttemptLog(number, chosen, output, kept)

    return await parts.store.read(look)


def _find_last(attempts: Mapping[int, AttemptRow], kept: Sequence[int]) -> int | None:
    with_error = [number for number, one in attempts.items() if one.error is not None]
    return max((*kept, *with_error), default=None)


def _say_what_there_is(number: int | None, attempts: Mapping[int, AttemptRow]) -> str:
    if number is None:
        return "no attempt at it has failed: what attempts print is kept of those that failed alone"
    there = f"it has those from 1 to {len(attempts)}" if attempts else "it has none that ended"
    return f"the event has no attempt {number}: {there}"


def _list_rows(tx: Transaction, page: Page) -> Sequence[tuple[Queue, EventRow]]:
    states = list(EventState) if page.state is None else [page.state]
    queues = {queue.number: queue for queue in _list_queues(tx, page)}
    rows = [
        row
        for number in queues
        for state in states
        for row in tx.events.list_page(number, state, after=page.after, limit=page.limit)
    ]
    return [(queues[row.queue], row) for row in nsmallest(page.limit, rows, key=attrgetter("event"))]


def _list_queues(tx: Transaction, page: Page) -> Sequence[Queue]:
    tx.workflows.get(page.workflow_id)
    if page.alias is not None:
        return [get_queue(tx, page.workflow_id, page.alias)]
    return tx.queues.list_of_workflow(page.workflow_id)
