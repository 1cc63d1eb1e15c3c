"""How far is a workflow, and when did that change? Counts, workers and phases, with a token by which the next call waits."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio
import msgspec

from muster.domain.location import list_upstreams
from muster.domain.queue import Counts, Queue, sum_inputs
from muster.domain.stall import explain_stall
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Workflow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import state_of
from muster.server.services.waiting import STOPPING

FLOOR_S = 0.2
"""Seconds between two answers to one who follows, however much happens."""


@dataclass(frozen=True)
class ProgressNow:
    """How far a workflow is. `why`: one sentence when nothing can move.

    Args:
        at: seconds since the epoch.
        workers: live sessions.
    """

    workflow: Workflow
    at: float
    workers: int
    queues: Sequence[Queue]
    counts: Mapping[int, Counts]
    phases: Mapping[Phase, int]
    why: str | None

    @property
    def total(self) -> Counts:
        """The sum over the queues that tasks read."""
        return sum_inputs(self.queues, self.counts)

    @property
    def failures(self) -> int:
        """Attempts that failed, consumers' too."""
        return sum(one.failed for one in self.counts.values())

    @property
    def token(self) -> str:
        """The same as long as nothing changed; means nothing to anybody else."""
        state = [
            state_of(self.workflow),
            self.workers,
            [(queue.number, queue.closed_at, self.counts[queue.number]) for queue in self.queues],
            sorted(self.phases.items()),
            self.why,
        ]
        return hashlib.blake2b(msgspec.json.encode(state), digest_size=12).hexdigest()


async def follow_progress(parts: Parts, workflow_id: str, *, seen: str | None, wait_s: float) -> ProgressNow:
    """How far a workflow is, as soon as that differs from what was seen, or after `wait_s`.

    Raises NotFoundError.
    """
    begun = anyio.current_time()
    deadline = begun + max(0.0, min(wait_s, parts.settings.park_s_max))
    now = await _look(parts, workflow_id)
    if seen is None or deadline <= begun:
        return now
    topics = [f"workflow:{workflow_id}", *(f"queue:{queue.number}" for queue in now.queues), STOPPING]
    with parts.waking.listen(*topics) as bell:
        while not parts.stopping.asked:
            # One who follows a busy workflow gets its news in steps, not one by one: that is the floor.
            await anyio.sleep(max(0.0, min(FLOOR_S, deadline - anyio.current_time())))
            now = await _look(parts, workflow_id)
            left_s = deadline - anyio.current_time()
            if now.token != seen or left_s <= 0:
                break
            # Counters move without a ring when events are leased or done, so there is a look every second.
            await bell.wait(min(left_s, 1.0))
    return now


async def _look(parts: Parts, workflow_id: str) -> ProgressNow:
    def look(tx: Transaction) -> ProgressNow:
        workflow = tx.workflows.get(workflow_id)
        queues = tx.queues.list_of_workflow(workflow_id)
        numbers = [queue.number for queue in queues]
        counts = tx.queues.counts(numbers) if numbers else {}
        workers = sum(tx.holders.count_live(workflow_id).values())
        return ProgressNow(
            workflow=workflow,
            at=tx.now(),
            workers=workers,
            queues=queues,
            counts=counts,
            phases=tx.taskforces.count_phases(workflow_id),
            why=explain_stall(
                workflow,
                queues,
                counts,
                workers,
                has_ready=lambda: tx.queues.has_ready(_list_inputs(queues)),
                find_next_due=lambda: tx.queues.find_next_due(_list_inputs(queues)),
                list_taskforces=lambda: tx.taskforces.list_of_workflow(workflow_id),
                upstreams=list_upstreams(parts.locations),
            ),
        )

    return await parts.store.read(look)


def _list_inputs(queues: Sequence[Queue]) -> Sequence[int]:
    return [queue.number for queue in queues if queue.is_input]
