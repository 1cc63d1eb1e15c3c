"""How does the store run on SQLite? Writes go through the engine's one writer; reads have connections of their own."""

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import anyio
from sqlalchemy import Connection, create_engine, insert, select
from sqlalchemy.pool import StaticPool

from muster.domain.errors import ConflictError
from muster.domain.ids import EventIds
from muster.server.adapters.sql import eras, replicas
from muster.server.adapters.sql.faults import database_errors
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import secret
from muster.server.adapters.sql.sqlite_file import name_file
from muster.server.adapters.sql.sqlite_lock import FileLock
from muster.server.adapters.sql.sqlite_writer import SqliteWriter
from muster.server.adapters.sql.transaction import do
from muster.server.adapters.sql.waking import Bells
from muster.server.ports.store import Transaction

T = TypeVar("T")

READERS = 4
_SETTINGS = ("PRAGMA temp_store=MEMORY", "PRAGMA busy_timeout=5000")
# Of a backlog's pages only the front and the end are ever needed again, and the system's own cache has the rest: with 64 MiB a connection,
# the service's memory grew by half with 10⁶ events waiting.
_FOR_WRITING = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=1000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-8192",
)
_FOR_READING = ("PRAGMA query_only=ON", "PRAGMA cache_size=-2048")
"""A look changes nothing of a file: a backup stays the single file that it is."""


class RawConnection(sqlite3.Connection):
    """A connection of the sqlite3 module that knows the SQLAlchemy connection over itself."""

    core: Connection


def open_connection(path: Path, *, read_only: bool = False) -> RawConnection:
    """Open the database with our settings. Transactions are begun and ended by hand."""
    raw = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512, factory=RawConnection
    )
    try:
        for setting in (*_SETTINGS, *(_FOR_READING if read_only else _FOR_WRITING)):
            raw.execute(setting)
    except sqlite3.Error:
        raw.close()
        raise
    # SQLAlchemy must never begin, commit or roll back by itself: the writer does. So it looks at the connection once,
    # here, outside any transaction, and is never given it back.
    engine = create_engine(
        "sqlite://",
        creator=lambda: raw,
        poolclass=StaticPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
    )
    raw.core = engine.connect()
    return raw


class SqliteStore:
    """See `muster.server.ports.store.Store`."""

    def __init__(self, path: Path, lock: FileLock, writer: SqliteWriter, ids: EventIds, bells: Bells) -> None:
        self._path = path
        self._lock = lock
        self._file = name_file(path)
        self._changes = 0
        """Rows that the writer's connection had changed when the time was last written."""
        self._writer = writer
        self._ids = ids
        self._bells = bells
        self._readers: list[RawConnection] = []
        self._limiter = anyio.CapacityLimiter(READERS)

    async def write(self, work: Callable[[Transaction], T], *, group: str | None = None) -> T:
        del group  # all works share transactions here

        def run(raw: sqlite3.Connection) -> tuple[T, dict[str, None]]:
            assert isinstance(raw, RawConnection)
            session = Session(raw.core, self._ids, _clock)
            with database_errors():
                return do(session, work), session.topics

        value, topics = await self._writer.run(run)
        self._bells.wake_after_commit(topics)
        return value

    async def read(self, work: Callable[[Transaction], T]) -> T:
        def run() -> T:
            with database_errors(), self._reader() as raw:
                return do(Session(raw.core, self._ids, _clock), work)

        return await anyio.to_thread.run_sync(run, limiter=self._limiter)

    async def look(self, work: Callable[[Transaction], T]) -> T:
        return await self.read(work)  # a snapshot costs nothing here

    @contextlib.contextmanager
    def _reader(self) -> Iterator[RawConnection]:
        try:
            raw = self._readers.pop()
        except IndexError:
            raw = open_connection(self._path, read_only=True)
        raw.execute("BEGIN")
        try:
            yield raw
        finally:
            raw.execute("ROLLBACK")
            self._readers.append(raw)

    @property
    def readers_busy(self) -> int:
        """Connections that somebody reads by."""
        return int(self._limiter.borrowed_tokens)

    async def check(self) -> None:
        await self.read(lambda tx: tx.now())

    async def get_secret(self, name: str) -> bytes:
        def run(raw: sqlite3.Connection) -> bytes:
            assert isinstance(raw, RawConnection)
            return find_or_make_secret(raw.core, name)

        return await self._writer.run(run)

    async def begin_service(self, *, lease_s: float) -> None:
        await self._change(lambda core: replicas.prolong_sessions(core, token="", lease_s=lease_s, now=time.time()))

    async def heartbeat(self) -> None:
        """There is one service a file, by its lock: nobody needs to be told that it lives. But what was written since the last time is told
        from what a backup has (`eras.keep_seen`). Raises ConflictError where the file is not there any more, or another one is.
        """

        def run(raw: sqlite3.Connection) -> float | None:
            assert isinstance(raw, RawConnection)
            if not self._is_there():
                raise ConflictError(
                    f"{self._path} was moved away or replaced while this service worked on it, and what it writes would be lost: "
                    "start it again"
                )
            if raw.total_changes == self._changes:
                return None
            seen = eras.keep_seen(raw.core, now=time.time(), file=self._file, seen=self._lock.seen)
            self._changes = raw.total_changes
            return seen

        if (seen := await self._writer.run(run)) is not None:
            with database_errors():
                self._lock.note_seen(seen)

    def _is_there(self) -> bool:
        """Is the file still the one that we have open? Another one cannot have its inode as long as we have."""
        with database_errors():
            try:
                return name_file(self._path) == self._file
            except FileNotFoundError:
                return False

    async def _change(self, change: Callable[[Connection], None]) -> None:
        def run(raw: sqlite3.Connection) -> None:
            assert isinstance(raw, RawConnection)
            change(raw.core)

        await self._writer.run(run)

    def close(self) -> None:
        """Close the readers."""
        for raw in self._readers:
            raw.core.close()
            raw.close()
        self._readers.clear()


def find_or_make_secret(connection: Connection, name: str) -> bytes:
    """The secret of that name, made if there is none."""
    found = connection.scalar(select(secret.c.value).where(secret.c.name == name))
    if found is not None:
        return bytes(found)
    value = secrets.token_bytes(32)
    connection.execute(insert(secret), {"name": name, "value": value})
    return value


def _clock(_connection: Connection) -> float:
    return time.time()
