"""How is a new database made at once? By the statements that all migrations carry out on an empty one, written down beforehand.

One after the other they, and Alembic, would take a third of the service's start. A test carries them out and compares what is written.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, inspect, literal, select

from muster.server.adapters.sql.migrate import LOCK, TABLE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_FOLDER = Path(__file__).parent / "migrations"


def find_script(dialect: str) -> Path:
    """The file that makes a new database of this kind: `sqlite` or `postgresql`."""
    return _FOLDER / f"new_{dialect}.sql"


def make_new_sqlite(connection: Connection) -> bool:
    """Make the schema, in the transaction that is open, of a database that has none. False: it has one."""
    if _has_revision(connection):
        return False
    for statement in _cut(find_script("sqlite").read_text()):
        connection.exec_driver_sql(statement)
    return True


async def make_new_postgres(connection: "AsyncConnection") -> bool:
    """Make the schema, wholly or not at all, of a database that has none. False: it has one.

    The connection has no transaction, and keeps the lock of those who change schemas until it is closed.
    """
    await connection.execute(select(func.pg_advisory_lock(literal(LOCK))))
    await connection.commit()
    is_there = await connection.run_sync(_has_revision)
    await connection.rollback()
    if not is_there:
        # Statements that are sent together are one transaction.
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None, "the connection is open"
        await driver.execute(find_script("postgresql").read_text())
    return not is_there


def _has_revision(connection: Connection) -> bool:
    return inspect(connection).has_table(TABLE)


def _cut(script: str) -> Iterator[str]:
    """The statements of SQLite's script, of which its driver takes one at a time."""
    lines: list[str] = []
    for line in script.splitlines():
        lines.append(line)
        if sqlite3.complete_statement("\n".join(lines)):
            yield "\n".join(lines)
            lines = []
