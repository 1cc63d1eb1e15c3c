"""How do dead letters get another chance? Back to their queues, attempts counted from zero, in bounded transactions.

The first of them reopens a workflow that was finished (docs/decisions/0011). With a key the plan is stored before anything moves, and
each batch keeps its answer in its own transaction: a repeat of the request goes on where the first one was cut off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import msgspec

from muster.domain.caller import Caller
from muster.domain.errors import ConflictError, Finding, InvalidError, MusterError, NotFoundError
from muster.domain.event_state import EventState
from muster.domain.ids import render_event_id
from muster.domain.workflow import Workflow, WorkflowState
from muster.server.ports.store import Transaction
from muster.server.services.idempotent import RequestKey, answer_once
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow, get_queue
from muster.server.services.reopen_workflow import bring_workers
from muster.worker.crash_points import reach

BATCH_MAX = 1000
"""Events of one transaction."""
REPLAY_MAX = 100_000
"""Events of one call; `more` says that it took so many and there are others."""

T = TypeVar("T")


@dataclass(frozen=True)
class Replaying:
    """A request to replay.

    Args:
        events: None for all, the oldest `REPLAY_MAX` of them.
        queue: with all: the alias of the queue that they are to be of.
        key: None where a second request replays again.
    """

    workflow_id: str
    events: Sequence[int] | None
    queue: str | None
    key: RequestKey | None


@dataclass(frozen=True)
class ReplayAnswer:
    """Events that wait again, and how many dead letters there are now.

    Args:
        more: one call did not take all that were meant.
        reopened: the workflow was finished, and is active again.
    """

    replayed: Sequence[int]
    left: int
    more: bool
    reopened: bool


class _Batch(msgspec.Struct, frozen=True):
    """What one transaction takes: of a queue, events by name, or None for the oldest."""

    queue: int
    events: Sequence[int] | None
    limit: int


class _Plan(msgspec.Struct, frozen=True):
    batches: list[_Batch]
    more: bool


class _Moved(msgspec.Struct, frozen=True):
    """What one transaction did."""

    events: list[int]
    reopened: bool


async def replay_dead_letters(parts: Parts, caller: Caller, replaying: Replaying) -> ReplayAnswer:
    """Replay the named dead letters, or all.

    Raises:
        NotFoundError: the workflow, or its queue.
        ForbiddenError: the caller is not the owner.
        InvalidError: some named event is not one of the workflow's; nothing was replayed.
        ConflictError: the workflow was aborted, or some named event is not dead; nothing was replayed.
        IdempotencyMismatchError: the key belongs to another request.
    """
    plan = await _make_plan(parts, caller, replaying)
    moved: list[_Moved] = []
    for number, batch in enumerate(plan.batches):
        key = replaying.key and replace(replaying.key, route=f"{replaying.key.route} batch {number}")
        work = partial(_move, parts=parts, caller=caller, workflow_id=replaying.workflow_id, batch=batch)
        moved.append(await _do_once(parts, key, _Moved, work))
        reach("server.replay.committed")
    return ReplayAnswer(
        sorted(event for one in moved for event in one.events),
        await parts.store.read(lambda tx: _count_dead(tx, replaying.workflow_id)),
        plan.more,
        any(one.reopened for one in moved),
    )


async def _make_plan(parts: Parts, caller: Caller, replaying: Replaying) -> _Plan:
    """The plan stored under the key, or one made now. Made in a snapshot, for that many named events may take seconds."""
    try:
        found: _Plan | MusterError = await parts.store.read(partial(_plan, caller=caller, replaying=replaying))
    except (ConflictError, InvalidError) as error:
        found = error  # for a repeat of the request that is as it should be: the events that it names went back before

    def keep(_: Transaction) -> _Plan:
        if isinstance(found, MusterError):
            raise found
        return found

    return await _do_once(parts, replaying.key, _Plan, keep)


async def _do_once(parts: Parts, key: RequestKey | None, kind: type[T], work: Callable[[Transaction], T]) -> T:
    """Do the work in a transaction of its own, or give what it gave before under the key."""

    def do(tx: Transaction) -> T:
        answer, _ = answer_once(tx, key, status=200, work=lambda: msgspec.json.encode(work(tx)))
        return msgspec.json.decode(answer.body, type=kind)

    return await parts.store.write(do)


def _move(tx: Transaction, *, parts: Parts, caller: Caller, workflow_id: str, batch: _Batch) -> _Moved:
    workflow = _get_replayable(tx, caller, workflow_id, lock=True)
    moved = tx.events.replay(batch.queue, batch.events, limit=batch.limit)
    # None are left when another replay was faster: then there is nothing to reopen the workflow for.
    return _Moved(list(moved), bool(moved) and bring_workers(tx, parts, caller, workflow, batch.queue))


def _plan(tx: Transaction, *, caller: Caller, replaying: Replaying) -> _Plan:
    workflow_id = replaying.workflow_id
    _get_replayable(tx, caller, workflow_id, lock=False)
    batches: list[_Batch] = []
    if replaying.events is not None:
        dead = _check_named(tx, workflow_id, replaying.events)
        for queue in sorted({queue for queue, _ in dead}):
            named = sorted(event for number, event in dead if number == queue)
            cuts = [named[start : start + BATCH_MAX] for start in range(0, len(named), BATCH_MAX)]
            batches += [_Batch(queue, cut, len(cut)) for cut in cuts]
        return _Plan(batches, more=False)
    if replaying.queue is None:
        numbers = [queue.number for queue in tx.queues.list_of_workflow(workflow_id)]
    else:
        numbers = [get_queue(tx, workflow_id, replaying.queue).number]
    counts = tx.queues.counts(numbers)
    left = REPLAY_MAX
    for number in numbers:
        # As many as there are now: one that dies again while we go on is not replayed twice by the same call.
        take = min(left, counts[number].dead)
        left -= take
        batches += [_Batch(number, None, min(BATCH_MAX, take - start)) for start in range(0, take, BATCH_MAX)]
    return _Plan(batches, more=sum(one.dead for one in counts.values()) > REPLAY_MAX)


def _check_named(tx: Transaction, workflow_id: str, events: Sequence[int]) -> set[tuple[int, int]]:
    """The named events with their queues, once each."""
    known = {queue.number for queue in tx.queues.list_of_workflow(workflow_id)}
    findings: list[Finding] = []
    alive: list[str] = []
    dead: set[tuple[int, int]] = set()
    for index, event in enumerate(events):
        try:
            row = tx.events.get(event)
        except NotFoundError:
            row = None
        if row is None or row.queue not in known:
            findings.append(Finding(f"events[{index}]", f"{render_event_id(event)} is not an event of this workflow"))
        elif row.state is not EventState.DEAD:
            alive.append(f"{render_event_id(event)} is {row.state}")
        else:
            dead.add((row.queue, event))
    if findings:
        raise InvalidError(findings)
    if alive:
        raise ConflictError(f"only dead letters are replayed: {', '.join(alive[:50])}")
    return dead


def _get_replayable(tx: Transaction, caller: Caller, workflow_id: str, *, lock: bool) -> Workflow:
    """The workflow. `lock`: it ends, or finishes itself, before this transaction or after it."""
    workflow = get_owned_workflow(tx, caller, workflow_id, lock=lock)
    if workflow.state is WorkflowState.ABORTED:
        raise ConflictError(
            f"workflow {workflow_id} was aborted, and stays so: submit it again and publish there what is not done "
            f"(`muster dead-letter list {workflow_id}` prints the commands); "
            "only a workflow that is active or finished takes its dead letters back"
        )
    return workflow


def _count_dead(tx: Transaction, workflow_id: str) -> int:
    numbers = [queue.number for queue in tx.queues.list_of_workflow(workflow_id)]
    return sum(counts.dead for counts in tx.queues.counts(numbers).values())
