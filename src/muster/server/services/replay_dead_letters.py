"""How do dead letters get another chance? Back to their queues, attempts counted from zero, in bounded transactions."""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.caller import Caller
from muster.domain.errors import ConflictError, Finding, InvalidError, NotFoundError
from muster.domain.event_state import EventState
from muster.domain.ids import render_event_id
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow

BATCH_MAX = 1000
"""Events of one transaction."""
REPLAY_MAX = 100_000
"""Events of one call; `left` says how many remain."""


@dataclass(frozen=True)
class ReplayAnswer:
    """Events that wait again, and how many dead letters remain."""

    replayed: Sequence[int]
    left: int


async def replay_dead_letters(
    parts: Parts, caller: Caller, workflow_id: str, events: Sequence[int] | None
) -> ReplayAnswer:
    """Replay the named dead letters, or all (None; the oldest `REPLAY_MAX`).

    Raises:
        NotFoundError: the workflow.
        ForbiddenError: the caller is not the owner.
        InvalidError: some named event is not one of the workflow's; nothing was replayed.
        ConflictError: the workflow is over, or some named event is not dead; nothing was replayed.
    """
    plan = await parts.store.read(lambda tx: _plan(tx, caller, workflow_id, events))
    replayed: list[int] = []
    for queue, named, limit in plan:

        def replay(
            tx: Transaction, queue: int = queue, named: Sequence[int] | None = named, limit: int = limit
        ) -> Sequence[int]:
            _check_active(tx, caller, workflow_id, lock=True)
            return tx.events.replay(queue, named, limit=limit)

        replayed.extend(await parts.store.write(replay))
    return ReplayAnswer(sorted(replayed), await parts.store.read(lambda tx: _count_dead(tx, workflow_id)))


def _plan(
    tx: Transaction, caller: Caller, workflow_id: str, events: Sequence[int] | None
) -> list[tuple[int, Sequence[int] | None, int]]:
    """The batches: queue, events by name or None for the oldest, how many."""
    _check_active(tx, caller, workflow_id, lock=False)
    if events is not None:
        dead = _check_named(tx, workflow_id, events)
        batches: list[tuple[int, Sequence[int] | None, int]] = []
        for queue in sorted({queue for queue, _ in dead}):
            named = sorted(event for number, event in dead if number == queue)
            cuts = [named[start : start + BATCH_MAX] for start in range(0, len(named), BATCH_MAX)]
            batches += [(queue, cut, len(cut)) for cut in cuts]
        return batches
    numbers = [queue.number for queue in tx.queues.list_of_workflow(workflow_id)]
    counts = tx.queues.counts(numbers)
    batches = []
    left = REPLAY_MAX
    for number in numbers:
        # As many as there are now: one that dies again while we go on is not replayed twice by the same call.
        take = min(left, counts[number].dead)
        left -= take
        batches += [(number, None, min(BATCH_MAX, take - start)) for start in range(0, take, BATCH_MAX)]
    return batches


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


def _check_active(tx: Transaction, caller: Caller, workflow_id: str, *, lock: bool) -> None:
    workflow = get_owned_workflow(tx, caller, workflow_id, lock=lock)
    if workflow.deactivated is not None:
        raise ConflictError(
            f"workflow {workflow_id} is over ({workflow.deactivated}), so nobody would work on the events: submit it again "
            "and publish their bodies there (`muster event show` has them); without finish_when_done a workflow stays "
            "active, and its dead letters can be replayed until you finish it"
        )


def _count_dead(tx: Transaction, workflow_id: str) -> int:
    numbers = [queue.number for queue in tx.queues.list_of_workflow(workflow_id)]
    return sum(counts.dead for counts in tx.queues.counts(numbers).values())
