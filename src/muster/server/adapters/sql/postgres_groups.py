"""How do many short works share transactions on PostgreSQL? By group commit: what waits when the last commit of its group ends goes into
the next one, at once.

Each alone would begin, wait for the rows that all of them lock, and have the disk sync: three ways to the server and a flush each, one
after the other. No work waits for one of another group.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.faults import again
from muster.server.adapters.sql.rows import AloneError

W = TypeVar("W")

WORKS_MAX = 16
"""Works of one transaction, at most: the first one waits for the last."""
WAITING_MAX = 5000
"""Works that may wait; more are refused, for the database does not keep up."""
WAIT_S_MAX = 10.0
"""Seconds after which a work that has not begun is given up: whoever sent it may have gone, and sent it again."""

BROKEN_OFF = "the call to the database was broken off"
TOO_LONG = "the database does not answer: those before it take too long"


@dataclass(slots=True, eq=False)
class _Call(Generic[W]):
    work: W
    future: "asyncio.Future[Any]"


class GroupCommitter(Generic[W]):
    """Works by the names of their groups, each group served by a task of its own while something waits; of one event loop.

    Args:
        commit: carries out some works in one transaction. Gives what became of each, in their order; an exception in an answer's place
            is raised to that caller alone, but an `AloneError` sends the work its own way.
        do_alone: carries out one work. The next ones of its group do not wait for it.
    """

    def __init__(
        self, commit: Callable[[Sequence[W]], Awaitable[Sequence[object]]], do_alone: Callable[[W], Awaitable[object]]
    ) -> None:
        self._commit = commit
        self._do_alone = do_alone
        self._lonely = 0
        self._groups: dict[str, deque[_Call[W]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps none alive

    @property
    def waiting(self) -> int:
        """Works that wait for the next commit of their group, or were sent their own way."""
        return sum(map(len, self._groups.values())) + self._lonely

    async def carry_out(self, group: str, work: W) -> Any:
        """What the work returned, once that is committed. Raises what it raised, and what `commit` did. Not to be cancelled, so that the
        task has ended when its last caller has.
        """
        if self.waiting >= WAITING_MAX:
            raise UnavailableError("too many calls wait for the database")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        call = _Call(work, future)
        if group in self._groups:
            self._groups[group].append(call)
        else:
            self._groups[group] = deque([call])
            # It begins in the loop's next turn, so that what comes in this one goes together.
            self._start(self._serve(group))
        clock = loop.call_later(WAIT_S_MAX, self._give_up, group, call)
        try:
            return await future
        finally:
            clock.cancel()

    def _start(self, serving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(serving, name="group commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _give_up(self, group: str, call: _Call[W]) -> None:
        waiting = self._groups.get(group)
        if waiting is not None and call in waiting:  # else it has begun
            waiting.remove(call)
            _tell(call, UnavailableError(TOO_LONG))

    async def _serve(self, group: str) -> None:
        waiting = self._groups[group]
        calls: list[_Call[W]] = []
        try:
            while waiting:
                calls = [waiting.popleft() for _ in range(min(WORKS_MAX, len(waiting)))]
                await self._settle(calls)
        except BaseException:
            # Whatever it is: a caller that is not told waits for ever.
            _fail([*calls, *waiting], UnavailableError(BROKEN_OFF))
            raise
        finally:
            del self._groups[group]

    async def _settle(self, calls: Sequence[_Call[W]]) -> None:
        try:
            outcomes = await self._commit([call.work for call in calls])
        except Exception as error:  # noqa: BLE001 - its callers get it
            _fail(calls, error)
            return
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, AloneError):
                self._start(self._settle_alone(call))
            else:
                _tell(call, outcome)

    async def _settle_alone(self, call: _Call[W]) -> None:
        self._lonely += 1
        try:
            outcome = await self._do_alone(call.work)
        except Exception as error:  # noqa: BLE001 - its caller gets it
            _tell(call, error)
        except BaseException:
            _fail([call], UnavailableError(BROKEN_OFF))
            raise
        else:
            _tell(call, outcome)
        finally:
            self._lonely -= 1


def _tell(call: _Call[Any], outcome: object) -> None:
    if call.future.done():  # its caller was ended by force
        return
    if isinstance(outcome, Exception):
        call.future.set_exception(outcome)
    else:
        call.future.set_result(outcome)


def _fail(calls: Sequence[_Call[Any]], error: Exception) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(again(error))
