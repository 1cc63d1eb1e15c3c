"""What does one service process remember of tasks, taskforces and parked calls? Nothing that the database does not know better.

Everything here may be lost at any moment and is bounded: plans of tasks (immutable), which taskforces are to stop (looked at again
after a second, and at once when the bell rings), who is parked, who was told to come back.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import anyio

from muster.domain.brake import BrakeRule, Watch
from muster.domain.errors import NotFoundError
from muster.domain.queue import Queue
from muster.domain.recent import Recent
from muster.domain.taskforce_phase import ENDING
from muster.domain.workflow import WorkflowState
from muster.server.ports.holders import Session
from muster.server.ports.store import Store, Transaction
from muster.server.ports.waking import Bell, Waking
from muster.server.services.park import Lot

KEPT_MAX = 4096
WATCHED_MAX = 1 << 15
STATE_S_MAX = 1.0
"""Seconds after which the state of a workflow is looked at again although no bell rang."""
IDLE_A_SECOND = 500
"""Idle workers told to come back that one service answers in a second: more of them wait longer."""
COME_BACK_S_MAX = 120.0


@dataclass(frozen=True)
class TaskPlan:
    """How the workers of a taskforce are served.

    Args:
        inputs, outputs: numbers of the queues. input_names, output_names: their aliases.
        lease_s: how long their sessions live between renewals.
        slots: events at once of each.
        finishes_itself: its workflow waits for its queues to be drained.
        brake_rule: when its failures stop the workflow.
        revision: of the task.
    """

    workflow_id: str
    task_id: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    lease_s: float
    slots: int
    finishes_itself: bool
    brake_rule: BrakeRule
    revision: int

    @property
    def queue_names(self) -> Mapping[int, str]:
        """The aliases of the inputs, where there are several: else a worker knows where its events come from."""
        return dict(zip(self.inputs, self.input_names, strict=True)) if len(self.inputs) > 1 else {}

    def inputs_of_call(self, call: int) -> tuple[int, ...]:
        """The queues to lease from, each in front in its turn, so that none starves; the same for a repeat of the call."""
        start = call % len(self.inputs)
        return self.inputs[start:] + self.inputs[:start]


@dataclass(frozen=True)
class Word:
    """What the workers of a taskforce are to be told.

    Args:
        stop: how it was ended; None while it may work.
        lets_go: they are to go once they have nothing in hand.
        is_braked: no event is to be begun.
    """

    stop: WorkflowState | None = None
    lets_go: bool = False
    is_braked: bool = False

    @property
    def is_free(self) -> bool:
        """May its workers take events?"""
        return self == _FREE


_FREE = Word()


@dataclass
class _Watched:
    """A taskforce whose workers ask. Its end is for ever, so it is not looked at again; its workflow's is not (decision 0011)."""

    bell: Bell
    listening: AbstractContextManager[Bell]
    word: Word = _FREE
    looked_at: float | None = None


@dataclass
class _Idle:
    """Workers of a task that were told to come back, by when they will."""

    due: deque[float] = field(default_factory=deque)


class WorkerDesk:
    """The memory of one service process."""

    def __init__(self, *, clock: Callable[[], float] = time.time, jitter: Callable[[], float] = random.random) -> None:
        """`clock` gives seconds since the epoch, `jitter` a number in [0, 1)."""
        self.clock = clock
        self.plans: Recent[str, TaskPlan] = Recent(size=KEPT_MAX)
        self.consumers: Recent[int, tuple[Session, Queue]] = Recent(size=KEPT_MAX)
        self._watches: Recent[tuple[str, int], Watch] = Recent(size=KEPT_MAX)
        self._jitter = jitter
        self._lots: dict[str, Lot] = {}
        self._idle: Recent[str, _Idle] = Recent(size=KEPT_MAX)
        self._watched: Recent[str, _Watched] = Recent(size=WATCHED_MAX, drop=_unlisten)

    def get_watch(self, plan: TaskPlan) -> Watch:
        """The last attempts of a task, by this revision of it, that were handed in here."""
        key = plan.task_id, plan.revision
        return self._watches.find(key) or self._watches.keep(key, Watch(plan.brake_rule))

    def find_lot(self, key: str) -> Lot | None:
        """Those parked under a key."""
        return self._lots.get(key)

    def get_lot(self, key: str, waking: Waking, *, queues: Sequence[int], topics: Sequence[str], net_s: float) -> Lot:
        """Where to park for these queues. Lots with nobody in them are forgotten."""
        if (lot := self._lots.get(key)) is None:
            self._lots = {one: kept for one, kept in self._lots.items() if len(kept)}
            lot = self._lots[key] = Lot(waking, queues=queues, topics=topics, net_s=net_s)
        return lot

    def spread(self, wait_s: float) -> float:
        """Up to a third longer: those who wait for the same shall not come at once."""
        return wait_s * (1.0 + 0.3 * self._jitter())

    def next_come_back_s(self, key: str, *, parked: int) -> float:
        """When one more idle worker of a task shall ask again: later the more there are, spread by 30 % either way."""
        now = anyio.current_time()
        idle = self._idle.find(key) or self._idle.keep(key, _Idle())
        while idle.due and idle.due[0] <= now:
            idle.due.popleft()
        wait_s = min(COME_BACK_S_MAX, max(1.0, (parked + len(idle.due)) / IDLE_A_SECOND)) * (0.7 + 0.6 * self._jitter())
        idle.due.append(now + wait_s)
        if len(idle.due) > 100_000:
            idle.due.popleft()
        return wait_s

    async def find_word(self, taskforce_uuid: str, workflow_id: str, store: Store, waking: Waking) -> Word:
        """What to tell a taskforce's workers. True to within a second, or to the ring of its workflow's bell.

        Raises NotFoundError, UnavailableError.
        """
        watched = self._watched.find(taskforce_uuid)
        if watched is None:
            listening = waking.listen(f"workflow:{workflow_id}")
            watched = self._watched.keep(taskforce_uuid, _Watched(listening.__enter__(), listening))
        if watched.word.stop is not None:
            return watched.word
        now = anyio.current_time()
        if watched.looked_at is not None and now - watched.looked_at >= STATE_S_MAX:
            # In the same breath at all others whose turn comes soon: few reads a second, however many there are.
            await self._look(self._list_stale(now + STATE_S_MAX / 2), taskforce_uuid, store, now)
        elif watched.looked_at is None or await watched.bell.wait(0):
            await self._look({taskforce_uuid: watched}, taskforce_uuid, store, now)
        return watched.word

    def _list_stale(self, by: float) -> dict[str, _Watched]:
        return {
            uuid: one
            for uuid, one in self._watched.items()
            if one.word.stop is None and one.looked_at is not None and by - one.looked_at >= STATE_S_MAX
        }

    async def _look(self, due: Mapping[str, _Watched], asked: str, store: Store, now: float) -> None:
        # Marked before the look, so that calls that come meanwhile do not look as well.
        before = {uuid: one.looked_at for uuid, one in due.items()}
        for one in due.values():
            one.looked_at = now
        try:
            words = await store.read(lambda tx: _find_words(tx, list(due)))
        except BaseException:
            for uuid, one in due.items():
                one.looked_at = before[uuid]
            raise
        for uuid, one in due.items():
            one.word = words.get(uuid, _FREE)
        if asked not in words:
            raise NotFoundError(f"no taskforce found with uuid: {asked}")


def _find_words(tx: Transaction, taskforce_uuids: Sequence[str]) -> Mapping[str, Word]:
    """What to tell the workers of each of the taskforces that exist."""
    words: dict[str, Word] = {}
    states = tx.taskforces.find_states(taskforce_uuids)
    braked = tx.workflows.find_braked({one.workflow_id for one in states.values()})
    for uuid, taskforce in states.items():
        stop = None
        if taskforce.phase in ENDING:
            # Of a workflow that was reopened the former taskforces go on ending as they began: an aborted one is never reopened.
            workflow = tx.workflows.get(taskforce.workflow_id)
            stop = WorkflowState.FINISHED if workflow.is_active else workflow.state
        words[uuid] = Word(stop, taskforce.let_go_at is not None, taskforce.workflow_id in braked)
    return words


def _unlisten(watched: _Watched) -> None:
    watched.listening.__exit__(None, None, None)
