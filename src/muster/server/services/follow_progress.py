"""How far is a workflow, and when did that change? Counts, workers and phases, with a token by which the next call waits.

Those who follow the same workflow, whether they park calls or hold streams (`stream_workflow`), share their looks.
"""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import anyio
import msgspec

from muster.domain.location import list_upstreams
from muster.domain.queue import Counts, Queue, sum_inputs
from muster.domain.stall import StallCase, explain_stall
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Workflow
from muster.server.ports.outbox import Newest
from muster.server.ports.store import Transaction
from muster.server.services.explain_room import explain_refusal
from muster.server.services.find_displaced import make_displacement_finder
from muster.server.services.lookout import Lookout
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import state_of
from muster.server.services.waiting import STOPPING

FLOOR_S = 0.2
"""Seconds between two answers to one who follows, however much happens."""
SILENT_S = 1.0
"""Seconds between two looks where counters can move without a ring: they do when events are leased or done."""
LINGER_S = 60.0
"""Seconds after the end of a workflow in which those who follow it are still told how its workers are taken away, if that takes so long."""
TAIL = 32
"""The newest notices, seen with every look: who is up to date needs no other read."""


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

    @cached_property
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


@dataclass(frozen=True)
class Sight:
    """What one look sees of a workflow, in one snapshot: what a notice tells of is never newer than the progress beside it.

    Args:
        is_cleared: no cluster of its workers is left.
        net_s: seconds to the next look where nothing can move without a ring, in case one was lost.
    """

    now: ProgressNow
    newest: Newest
    is_cleared: bool
    net_s: float

    @property
    def state(self) -> Hashable:
        return self.now.token, self.newest.cursor, self.is_over

    @property
    def is_over(self) -> bool:
        """Has it ended, and is there nothing more to tell?"""
        ended_at = self.now.workflow.ended_at
        if ended_at is None or self.newest.is_held_back:
            return False
        return (self.is_cleared and self.now.workers == 0) or self.now.at - ended_at >= LINGER_S

    @property
    def topics(self) -> Sequence[str]:
        queues = (f"queue:{queue.number}" for queue in self.now.queues)
        return [f"workflow:{self.now.workflow.workflow_id}", *queues, STOPPING]

    @property
    def pace_s(self) -> float:
        if self.newest.is_held_back:
            return FLOOR_S
        counts = self.now.counts
        has_work = any(one.in_work for one in counts.values())
        gets_work = self.now.workers > 0 and any(counts[one.number].waiting for one in self.now.queues if one.is_input)
        return SILENT_S if has_work or gets_work else self.net_s


async def follow_progress(parts: Parts, workflow_id: str, *, seen: str | None, wait_s: float) -> ProgressNow:
    """How far a workflow is, as soon as that differs from what was seen, or after `wait_s`.

    Raises NotFoundError.
    """
    deadline = anyio.current_time() + max(0.0, min(wait_s, parts.settings.park_s_max))
    with follow(parts, workflow_id) as lookout:
        if seen is not None and wait_s > 0:
            # One who follows a busy workflow gets its news in steps, not one by one: that is the floor.
            news = await lookout.next(lambda sight: sight.now.token != seen, until=deadline, is_fresh=True)
            if news is not None:
                return news.now
        return (await lookout.look()).now


def follow(parts: Parts, workflow_id: str) -> AbstractContextManager[Lookout[Sight]]:
    """Be one of those who follow a workflow. What they see raises NotFoundError where there is none."""

    async def look() -> Sight:
        return await parts.store.read(lambda tx: _look(tx, parts, workflow_id))

    return parts.lookouts.follow(
        workflow_id,
        lambda: Lookout(look, parts.waking, floor_s=FLOOR_S, is_stopping=lambda: parts.stopping.asked),
    )


def _look(tx: Transaction, parts: Parts, workflow_id: str) -> Sight:
    workflow = tx.workflows.get(workflow_id)
    queues = tx.queues.list_of_workflow(workflow_id)
    numbers = [queue.number for queue in queues]
    counts = tx.queues.counts(numbers) if numbers else {}
    case = StallCase(
        workflow=workflow,
        queues=queues,
        counts=counts,
        workers=sum(tx.holders.count_live(workflow_id).values()),
        find_taskforces=lambda: tx.taskforces.list_of_workflow(workflow_id),
        has_ready=lambda: tx.queues.has_ready(_list_inputs(queues)),
        find_next_due=lambda: tx.queues.find_next_due(_list_inputs(queues)),
        upstreams=list_upstreams(parts.locations),
        find_displacement=make_displacement_finder(tx, parts.locations),
        now=tx.now(),
        find_obstacle=lambda: explain_refusal(parts.refused, workflow),
    )
    now = ProgressNow(
        workflow=workflow,
        at=tx.now(),
        workers=case.workers,
        queues=queues,
        counts=counts,
        phases=tx.taskforces.count_phases(workflow_id),
        why=explain_stall(case),
    )
    is_cleared = not workflow.is_active and not tx.taskforces.has_clusters(workflow_id)
    newest = tx.outbox.list_newest(workflow_id, limit=TAIL)
    return Sight(now, newest, is_cleared, parts.settings.net_interval_s)


def _list_inputs(queues: Sequence[Queue]) -> Sequence[int]:
    return [queue.number for queue in queues if queue.is_input]
