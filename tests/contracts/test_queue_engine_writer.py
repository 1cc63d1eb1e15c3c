"""Does SQLite's one writer serve everybody, whatever becomes of the others?"""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from contracts.queue_engine_bench import open_sqlite
from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.sqlite_writer import WORKS_MAX, SqliteWriter

pytestmark = pytest.mark.anyio
DEADLINE_S = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Watched:
    """A database whose connections keep the transaction statements they carried out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections: list[sqlite3.Connection] = []
        self.statements: list[str] = []

    def open(self) -> sqlite3.Connection:
        connection = open_sqlite(self.path)
        connection.execute("CREATE TABLE IF NOT EXISTS note (number INTEGER PRIMARY KEY, text BLOB NOT NULL)")
        connection.set_trace_callback(self.statements.append)
        self.connections.append(connection)
        return connection

    def count(self, statement: str) -> int:
        return sum(one.startswith(statement) for one in self.statements)

    def notes(self) -> list[int]:
        with closing(sqlite3.connect(self.path)) as connection:
            return [number for (number,) in connection.execute("SELECT number FROM note ORDER BY number")]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "notes.db")


@pytest.fixture
async def writer(watched: Watched) -> AsyncIterator[SqliteWriter]:
    async with SqliteWriter(watched.open) as writer:
        yield writer


def note(number: int, text: bytes = b"") -> Callable[[sqlite3.Connection], int]:
    """A work that writes one row and returns its number."""

    def write(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO note VALUES (?, ?)", (number, text))
        return number

    return write


class Gate:
    """A work that holds the writer until it is let go."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.reached.set()
        assert self.open.wait(DEADLINE_S)

    async def wait(self) -> None:
        assert await anyio.to_thread.run_sync(self.reached.wait, DEADLINE_S)


async def run_all(writer: SqliteWriter, *works: object) -> list[object]:
    """Run works that arrive together; gives their values and errors, in order."""
    results: list[object] = [None] * len(works)

    async def run(index: int) -> None:
        try:
            results[index] = await writer.run(works[index])  # type: ignore[arg-type]
        except (ArithmeticError, RuntimeError, UnavailableError, sqlite3.Error) as error:
            results[index] = error

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            for index in range(len(works)):
                group.start_soon(run, index)
    return results


async def test_works_that_arrive_together_share_a_transaction_up_to_the_limit(
    writer: SqliteWriter, watched: Watched
) -> None:
    assert await run_all(writer, *map(note, range(WORKS_MAX + 1))) == [*range(WORKS_MAX + 1)]
    assert (watched.count("BEGIN"), watched.count("COMMIT")) == (2, 2)
    assert watched.notes() == [*range(WORKS_MAX + 1)]


async def test_what_waits_during_a_commit_goes_into_the_next(writer: SqliteWriter, watched: Watched) -> None:
    gate = Gate()
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(writer.run, gate)
            await gate.wait()
            for number in range(5):
                group.start_soon(writer.run, note(number))
            await anyio.lowlevel.checkpoint()
            gate.open.set()
    assert watched.count("BEGIN") == 2


async def test_a_work_that_raises_undoes_itself_alone(writer: SqliteWriter, watched: Watched) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note VALUES (99, 'x')")
        raise ZeroDivisionError("ours")

    def stop(_: sqlite3.Connection) -> None:
        raise StopIteration

    results = await run_all(writer, note(1), fail, note(2), note(1), stop, note(3))

    kinds = [type(one) for one in results]
    assert kinds == [int, ZeroDivisionError, int, sqlite3.IntegrityError, RuntimeError, int]
    assert watched.notes() == [1, 2, 3]
    assert watched.count("COMMIT") == 1


async def test_a_wrong_statement_is_a_fault_of_ours_and_no_reason_to_try_again(writer: SqliteWriter) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await writer.run(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))


async def test_a_full_disk_fails_the_works_and_spares_the_connection(writer: SqliteWriter, watched: Watched) -> None:
    await writer.run(note(1))
    ((pages,),) = await writer.run(lambda connection: connection.execute("PRAGMA page_count").fetchall())
    await writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 20}").fetchall())

    results = await run_all(writer, note(2), note(3, b"x" * 1_000_000), note(4))
    assert isinstance(results[1], UnavailableError)

    await writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
    assert await writer.run(note(5)) == 5
    kept = {number for number, result in zip((2, 3, 4), results, strict=True) if isinstance(result, int)}
    assert watched.notes() == sorted({1, 5} | kept)
    assert len(watched.connections) == 1


async def test_when_the_commit_fails_nobody_of_the_group_is_told_it_was_kept(tmp_path: Path) -> None:
    class Refusing(sqlite3.Connection):
        """Refuses to commit while the disk is said to be broken."""

        is_broken = False

        def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
            if self.is_broken and sql == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return super().execute(sql, *arguments)  # type: ignore[arg-type]

    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False, factory=Refusing)
    connection.execute("CREATE TABLE note (number INTEGER PRIMARY KEY, text BLOB NOT NULL)")
    async with SqliteWriter(lambda: connection) as writer:
        Refusing.is_broken = True
        results = await run_all(writer, note(1), note(2))
        assert [str(one) for one in results] == ["the database does not answer: disk I/O error"] * 2
        assert results[0] is not results[1]
        Refusing.is_broken = False
        assert await writer.run(lambda one: one.execute("SELECT count(*) FROM note").fetchone()) == (0,)
        assert await writer.run(note(3)) == 3


async def test_a_locked_database_is_unavailable_until_the_lock_is_gone(writer: SqliteWriter, watched: Watched) -> None:
    await writer.run(lambda connection: connection.execute("PRAGMA busy_timeout = 1").fetchall())
    with closing(open_sqlite(watched.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"):
            await writer.run(note(1))
        other.execute("ROLLBACK")
        assert await writer.run(note(1)) == 1


async def test_a_work_that_ends_the_transaction_fails_and_the_writer_goes_on(writer: SqliteWriter) -> None:
    results = await run_all(writer, note(1), lambda connection: connection.execute("ROLLBACK"), note(2))
    assert [type(one) for one in results] == [UnavailableError] * 3
    assert await writer.run(note(1)) == 1


async def test_a_connection_that_is_beyond_repair_is_replaced(writer: SqliteWriter, watched: Watched) -> None:
    def close(connection: sqlite3.Connection) -> None:
        connection.close()

    (result,) = await run_all(writer, close)
    assert isinstance(result, RuntimeError)
    assert isinstance(result.__cause__, sqlite3.ProgrammingError)
    assert await run_all(writer, note(1)) == [1]
    assert len(watched.connections) == 2


async def test_a_cancelled_caller_is_left_out_if_its_work_had_not_begun(writer: SqliteWriter, watched: Watched) -> None:
    gate = Gate()
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await writer.run(note(1))

    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(writer.run, gate)
            await gate.wait()
            group.start_soon(give_up)
            group.start_soon(writer.run, note(2))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
    assert scope.cancelled_caught
    assert watched.notes() == [2]


async def test_a_caller_cancelled_too_late_disturbs_nobody(writer: SqliteWriter, watched: Watched) -> None:
    gate = Gate()
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(writer.run, gate)
            group.start_soon(writer.run, note(1))
            await gate.wait()
            group.cancel_scope.cancel()
        gate.open.set()
        assert await writer.run(note(2)) == 2
    assert watched.notes() == [1, 2]


async def test_closing_carries_out_what_was_accepted_and_refuses_the_rest(watched: Watched) -> None:
    gate, writer = Gate(), SqliteWriter(watched.open)
    with anyio.fail_after(DEADLINE_S):
        async with anyio.create_task_group() as group, writer:
            group.start_soon(writer.run, gate)
            await gate.wait()
            for number in range(WORKS_MAX + 5):
                group.start_soon(writer.run, note(number))
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
    assert watched.notes() == [*range(WORKS_MAX + 5)]
    with pytest.raises(UnavailableError):
        await writer.run(note(1000))
    assert all(thread.name != "sqlite-writer" or not thread.is_alive() for thread in threading.enumerate())


async def test_a_database_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="unable to open"):
        async with SqliteWriter(lambda: open_sqlite(tmp_path / "no" / "such" / "folder.db")):
            raise AssertionError("it opened")
