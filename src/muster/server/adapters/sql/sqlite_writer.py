"""How do many callers share SQLite's one writer? A thread of its own, and group commit.

What waits when a commit ends goes into the next transaction, at once: never a window in which to wait for more. The
first call after a pause is taken at the end of the loop's turn, so that what arrived together goes together. The event
loop and the thread meet once a transaction, not once a statement, and the loop stays live while the disk syncs.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.faults import again, make_unavailable

T = TypeVar("T")

WORKS_MAX = 64
"""Works of one transaction, at most."""


@dataclass(slots=True)
class _Call:
    """A work and who waits for it; `value` or `error` is what came of it."""

    work: Callable[[sqlite3.Connection], object]
    future: "asyncio.Future[Any]"
    value: object = None
    error: BaseException | None = None


class SqliteWriter:
    """The one connection that writes to a SQLite database; an async context manager, of one event loop.

    Args:
        open_connection: opens a connection with `isolation_level=None`; it is called in the writer's thread, again after
            a connection could not be brought back into order.
    """

    def __init__(self, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._open_connection = open_connection
        self._connection: sqlite3.Connection | None = None  # the thread's, as is every use of it
        self._groups: SimpleQueue[list[_Call] | None] = SimpleQueue()
        self._waiting: deque[_Call] = deque()  # the loop's, as is everything below
        self._is_open = False
        self._is_busy = False  # a group is with the thread, or about to be
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Future[None]
        self._thread: threading.Thread

    async def __aenter__(self) -> Self:
        """Raises UnavailableError if the database cannot be opened."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._serve, args=(opened,), name="sqlite-writer", daemon=True)
        self._thread.start()
        with anyio.CancelScope(shield=True):
            try:
                await opened
            except BaseException:
                await self._ended
                raise
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Carry out what was accepted, then close the connection. Later calls are refused."""
        self._is_open = False
        with anyio.CancelScope(shield=True):
            if not self._is_busy:
                self._groups.put(None)
            await self._ended
            self._thread.join()  # it has said its last word: this waits for no work

    @property
    def is_busy(self) -> bool:
        """Is a transaction under way?"""
        return self._is_busy

    @property
    def waiting(self) -> int:
        """Works that wait for the next one."""
        return len(self._waiting)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer's thread, inside a transaction that other works may share, and return what it returned
        once that is committed.

        `work` neither commits nor rolls back. What it raises undoes what it did, and nothing else, and is raised here.
        A caller that is cancelled while its work waits is left out; later its work is done all the same.
        Raises UnavailableError when the database is full, locked or broken: nothing of the transaction was kept, unless it was
        the commit itself that failed, after which what is kept is unknown.
        """
        if not self._is_open:
            raise UnavailableError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(_Call(work, future))
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._hand_over)
        return await future

    # -- in the event loop -----------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give the thread the next group, or, when the writer was closed and nothing is left, the word to end."""
        group: list[_Call] = []
        while self._waiting and len(group) < WORKS_MAX:
            call = self._waiting.popleft()
            if not call.future.done():  # else its caller was cancelled
                group.append(call)
        self._is_busy = bool(group)
        if group:
            self._groups.put(group)
        elif not self._is_open:
            self._groups.put(None)

    def _deliver(self, group: list[_Call]) -> None:
        self._hand_over()  # first: the thread need not wait for the callers
        for call in group:
            if call.future.done():
                continue
            if call.error is None:
                call.future.set_result(call.value)
            else:
                call.future.set_exception(call.error)

    # -- in the thread ---------------------------------------------------------------------------------------------------

    def _serve(self, opened: "asyncio.Future[None]") -> None:
        try:
            self._connection = self._open_connection()
        except Exception as error:  # noqa: BLE001 - whoever enters gets it
            self._tell(_set_exception, opened, _as_ours(error))
        else:
            self._tell(_set_result, opened)
            while (group := self._groups.get()) is not None:
                self._commit(group)
                self._tell(self._deliver, group)
            if self._connection is not None:
                self._connection.close()
        self._tell(_set_result, self._ended)

    def _tell(self, say: Callable[..., None], *args: object) -> None:
        if not self._loop.is_closed():  # else nobody is left to hear it
            self._loop.call_soon_threadsafe(say, *args)

    def _commit(self, group: list[_Call]) -> None:
        """Carry out a group. Whatever is raised, each call has its value or its error afterwards."""
        try:
            if self._connection is None:
                self._connection = self._open_connection()
            self._connection.execute("BEGIN IMMEDIATE")
            for call in group:
                _carry_out(call, self._connection)
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - an error dropped here leaves its callers waiting for ever
            failure = _as_ours(error)
            for call in group:
                call.error = call.error or again(failure)
            self._clean_up()

    def _clean_up(self) -> None:
        """Bring the connection back to where no transaction is open, or drop it."""
        connection = self._connection
        try:
            if connection is not None and connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection = None  # the next group opens another
            if connection is not None:
                connection.close()


def _carry_out(call: _Call, connection: sqlite3.Connection) -> None:
    """Run one work between a savepoint and its release. Raises what breaks the whole transaction."""
    connection.execute("SAVEPOINT work")
    try:
        call.value = call.work(connection)
    except BaseException as error:  # noqa: BLE001 - its caller gets it; it must not end the thread
        call.error = (
            RuntimeError("a work raised StopIteration") if isinstance(error, StopIteration) else _as_ours(error)
        )
        if connection.in_transaction:
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
            return
    if not connection.in_transaction:  # SQLite rolls back by itself when it is full or broken
        raise UnavailableError("the transaction was rolled back")
    connection.execute("RELEASE work")


def _as_ours(error: BaseException) -> BaseException:
    """UnavailableError for what may pass: a full disk, a lock, an I/O error. A wrong statement stays what it is."""
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code != sqlite3.SQLITE_ERROR:
            ours = make_unavailable(error)
            ours.__cause__ = error
            return ours
    return error


def _set_result(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _set_exception(future: "asyncio.Future[None]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
