"""What does a test of a queue engine stand on? An engine over a real database, and plain SQL beside it for what other parts do.

Publishing, enrolling and replaying belong to the store; here they are single statements, so that the engine is tested alone.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import sqlalchemy
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from muster.domain.attempt import AttemptEnd
from muster.domain.event_state import EventState
from muster.domain.ids import EventIds
from muster.domain.queue import Counts
from muster.domain.usage import UsageSums
from muster.server.adapters.sql import schema
from muster.server.adapters.sql.postgres_engine import PostgresEngine
from muster.server.adapters.sql.sqlite_engine import SqliteEngine
from muster.server.adapters.sql.sqlite_writer import SqliteWriter
from muster.server.ports.queue_engine import QueueEngine

LIVE_S = 3600.0
WAITING = "(SELECT queue FROM ready UNION ALL SELECT queue FROM delayed)"

Row = tuple[Any, ...]
Replica = Callable[[], AbstractAsyncContextManager[QueueEngine]]


class Sql(Protocol):
    """Plain statements on the engine's database, each a transaction; placeholders are `?`."""

    async def run(self, statement: str, *arguments: object) -> list[Row]: ...


@dataclass
class Bench:
    """An engine and its surroundings.

    Args:
        went_back: tells the engine of events that others sent back.
        replica: another service's engine on the same database (SQLite has one service only: the same engine).
        woken: topics that the engine woke, in order.
    """

    engine: QueueEngine
    sql: Sql
    ids: EventIds
    woken: list[str]
    replica: Replica
    went_back: Callable[[Sequence[int]], None] = lambda _: None
    numbers: Iterable[int] = field(default_factory=lambda: count(1))

    async def add_queue(self, *, attempts: int = 3, retry_s: float = 0.0) -> int:
        """A queue; returns its number."""
        number = next(iter(self.numbers))
        await self.sql.run(
            "INSERT INTO queue (number, queue_id, workflow_id, alias, is_public, is_input, is_output, closed_at, attempts, lease_s,"
            " retry_s) VALUES (?, ?, 'WF', ?, ?, ?, ?, NULL, ?, 30, ?)",
            *(number, f"a{number}", f"queue-{number}", False, True, True, attempts, retry_s),
        )
        return number

    async def add_session(
        self, *, taskforce: str | None = "TF-a", queue: int | None = None, owner: str = "", at_once: int = 1000
    ) -> int:
        """A live session; returns its number. One of a person's consumer has no taskforce but a queue and an owner."""
        number = next(iter(self.numbers))
        now = time.time()
        await self.sql.run(
            "INSERT INTO holder (number, taskforce_uuid, consumer_queue, owner, cluster, proc, start, at_once, host, site, begun_at,"
            " until, call) VALUES (?, ?, ?, ?, 'c', 0, 1, ?, 'h', 's', ?, ?, 0)",
            *(number, taskforce, queue, owner, at_once, now, now + LIVE_S),
        )
        await self.sql.run("INSERT INTO holder_live (number) VALUES (?)", number)
        return number

    async def publish(self, queue: int, bodies: int | Sequence[bytes] = 1) -> list[int]:
        """Publish events as the store does; returns their numbers."""
        contents = [b"%d" % index for index in range(bodies)] if isinstance(bodies, int) else bodies
        events = self.ids.take(len(contents), now_s=time.time())
        for event, content in zip(events, contents, strict=True):
            await self.sql.run("INSERT INTO event (id, queue, kind, body) VALUES (?, ?, 0, ?)", event, queue, content)
            await self.sql.run("INSERT INTO ready (queue, event, attempts, fence) VALUES (?, ?, 0, 0)", queue, event)
        await self._count(queue, published=len(events), waiting=len(events))
        return events

    async def replay(self, queue: int, event: int) -> None:
        """Send a dead letter back as the store does."""
        ((fence,),) = await self.sql.run("DELETE FROM dead WHERE queue = ? AND event = ? RETURNING fence", queue, event)
        await self.sql.run("INSERT INTO ready (queue, event, attempts, fence) VALUES (?, ?, 0, ?)", queue, event, fence)
        await self._count(queue, waiting=1, dead=-1)
        self.went_back([queue])

    async def expire(self, session: int) -> None:
        """Let a session's time be over; the next `reap` ends it."""
        await self.sql.run("UPDATE holder SET until = 0 WHERE number = ?", session)

    async def end_session(self, session: int) -> None:
        """End a session, as the store does for one that holds nothing."""
        await self.sql.run("UPDATE holder SET ended = 'left' WHERE number = ?", session)
        await self.sql.run("DELETE FROM holder_live WHERE number = ?", session)

    async def find_state(self, event: int) -> EventState:
        """Where an event is; fails unless it is in exactly one place."""
        waits = EventState.WAITING
        tables = {"ready": waits, "delayed": waits, "leased": EventState.IN_WORK, "dead": EventState.DEAD}
        found = [
            s for table, s in tables.items() if await self.sql.run(f"SELECT 1 FROM {table} WHERE event = ?", event)
        ]
        if await self.sql.run("SELECT 1 FROM finished WHERE event = ?", event):
            found.append(EventState.DONE)
        assert len(found) == 1, f"event {event} is in {found}"
        return found[0]

    async def counts(self, queue: int) -> Counts:
        """What counters and deltas say; fails unless the rows say the same."""
        names = [one.name for one in fields(Counts)]
        columns = ", ".join(["queue", *names])
        both = f"(SELECT {columns} FROM counter UNION ALL SELECT {columns} FROM delta) c"
        kept = [f"(SELECT coalesce(sum({name}), 0) FROM {both} WHERE queue = {queue:d})" for name in names]
        rows = [
            f"(SELECT count(*) FROM {table} AS t WHERE queue = {queue:d}{which})"
            for table, which in (
                *((table, "") for table in ("event", WAITING, "leased", "finished", "dead")),
                ("attempt", f' AND "end" IN ({AttemptEnd.FAILED:d}, {AttemptEnd.EXPIRED:d})'),
                ("attempt", f' AND "end" = {AttemptEnd.DUPLICATE:d}'),
            )
        ]
        (numbers,) = await self.sql.run(f"SELECT {', '.join(kept + rows)}")
        counts = Counts(*(int(number) for number in numbers[: len(names)]))
        assert counts == Counts(*numbers[len(names) :]), "counters and rows differ"
        assert counts.adds_up
        await self.usage(queue)
        return counts

    async def usage(self, queue: int) -> UsageSums:
        """What counters and deltas say that attempts took; fails unless the rows say the same."""
        names = [one.name for one in fields(UsageSums)]
        columns = ", ".join(["queue", *names])
        both = f"(SELECT {columns} FROM counter UNION ALL SELECT {columns} FROM delta) c"
        kept = [f"coalesce({'max' if name == 'memory_bytes' else 'sum'}({name}), 0)" for name in names]
        [numbers] = await self.sql.run(f"SELECT {', '.join(kept)} FROM {both} WHERE queue = {queue:d}")
        sums = UsageSums(*map(int, numbers))
        of_rows = UsageSums()
        usage = "wall_s, cpu_us, bytes_in, bytes_out, memory_bytes"
        for table, which in (("finished", ""), ("attempt", f' AND "end" <> {AttemptEnd.LATE:d}')):
            rows = await self.sql.run(f"SELECT {usage} FROM {table} WHERE queue = {queue:d}{which}")
            for wall_s, cpu_us, bytes_in, bytes_out, memory_bytes in rows:
                if bytes_out is None:
                    assert (wall_s, cpu_us, bytes_in, memory_bytes) == (0, None, None, None)
                    continue
                wall_us = round(wall_s * 1e6)
                lost_us = wall_us if table == "attempt" else 0
                measured_us = 0 if cpu_us is None else wall_us
                of_rows += UsageSums(
                    wall_us, lost_us, measured_us, cpu_us or 0, bytes_in or 0, bytes_out, memory_bytes or 0
                )
        # A second result may have been smaller than what was known of its attempt before.
        assert replace(sums, memory_bytes=0) == replace(of_rows, memory_bytes=0), "sums and rows differ"
        assert sums.memory_bytes >= of_rows.memory_bytes
        return sums

    async def _count(self, queue: int, *, published: int = 0, waiting: int = 0, dead: int = 0) -> None:
        await self.sql.run(
            "INSERT INTO delta (queue, published, waiting, in_work, done, dead, failed, duplicates)"
            " VALUES (?, ?, ?, 0, 0, ?, 0, 0)",
            *(queue, published, waiting, dead),
        )


# -- SQLite --------------------------------------------------------------------------------------------------------------


def create_sqlite(path: Path) -> None:
    """Make the declared schema in a new file."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    schema.metadata.create_all(engine)
    engine.dispose()


def open_sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # tests look at logic, not at the disk
    return connection


@dataclass
class SqliteSql:
    writer: SqliteWriter

    async def run(self, statement: str, *arguments: object) -> list[Row]:
        return await self.writer.run(lambda connection: connection.execute(statement, arguments).fetchall())


@asynccontextmanager
async def sqlite_bench(path: Path) -> AsyncIterator[Bench]:
    """A bench on a new SQLite file."""
    create_sqlite(path)
    async with SqliteWriter(lambda: open_sqlite(path)) as writer:
        ids, woken = EventIds(), list[str]()
        engine = SqliteEngine(writer, ids, woken.extend)

        @asynccontextmanager
        async def replica() -> AsyncIterator[QueueEngine]:
            yield engine

        yield Bench(engine, SqliteSql(writer), ids, woken, replica)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# -- PostgreSQL ----------------------------------------------------------------------------------------------------------


@dataclass
class PostgresSql:
    connection: "asyncpg.Connection[asyncpg.Record]"
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, statement: str, *arguments: object) -> list[Row]:
        parts = statement.split("?")
        numbered = "".join(f"{part}${index}" for index, part in enumerate(parts[:-1], 1)) + parts[-1]
        async with self.turn:
            return [tuple(row) for row in await self.connection.fetch(numbered, *arguments)]


async def create_postgres(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make the declared schema, with one partition for all ids; the migrations make more, and set how tables are stored."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in schema.metadata.sorted_tables:
        await connection.execute(str(CreateTable(table).compile(dialect=dialect)))
        if table.dialect_options["postgresql"]["partition_by"]:
            await connection.execute(f"CREATE TABLE {table.name}_default PARTITION OF {table.name} DEFAULT")
        for index in table.indexes:
            await connection.execute(str(CreateIndex(index).compile(dialect=dialect)))


@asynccontextmanager
async def postgres_bench(url: str, *, connections: int = 2) -> AsyncIterator[Bench]:
    """A bench in a schema of its own."""
    name = f"bench_{uuid4().hex}"
    dsn = url.replace("postgresql+asyncpg://", "postgresql://")

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(dsn, server_settings={"search_path": name})

    beside = await connect()
    try:
        await beside.execute(f"CREATE SCHEMA {name}")
        await create_postgres(beside)
        ids, woken = EventIds(node=1), list[str]()
        nodes = count(2)

        @asynccontextmanager
        async def replica() -> AsyncIterator[QueueEngine]:
            async with PostgresEngine(connect, EventIds(node=next(nodes)), woken.extend) as other:
                yield other

        async with PostgresEngine(connect, ids, woken.extend, connections=connections) as engine:
            yield Bench(engine, PostgresSql(beside), ids, woken, replica, engine.went_back)
    finally:
        await beside.execute(f"DROP SCHEMA {name} CASCADE")
        await beside.close()
