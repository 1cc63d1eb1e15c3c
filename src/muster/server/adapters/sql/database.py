"""How is a database opened? Migrated, locked where only one service may have it, with store, engine and bells over it."""

import contextlib
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import asyncpg
import structlog
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from muster.domain.errors import ConflictError, Finding, InvalidError, NoRoomError, UnavailableError
from muster.domain.ids import EventIds
from muster.server.adapters.sql import eras, migrate, replicas
from muster.server.adapters.sql.faults import database_errors, permission_errors
from muster.server.adapters.sql.new_database import make_new_postgres, make_new_sqlite
from muster.server.adapters.sql.partitions import make_coming_partitions
from muster.server.adapters.sql.postgres_engine import PostgresEngine
from muster.server.adapters.sql.postgres_pool import watch_connections
from muster.server.adapters.sql.postgres_store import PostgresStore
from muster.server.adapters.sql.rows import ask_postgres_clock
from muster.server.adapters.sql.sqlite_engine import SqliteEngine
from muster.server.adapters.sql.sqlite_file import make_private, name_file, refuse_open_files, refusing_unusable
from muster.server.adapters.sql.sqlite_lock import FileLock, lock_file
from muster.server.adapters.sql.sqlite_store import SqliteStore, open_connection
from muster.server.adapters.sql.sqlite_writer import SqliteWriter
from muster.server.adapters.sql.use import PostgresUse, SqliteUse
from muster.server.adapters.sql.waking import Bells, PostgresBridge
from muster.server.ports.census import DatabaseUse
from muster.server.ports.queue_engine import QueueEngine
from muster.server.ports.store import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger()

COLD_CONNECTIONS = 6
CONNECT_S_MAX = 10.0
"""Seconds within which a connection must be made, or become free."""
ANSWER_S_MAX = 120.0
"""Seconds after which a statement of the store is given up."""
_COLD_SETTINGS = {"lock_timeout": "30s", "idle_in_transaction_session_timeout": "60s"}


@dataclass(frozen=True)
class Database:
    """An open database."""

    store: Store
    engine: QueueEngine
    waking: Bells
    use: DatabaseUse


@asynccontextmanager
async def open_database(url: str, *, hot_connections: int = 2, is_upgraded: bool = True) -> AsyncIterator[Database]:
    """Open a database of this version's schema, in the era that it is in.

    Args:
        url: `sqlite:///<path>` or `postgresql://<user>@<host>:<port>/<database>`.
        hot_connections: for the queue engine, on PostgreSQL.
        is_upgraded: migrate it first; else one that lacks migrations is refused.

    Raises:
        InvalidError: no such kind of database, an address that cannot be read, a schema of a newer version, a SQLite file that others
            may use, or a user of PostgreSQL who may not do what is needed.
        ConflictError: another service has the SQLite file; the schema is too old, or cannot be changed while others run.
        UnavailableError: the database does not answer.
    """
    path = find_sqlite_path(url)
    if path is None:
        opened = _open_postgres(url, hot_connections=hot_connections, is_upgraded=is_upgraded)
    else:
        opened = _open_sqlite(path, is_upgraded=is_upgraded)
    async with opened as database:
        yield database


def check_address(url: str) -> None:
    """Raises InvalidError: no such kind of database, an address that cannot be read, a SQLite file that others may use, or that cannot be
    looked at. Asks no server.
    """
    path = find_sqlite_path(url)
    if path is not None:
        with refusing_unusable(path):
            refuse_open_files(path)
        return
    for host in urlsplit(url).netloc.rpartition("@")[2].split(","):  # PostgreSQL's libraries take several
        try:
            _ = urlsplit(f"//{host}").port
        except ValueError:
            raise _unreadable() from None


def find_sqlite_path(url: str) -> Path | None:
    """The file of a SQLite database; None for PostgreSQL. Raises InvalidError for other addresses."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        raise _unreadable() from None
    if scheme == "sqlite":
        return Path(url.removeprefix("sqlite:///"))
    if scheme in {"postgresql", "postgres"}:
        return None
    raise InvalidError(
        [Finding("database_url", f"{scheme!r} is no database we know: use sqlite:///<path> or postgresql://…")]
    )


@asynccontextmanager
async def _open_sqlite(path: Path, *, is_upgraded: bool) -> AsyncIterator[Database]:
    with lock_file(path) as lock:
        with database_errors():
            make_private(path)
            ids, era = _prepare_sqlite(path, lock, is_upgraded=is_upgraded)
        bells = Bells()
        async with SqliteWriter(lambda: open_connection(path)) as writer:
            store = SqliteStore(path, lock, writer, ids, bells)
            use = SqliteUse("sqlite", migrate.get_head(), era, writer=writer, store=store)
            try:
                yield Database(store, SqliteEngine(writer, ids, bells.wake_after_commit), bells, use)
            finally:
                with contextlib.suppress(ConflictError, UnavailableError), anyio.CancelScope(shield=True):
                    await store.heartbeat()
                store.close()


def _prepare_sqlite(path: Path, lock: FileLock, *, is_upgraded: bool) -> tuple[EventIds, int]:
    with change_sqlite(path) as core:
        if not is_upgraded:
            migrate.refuse_pending(core)
        elif not make_new_sqlite(core):
            migrate.upgrade(core)
        now = time.time()
        file = name_file(path)
        era = eras.keep_era(core, now=now, file=file, seen=lock.seen)
        seen = eras.keep_seen(core, now=now, file=file, seen=lock.seen)
        ids = EventIds(replicas.first_node(era), last=replicas.find_last_number(core))
    lock.note_seen(seen)
    lock.sync()
    return ids, era


@contextlib.contextmanager
def change_sqlite(path: Path) -> Iterator[Connection]:
    """A transaction on a file that nobody else uses (`lock_file`), committed at its end. Raises InvalidError for no database."""
    try:
        raw = open_connection(path)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB:
            raise InvalidError([Finding("database_url", f"{path} is not a SQLite database")]) from error
        raise
    with contextlib.closing(raw), contextlib.closing(raw.core):
        raw.execute("BEGIN IMMEDIATE")
        try:
            yield raw.core
        except BaseException:
            raw.execute("ROLLBACK")
            raise
        raw.execute("COMMIT")


@asynccontextmanager
async def _open_postgres(url: str, *, hot_connections: int, is_upgraded: bool) -> AsyncIterator[Database]:
    from sqlalchemy.ext.asyncio import create_async_engine  # brings SQLAlchemy's ORM: a tenth of a start on SQLite

    token = secrets.token_hex(8)

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await connect_postgres(url)

    async def connect_cold(*_: object) -> "asyncpg.Connection[asyncpg.Record]":
        return await connect_postgres(url, command_timeout=ANSWER_S_MAX, server_settings=_COLD_SETTINGS)

    # Connections are opened by asyncpg itself, so that a URL means the same on the hot and on the cold path.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect_cold,
        pool_size=COLD_CONNECTIONS,
        max_overflow=0,
        pool_timeout=CONNECT_S_MAX,
    )
    watch_connections(engine)
    try:
        with database_errors(), permission_errors():
            ids, era = await _prepare_postgres(url, token, is_upgraded=is_upgraded)
        bells = Bells()
        hot = PostgresEngine(connect, ids, bells.wake_after_commit, connections=hot_connections)
        store = PostgresStore(engine, ids, bells, token=token)
        use = PostgresUse(
            "postgresql", migrate.get_head(), era, hot=hot, store=store, cold_connections=COLD_CONNECTIONS
        )
        async with hot, PostgresBridge(bells, connect, token=token).running():
            try:
                yield Database(store, hot, bells, use)
            finally:
                with contextlib.suppress(Exception):  # the place falls free by itself when the database is away
                    async with engine.begin() as connection:
                        await connection.run_sync(lambda core: replicas.leave_node(core, token=token))
    finally:
        await engine.dispose()


async def connect_postgres(
    url: str, *, command_timeout: float | None = None, server_settings: dict[str, str] | None = None
) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect. Raises InvalidError for an address that cannot be read, and what asyncpg raises."""
    try:
        return await asyncpg.connect(
            url, timeout=CONNECT_S_MAX, command_timeout=command_timeout, server_settings=server_settings
        )
    except asyncpg.ClientConfigurationError as error:  # of one of its parameters
        raise InvalidError([Finding("database_url", str(error))]) from None
    except (ValueError, OverflowError) as error:
        if isinstance(error, OSError):  # errors of certificates are both
            raise
        # The cause is not shown: where the password has a sign that cuts the address, it would quote a part of it.
        raise _unreadable() from None


def _unreadable() -> InvalidError:
    return InvalidError(
        [
            Finding(
                "database_url",
                "is no address that can be read: postgresql://<user>:<password>@<host>:<port>/<database>, where the port is a "
                "number to 65535, an IPv6 address stands in [ ], and signs of a password are written as %40 for @, %2F for /, "
                "and so on",
            )
        ]
    )


async def _prepare_postgres(url: str, token: str, *, is_upgraded: bool) -> tuple[EventIds, int]:
    """Migrate, and take a node in the era that the database is in."""

    def take(core: Connection) -> tuple[EventIds, int]:
        replicas.lock(core)
        migrate.refuse_pending(core)  # again: from here on nobody migrates who cannot do it beside this service
        now = ask_postgres_clock(core)
        era = eras.keep_era(core, now=now)
        node = replicas.take_node(core, token=token, now=now, era=era, revision=migrate.get_head())
        return EventIds(node, last=replicas.find_last_number(core)), era

    async with connect_once(url) as connection:
        if not is_upgraded:
            await connection.run_sync(migrate.refuse_pending)
            await connection.rollback()
        elif not await make_new_postgres(connection):
            await migrate.upgrade_beside_others(connection, tell=lambda what: log.warning("upgrade", waits=what))
    async with connect_once(url) as connection:
        async with connection.begin():  # of its own: who makes partitions has locks that a migration may wait for
            await connection.run_sync(lambda core: make_coming_partitions(core, now=ask_postgres_clock(core)))
        async with connection.begin():
            return await connection.run_sync(take)


@asynccontextmanager
async def connect_once(url: str) -> AsyncIterator["AsyncConnection"]:
    """A connection of its own to PostgreSQL, that may wait for as long as it takes. Raises UnavailableError where there is none."""
    from sqlalchemy.ext.asyncio import create_async_engine  # as in `_open_postgres`

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda *_: connect_postgres(url), poolclass=NullPool
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        try:
            with database_errors():
                connection = await stack.enter_async_context(engine.connect())
        except NoRoomError:
            raise
        except UnavailableError as error:
            raise UnavailableError(f"{error}. See that it runs, and that MUSTER_DATABASE_URL names it") from error
        yield connection
