"""How do many short works share transactions on PostgreSQL? What waits when a commit of its line ends goes into the next one, at once.

Each alone would begin, wait for the rows that all of them lock, and have the disk sync: three ways to the server and a flush each, one
after the other. Works of different lines never wait for each other.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from muster.domain.errors import UnavailableError

W = TypeVar("W")

WORKS_MAX = 16
"""Works of one transaction, at most: the first one waits for the last."""


@dataclass(frozen=True)
class Raised:
    """What a work raised that changed nothing: its caller's alone."""

    error: Exception


@dataclass(slots=True)
class _Call(Generic[W]):
    work: W
    future: "asyncio.Future[Any]"


class Together(Generic[W]):
    """Lines of works, each served by a task of its own while something waits; of one event loop.

    Args:
        commit: carries out some works in one transaction. Gives what each returned or raised, in their order.
    """

    def __init__(self, commit: Callable[[Sequence[W]], Awaitable[Sequence[object]]]) -> None:
        self._commit = commit
        self._lines: dict[str, deque[_Call[W]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps none alive

    async def carry_out(self, line: str, work: W) -> Any:
        """What the work returned, once that is committed. Raises what it raised, and what `commit` did. Not to be cancelled."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = _Call(work, future)
        if line in self._lines:
            self._lines[line].append(call)
        else:
            self._lines[line] = deque([call])
            # It begins in the loop's next turn, so that what comes in this one goes together.
            task = asyncio.create_task(self._serve(line), name=f"together-{line}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _serve(self, line: str) -> None:
        waiting = self._lines[line]
        try:
            while waiting:
                group = [waiting.popleft() for _ in range(min(WORKS_MAX, len(waiting)))]
                try:
                    await self._settle(group)
                except BaseException:
                    # Whatever it is: a caller that is not told waits for ever.
                    _fail([*group, *waiting], UnavailableError("the call to the database was broken off"))
                    raise
        finally:
            del self._lines[line]

    async def _settle(self, group: Sequence[_Call[W]]) -> None:
        try:
            outcomes = await self._commit([call.work for call in group])
        except Exception as error:  # noqa: BLE001 - its callers get it
            _fail(group, error)
            return
        for call, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Raised):
                call.future.set_exception(outcome.error)
            else:
                call.future.set_result(outcome)


def _fail(group: Sequence[_Call[Any]], error: Exception) -> None:
    for call in group:
        if not call.future.done():
            # Each its own: an exception raised by several callers at once mixes up their tracebacks.
            again = (
                UnavailableError(str(error))
                if isinstance(error, UnavailableError)
                else RuntimeError("the transaction failed")
            )
            again.__cause__ = error
            call.future.set_exception(again)
