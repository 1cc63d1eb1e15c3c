"""How does a test get a database of an earlier schema with real rows? Rows that the service of today made are carried back into it.

What the earlier schema has no place for is left out, as it would not have been made then; events that wait for their next attempt were
simply waiting.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from alembic import command
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from muster.server.adapters.sql.database import find_sqlite_path
from muster.server.adapters.sql.migrate import list_migrations, make_config

T = TypeVar("T")
EARLIER = [one.revision for one in list_migrations()[:-1]]
NOT_CARRIED = {"alembic_version", "era", "replica", "delayed"}


def carry_back(url: str, *, to: str, revision: str) -> None:
    """Make the schema of a revision in the empty database `to`, and put the rows of the database `url` into it."""
    rows = run_in(url, _read_all)

    def fill(connection: Connection) -> None:
        command.upgrade(make_config(connection), revision)
        tables = _reflect(connection)
        for name in tables.keys() - NOT_CARRIED:
            _insert(connection, tables[name], rows.get(name, []))
        _insert(connection, tables["delayed" if "delayed" in tables else "ready"], rows["delayed"])
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT setval('queue_number', coalesce(max(number), 0) + 1) FROM queue"))
            for serial in ("delta_id_seq", "outbox_number_seq"):
                connection.execute(text(f"SELECT setval('{serial}', 1000000)"))

    run_in(to, fill)


def run_in(url: str, work: Callable[[Connection], T]) -> T:
    """Do something in a transaction of a database that need not have our schema. Not in an event loop."""
    path = find_sqlite_path(url)
    if path is not None:
        path.touch(mode=0o600)
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            return work(connection)

    async def run() -> T:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _reflect(connection: Connection) -> dict[str, Table]:
    metadata = MetaData()
    metadata.reflect(connection)
    return {
        name: table for name, table in metadata.tables.items() if not name.startswith(("event_default", "finished_"))
    }


def _read_all(connection: Connection) -> dict[str, list[dict[str, object]]]:
    return {
        name: [dict(row._mapping) for row in connection.execute(select(table))]
        for name, table in _reflect(connection).items()
    }


def _insert(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    if rows:
        names = table.columns.keys()
        connection.execute(insert(table), [{name: row[name] for name in names if name in row} for row in rows])
