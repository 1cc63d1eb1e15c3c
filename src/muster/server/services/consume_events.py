"""How do people get results out of a queue? A consumer is a session on one public queue that no task reads.

Consumers outlive the workflow: what a finished one produced can be consumed afterwards. A queue that tasks read has no consumers:
an event that a person acknowledged there would never reach the task, and the account would show work that nobody did.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from muster.domain.attempt import Outcome, Verdict
from muster.domain.caller import Caller
from muster.domain.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from muster.domain.queue import Queue
from muster.server.ports.holders import Session
from muster.server.ports.queue_engine import Finished, Leased, Step, StepAnswer
from muster.server.ports.store import Transaction
from muster.server.services.park import LOOK_S, Errand
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow, get_queue, require_owner
from muster.worker.crash_points import reach

WANT_MAX = 1024


@dataclass(frozen=True)
class ConsumerId:
    """What a consumer is called. The lease is part of the name, since each call renews by it."""

    session: int
    lease_s: float


@dataclass(frozen=True)
class ConsumerCall:
    """A consumer's step. `acked`, `nacked`: (event, fence)."""

    call: int
    acked: Sequence[tuple[int, int]]
    nacked: Sequence[tuple[int, int]]
    want: int
    wait_s: float


@dataclass(frozen=True)
class ConsumerAnswer:
    """What a consumer is told.

    Args:
        verdicts: of `acked`, then of `nacked`.
        drained: nothing is left for anybody and nothing can come.
    """

    leased: Sequence[Leased]
    verdicts: Sequence[Verdict]
    drained: bool


async def open_consumer(parts: Parts, caller: Caller, workflow_id: str, alias: str, *, lease_s: float) -> ConsumerId:
    """Begin a session on a queue.

    Raises:
        NotFoundError: the workflow, or the queue.
        ForbiddenError: the caller is not the owner, or the queue is not public.
        ConflictError: a task reads the queue.
    """

    def begin(tx: Transaction) -> int:
        get_owned_workflow(tx, caller, workflow_id)
        queue = get_queue(tx, workflow_id, alias)
        if not queue.is_public:
            raise ForbiddenError(
                f"queue {alias} is not public; `muster event export` shows its events without taking them"
            )
        if queue.is_input:
            raise ConflictError(f"tasks read queue {alias}: events that a person consumed would never reach them")
        now = tx.now()
        return tx.holders.insert(
            Session(
                number=0,
                taskforce_uuid=None,
                consumer_queue=queue.number,
                owner=caller.name,
                cluster="",
                proc=0,
                start=0,
                at_once=0,
                host="",
                site="",
                begun_at=now,
                until=now + lease_s,
            )
        )

    return ConsumerId(await parts.store.write(begin), lease_s)


async def step_consumer(parts: Parts, caller: Caller, consumer: ConsumerId, asked: ConsumerCall) -> ConsumerAnswer:
    """Ack, nack and lease, at once or, with `wait_s`, as soon as there is something.

    May be cancelled at any moment (the client is gone): the repeat of the call gives the same leases again.

    Raises:
        NotFoundError: no such consumer.
        ForbiddenError: somebody else's.
        SessionEndedError: it has ended (410).
        UnavailableError: also when too many consumers wait on the queue.
    """
    queue = (await _get_consumer(parts, caller, consumer))[1]
    number = queue.number
    key = f"consumers:{number}"
    if (lot := parts.desk.find_lot(key)) is not None:
        lot.dismiss(consumer.session)
    finished = [Finished(event, fence, Outcome.DONE) for event, fence in asked.acked]
    finished += [Finished(event, fence, Outcome.RELEASED) for event, fence in asked.nacked]
    step = _make_step(consumer, number, asked, finished)
    answer = await parts.engine.step(step)
    reach("server.step.committed")
    leased = answer.leased
    if asked.want > 0 and asked.wait_s > 0 and not leased:
        leased = await _await_events(parts, key, number, _make_step(consumer, number, asked, ()), wait_s=asked.wait_s)
    drained = not leased and await is_drained(parts, number)
    return ConsumerAnswer(leased, answer.verdicts, drained)


async def close_consumer(parts: Parts, caller: Caller, consumer: ConsumerId) -> None:
    """End a consumer: what it holds goes back uncounted. Once is as good as twice. Raises NotFoundError, ForbiddenError."""
    session, _ = await _get_consumer(parts, caller, consumer)
    await parts.store.write(lambda tx: tx.holders.end([session.number], reason="closed"))


async def is_drained(parts: Parts, number: int) -> bool:
    """Can the queue get no more events, and has it none left for anybody?

    None left: nothing waits and nothing is in work. No more: the workflow is over and none of its workers lives; or every queue
    that feeds this one, through any number of tasks, is drained, and those that people publish into are closed.
    """
    return await parts.store.read(lambda tx: _is_drained(tx, tx.queues.get(number)))


async def _await_events(parts: Parts, key: str, number: int, step: Step, *, wait_s: float) -> Sequence[Leased]:
    async def take() -> StepAnswer:
        return await parts.engine.lease_more(step)

    looked_at = float("-inf")

    async def is_over() -> bool:
        nonlocal looked_at
        if parts.stopping.asked:
            return True
        if anyio.current_time() - looked_at < LOOK_S:
            return False  # each event that comes rings; the queues before this one are not counted each time
        looked_at = anyio.current_time()
        return await is_drained(parts, number)

    lot = parts.desk.get_lot(
        key, parts.waking, queues=(number,), topics=("stopping",), net_s=parts.settings.net_interval_s
    )
    if len(lot) >= parts.settings.park_max:
        raise UnavailableError("too many consumers wait on this queue; ask again later")
    answer = await lot.wait(Errand(step.holder, take, is_over), timeout_s=min(wait_s, parts.settings.park_s_max))
    if answer is None:
        return ()
    reach("server.step.committed")
    return answer.leased


async def _get_consumer(parts: Parts, caller: Caller, consumer: ConsumerId) -> tuple[Session, Queue]:
    def look(tx: Transaction) -> tuple[Session, Queue]:
        session = tx.holders.get(consumer.session)
        if session.consumer_queue is None:
            raise NotFoundError("no such consumer")
        return session, tx.queues.get(session.consumer_queue)

    known = parts.desk.consumers.find(consumer.session)
    session, queue = known or parts.desk.consumers.keep(consumer.session, await parts.store.read(look))
    require_owner(caller, session.owner, what="this consumer")
    return session, queue


def _make_step(consumer: ConsumerId, queue: int, asked: ConsumerCall, finished: Sequence[Finished]) -> Step:
    return Step(
        holder=consumer.session,
        call=asked.call,
        queues=(queue,),
        outputs=(),
        finished=finished,
        want=min(asked.want, WANT_MAX),
        lease_s=consumer.lease_s,
    )


def _is_drained(tx: Transaction, queue: Queue) -> bool:
    queues = {one.queue_id: one for one in tx.queues.list_of_workflow(queue.workflow_id)}
    feeding = _list_feeding(tx, queue, queues)
    counts = tx.queues.counts([queue.number, *(one.number for one in feeding)])
    if not counts[queue.number].is_drained:
        return False
    if all(counts[one.number].is_drained and (one.closed_at is not None or not one.is_public) for one in feeding):
        return bool(feeding) or queue.closed_at is not None
    if tx.workflows.get(queue.workflow_id).is_active:
        return False
    return not tx.holders.count_live(queue.workflow_id)


def _list_feeding(tx: Transaction, queue: Queue, queues: dict[str, Queue]) -> list[Queue]:
    """Every queue from which events can reach this one, through any number of tasks."""
    directives = tx.workflows.list_directives(queue.workflow_id)
    reached = {queue.queue_id}
    feeding: dict[str, Queue] = {}
    frontier = [queue.queue_id]
    while frontier:  # each queue enters once
        target = frontier.pop()
        sources = {
            one for directive in directives if target in directive.output_queues for one in directive.input_queues
        }
        for source in sorted(sources):
            feeding[source] = queues[source]
            if source not in reached:
                reached.add(source)
                frontier.append(source)
    return list(feeding.values())
