"""What does it take to put events into a queue, and to say that these were the last?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.errors import ConflictError
from muster.domain.outbox import Notice
from muster.domain.queue import Counts, Queue
from muster.server.ports.events import NewEvent, Published
from muster.server.ports.store import StoredAnswer, Transaction
from muster.server.services.idempotent import RequestKey, answer_once
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow, get_queue, require_public_input
from muster.server.services.refer_files import has_files, refer_events
from muster.worker.crash_points import reach

SMALL_BYTES = 1 << 16
"""Requests of this size may be published with others of the same caller into the same workflow; larger ones keep nobody waiting."""


@dataclass(frozen=True)
class Publication:
    """Events for a queue, in their order. `close`: they are the last ones."""

    workflow_id: str
    alias: str
    events: Sequence[NewEvent]
    close: bool = False


@dataclass(frozen=True)
class PublicationAnswer:
    """What became of each event, in their order. `closed`: the queue takes no more."""

    published: Sequence[Published]
    closed: bool


async def publish_once(
    parts: Parts,
    caller: Caller,
    publication: Publication,
    *,
    key: RequestKey | None,
    size_bytes: int,
    render: Callable[[PublicationAnswer], bytes],
) -> StoredAnswer:
    """Publish, or give the answer that the same request was given before.

    Args:
        key: None: a second request publishes a second time.
        size_bytes: of the request.
        render: the answer that is kept with the key.

    Raises as `publish`; IdempotencyMismatchError: the key belongs to another request.
    """

    def work(tx: Transaction) -> tuple[StoredAnswer, int]:
        new = 0

        def do() -> bytes:
            nonlocal new
            done = publish(tx, caller, publication)
            new = sum(one.is_new for one in done.published)
            return render(done)

        return answer_once(tx, key, status=200, work=do)[0], new

    is_small = size_bytes <= SMALL_BYTES and not has_files([one.body for one in publication.events])
    group = f"publish {publication.workflow_id} {caller.name}" if is_small else None
    answer, new = await parts.store.write(work, group=group)
    reach("server.publish.committed")
    parts.measures.published["people"] += new
    return answer


def publish(tx: Transaction, caller: Caller, publication: Publication) -> PublicationAnswer:
    """Publish in one transaction: every event or none.

    Raises:
        NotFoundError: the workflow, or the queue.
        ForbiddenError: the caller is not the owner, or the queue is not public.
        ConflictError: the workflow is over, the queue is closed, or no task reads it.
        InvalidError: an event names a file that is not there.
    """
    # Locked: a workflow that finishes itself, or a queue that is closed, does so before these events or after.
    workflow = get_owned_workflow(tx, caller, publication.workflow_id, lock=True)
    queue = get_queue(tx, publication.workflow_id, publication.alias)
    require_public_input(queue)
    if queue.closed_at is not None and not publication.events and publication.close:
        return PublicationAnswer((), closed=True)  # closing again changes nothing
    if not workflow.is_active:
        raise ConflictError(f"workflow {workflow.workflow_id} is over ({workflow.state}): it takes no more events")
    if queue.closed_at is not None:
        raise ConflictError(f"queue {queue.alias} is closed: it takes no more events")
    events = refer_events(tx, publication.workflow_id, publication.events)
    published = tx.events.publish(queue.number, events) if events else ()
    if publication.close:
        mark_closed(tx, queue)
    return PublicationAnswer(published, closed=publication.close)


async def close_queue(parts: Parts, caller: Caller, workflow_id: str, alias: str) -> tuple[Queue, Counts]:
    """Say that all events of a queue are in. Closing a closed one changes nothing.

    Raises NotFoundError, ForbiddenError, ConflictError as `publish`; a workflow that is over may be closed.
    """

    def close(tx: Transaction) -> tuple[Queue, Counts]:
        get_owned_workflow(tx, caller, workflow_id, lock=True)
        queue = get_queue(tx, workflow_id, alias)
        require_public_input(queue)
        if queue.closed_at is None:
            mark_closed(tx, queue)
        return get_queue(tx, workflow_id, alias), tx.queues.counts([queue.number])[queue.number]

    return await parts.store.write(close)


def mark_closed(tx: Transaction, queue: Queue) -> None:
    """Close a queue of a workflow that is locked, and tell the world."""
    tx.queues.close(queue.number, at=tx.now())
    tx.outbox.insert(Notice(queue.workflow_id, "queue.closed", tx.now(), {"queue": queue.alias}))
    tx.wake("drain")  # it may have been drained before
    tx.wake(f"workflow:{queue.workflow_id}")
