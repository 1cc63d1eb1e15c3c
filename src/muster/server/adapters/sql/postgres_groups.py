"""How do many short works share transactions on PostgreSQL? By group commit: what waits when the last commit of its group ends goes into
the next one, at once.

Each alone would begin, wait for the rows that all of them lock, and have the disk sync: three ways to the server and a flush each, one
after the other. No work waits for one of another group.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.faults import again

W = TypeVar("W")

WORKS_MAX = 16
"""Works of one transaction, at most: the first one waits for the last."""
WAITING_MAX = 5000
"""Works that may wait; more are refused, for the database does not keep up."""


@dataclass(slots=True)
class _Call(Generic[W]):
    work: W
    future: "asyncio.Future[Any]"


class GroupCommitter(Generic[W]):
    """Works by the names of their groups, each group served by a task of its own while something waits; of one event loop.

    Args:
        commit: carries out some works in one transaction. Gives what became of each, in their order; an exception in an answer's place
            is raised to that caller alone.
    """

    def __init__(self, commit: Callable[[Sequence[W]], Awaitable[Sequence[object]]]) -> None:
        self._commit = commit
        self._groups: dict[str, deque[_Call[W]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps none alive

    @property
    def waiting(self) -> int:
        """Works that wait for the next commit of their group."""
        return sum(map(len, self._groups.values()))

    async def carry_out(self, group: str, work: W) -> Any:
        """What the work returned, once that is committed. Raises what it raised, and what `commit` did. Not to be cancelled, so that the
        task has ended when its last caller has.
        """
        if self.waiting >= WAITING_MAX:
            raise UnavailableError("too many calls wait for the database")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = _Call(work, future)
        if group in self._groups:
            self._groups[group].append(call)
        else:
            self._groups[group] = deque([call])
            # It begins in the loop's next turn, so that what comes in this one goes together.
            task = asyncio.create_task(self._serve(group), name=f"group-{group}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _serve(self, group: str) -> None:
        waiting = self._groups[group]
        calls: list[_Call[W]] = []
        try:
            while waiting:
                calls = [waiting.popleft() for _ in range(min(WORKS_MAX, len(waiting)))]
                await self._settle(calls)
        except BaseException:
            # Whatever it is: a caller that is not told waits for ever.
            _fail([*calls, *waiting], UnavailableError("the call to the database was broken off"))
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
            if call.future.done():  # its caller was ended by force
                continue
            if isinstance(outcome, Exception):
                call.future.set_exception(outcome)
            else:
                call.future.set_result(outcome)


def _fail(calls: Sequence[_Call[Any]], error: Exception) -> None:
    for call in calls:
        if not call.future.done():
            call.future.set_exception(again(error))
