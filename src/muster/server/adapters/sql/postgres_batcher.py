"""How do many callers share a few connections to PostgreSQL? What waits when a connection is free goes together, at once.

Never a window in which to wait for more. A group is one call of one server-side function, so one round trip and one
transaction. If it fails, each of its calls is tried alone, so that a poisoned call fails alone.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

import anyio
import asyncpg

from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.faults import BROKEN, again, make_unavailable

C = TypeVar("C")
A = TypeVar("A")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connect: TypeAlias = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]

CALLS_MAX = 64
"""Calls of one transaction, at most."""
WEIGHT_MAX = 4096
"""Weight of one transaction's calls, at most, unless one alone is heavier."""
WAITING_MAX = 20_000
"""Calls that may wait for a connection; more are refused, for the database does not keep up."""
ANSWER_S_MAX = 30.0
"""Seconds after which a database that has not answered is given up."""
TRIES_MAX = 8
"""How often a transaction is tried that another one got in the way of."""

_IN_THE_WAY = ("40001", "40P01")  # serialization_failure, deadlock_detected: nothing of it was kept
_LOCK_TIMEOUT = "55P03"
_NOT_NOW = ("08", "25006", "25P03", "40", "53", "55", "57", "58")  # classes or states that pass


class LostConnectionError(UnavailableError):
    """The connection broke in mid-call: what became of the call is unknown."""


@dataclass(frozen=True)
class Sort(Generic[C, A]):
    """A sort of calls that can be carried out together.

    Args:
        carry_out: the answers to some calls, in their order, from one transaction; an exception in an answer's place is raised
            to that caller alone.
        key_of: calls with the same key are never in one group.
        weight_of: how much of a group a call fills; a group holds `WEIGHT_MAX`.
    """

    name: str
    carry_out: Callable[[Connection, Sequence[C]], Awaitable[Sequence[A | Exception]]]
    key_of: Callable[[C], Hashable]
    weight_of: Callable[[C], int]


@dataclass(slots=True)
class _Waiting:
    serial: int
    sort: Sort[Any, Any]
    call: Any
    future: "asyncio.Future[Any]"


@dataclass
class _Line:
    """Calls of one sort that wait, oldest first."""

    calls: deque[_Waiting] = field(default_factory=deque)

    def take(self) -> list[_Waiting]:
        """The oldest calls that can go together. Calls whose callers are gone are left out."""
        group: list[_Waiting] = []
        put_off: list[_Waiting] = []
        keys: set[Hashable] = set()
        weight = 0
        while self.calls and len(group) < CALLS_MAX and len(put_off) < CALLS_MAX:
            one = self.calls.popleft()
            if one.future.done():
                continue
            key, heavier = one.sort.key_of(one.call), weight + one.sort.weight_of(one.call)
            if key in keys:
                put_off.append(one)
                continue
            if group and heavier > WEIGHT_MAX:
                put_off.append(one)
                break
            group.append(one)
            keys.add(key)
            weight = heavier
        self.calls.extendleft(reversed(put_off))
        return group


class Batcher:
    """Some connections, each with a task that serves whoever waits; an async context manager.

    Args:
        connect: opens and prepares a connection; called at first use and after one was lost.
        connections: how many; two are enough (docs/design/engine.md), more only split the groups.
    """

    def __init__(self, connect: Connect, *, connections: int) -> None:
        self._connect = connect
        self.size = connections
        self.busy = 0
        """Connections that carry out a group."""
        self.retries = 0
        """Transactions that were undone because of others, and tried again."""
        self.lock_timeouts = 0
        """Those that were given up because others held a lock for too long."""
        self._lines: dict[str, _Line] = {}
        self._idle: deque[asyncio.Future[None]] = deque()  # the tasks that have nothing to do
        self._count = 0
        self._serial = 0
        self._is_open = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._is_open = True
        # Tasks of the loop, not of a group: they must end after the last caller, also when a scope around us is cancelled.
        self._tasks = [asyncio.create_task(self._serve(), name=f"postgres-{number}") for number in range(self.size)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Carry out what was accepted, then close the connections. Later calls are refused."""
        self._is_open = False
        self._rouse()
        # Bounded: every group has an answer, or is given up, within ANSWER_S_MAX.
        with anyio.CancelScope(shield=True):
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.result()  # a fault of ours that ended one is raised here

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return sum(len(line.calls) for line in self._lines.values())

    async def submit(self, sort: Sort[C, A], call: C) -> A:
        """The answer to a call, from a transaction that it may share with others of its sort.

        Raises what `carry_out` put in the answer's place, and UnavailableError when the database does not answer; then it is
        unknown whether the call was carried out.
        """
        if not self._is_open:
            raise UnavailableError("the database is closed")
        if self._count >= WAITING_MAX:
            raise UnavailableError("too many calls wait for the database")
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._serial += 1
        self._count += 1
        line = self._lines.setdefault(sort.name, _Line())
        line.calls.append(_Waiting(self._serial, sort, call, future))
        self._rouse(most=1)
        try:
            return await future
        finally:
            self._count -= 1

    def _rouse(self, *, most: int | None = None) -> None:
        """Send idle tasks to look. They look in the loop's next turn, so what arrives in this turn goes together."""
        for _ in range(len(self._idle) if most is None else min(most, len(self._idle))):
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _next_group(self) -> list[_Waiting]:
        """The next group of the sort that has waited longest; empty when the batcher was closed and nothing waits."""
        while True:
            lines = [line for line in self._lines.values() if line.calls]
            if lines:
                group = min(lines, key=lambda line: line.calls[0].serial).take()
                if group:
                    return group
                continue
            if not self._is_open:
                return []
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    async def _serve(self) -> None:
        connection: Connection | None = None
        try:
            while group := await self._next_group():
                try:
                    if connection is None or connection.is_closed():
                        connection = await self._open()
                    self.busy += 1
                    try:
                        await self._settle(connection, group)
                    finally:
                        self.busy -= 1
                except LostConnectionError as error:
                    _fail(group, error)
                    if connection is not None:
                        connection.terminate()
                        connection = None
                except BaseException:
                    # Whatever it is: a caller that is not told waits for ever.
                    self._is_open = False
                    waiting = [one for line in self._lines.values() for one in line.calls]
                    _fail([*group, *waiting], UnavailableError("the call to the database was broken off"))
                    raise
        finally:
            if connection is not None:
                await close(connection)

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                return await self._connect()
        except (asyncpg.PostgresError, *BROKEN) as error:
            raise LostConnectionError(f"the database does not answer: {error}") from error

    async def _settle(self, connection: Connection, group: Sequence[_Waiting]) -> None:
        """Give every call of a group its answer or its error. Raises LostConnectionError: those without either are the caller's."""
        try:
            answers = await self._try(connection, group)
        except LostConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - its callers get it
            if len(group) == 1:
                _fail(group, error)
                return
            for one in group:
                await self._settle(connection, [one])
            return
        for one, answer in zip(group, answers, strict=True):
            if one.future.done():
                continue
            if isinstance(answer, Exception):
                one.future.set_exception(answer)
            else:
                one.future.set_result(answer)

    async def _try(self, connection: Connection, group: Sequence[_Waiting]) -> Sequence[Any]:
        """Carry out a group, again when another transaction was in the way."""
        sort, calls = group[0].sort, [one.call for one in group]
        for tried in range(TRIES_MAX):
            if tried:
                await asyncio.sleep(0.002 * 2**tried)  # the other one ends meanwhile
            try:
                async with asyncio.timeout(ANSWER_S_MAX):
                    return await sort.carry_out(connection, calls)
            except asyncpg.PostgresError as error:
                if error.sqlstate in _IN_THE_WAY:
                    self.retries += 1
                    continue
                self.lock_timeouts += error.sqlstate == _LOCK_TIMEOUT
                raise read_error(error, is_closed=connection.is_closed()) from error
            except BROKEN as error:
                raise LostConnectionError(f"the database does not answer: {error!r}") from error
        raise UnavailableError("other transactions were in the way again and again")


def read_error(error: asyncpg.PostgresError, *, is_closed: bool) -> Exception:
    """What an error of PostgreSQL says to our callers: UnavailableError for what passes, itself for a fault of ours."""
    state = error.sqlstate or ""
    if is_closed or state.startswith(("08", "57P")):
        return LostConnectionError(f"the database does not answer: {error}")
    if state.startswith(_NOT_NOW):
        return make_unavailable(error)
    return error


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.future.done():
            one.future.set_exception(error if len(group) == 1 else again(error))


async def close(connection: Connection) -> None:
    """Say good-bye, but do not wait for an answer that does not come."""
    with anyio.CancelScope(shield=True), contextlib.suppress(asyncpg.PostgresError, *BROKEN):
        try:
            await connection.close(timeout=2.0)
        except TimeoutError:
            connection.terminate()
