"""How does a database come to this version's schema? By Alembic's migrations, one after another, under a lock.

Each migration says whether services of the version before may go on working beside it (`beside_older`). On PostgreSQL each is a transaction
of its own, and waits for locks only so long that nobody who waits behind it notices: then it gives way, and tries again.

Most starts find the schema there, and are spared Alembic: loading it takes a tenth of a start.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import Connection, column, func, inspect, literal, select, table, text
from sqlalchemy.exc import DBAPIError

from muster.domain.errors import ConflictError, Finding, InvalidError, UnavailableError
from muster.server.adapters.sql import replicas
from muster.server.adapters.sql.faults import is_lock_not_available, is_worth_another_try
from muster.server.adapters.sql.rows import ask_postgres_clock

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncConnection

LOCK_TIMEOUT_S = 2.0
"""A migration that waits for a lock keeps everybody waiting who comes after it: so long, and then it gives way."""
PAUSE_S = 1.0
"""Seconds in which the others go on, before the next try."""
PATIENCE_S = 60.0
"""Seconds after which a migration that finds no gap is given up."""
LOCK = 0x6D696772
_FOLDER = Path(__file__).parent / "migrations"
TABLE = "alembic_version"
_BUSY = text("""
    SELECT 'process ' || pid || coalesce(' of ' || usename, '') || coalesce(', ' || nullif(application_name, ''), '')
        || ', in a transaction for ' || round(extract(epoch FROM clock_timestamp() - xact_start)) || ' s'
    FROM pg_stat_activity
    WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    ORDER BY xact_start LIMIT 1
""")


@dataclass(frozen=True)
class Migration:
    """One step of the schema.

    Args:
        beside_older: may services that do not know it work while it is made, and after?
    """

    revision: str
    title: str
    beside_older: bool


def list_migrations(folders: Sequence[Path] = ()) -> Sequence[Migration]:
    """All that this program knows, in order. `folders`: of further ones."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(make_config(folders=folders))
    return [
        Migration(one.revision, (one.doc or "").partition(":")[0].rstrip("."), bool(one.module.beside_older))
        for one in reversed(list(scripts.walk_revisions()))
    ]


def list_revisions() -> Sequence[str]:
    """The revisions that this program knows, in order: each migration's file is named after its own."""
    return sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def get_head() -> str:
    """The revision that this program is written for."""
    return list_revisions()[-1]


def find_revision(connection: Connection) -> str | None:
    """The database's; None where nothing was migrated."""
    if not inspect(connection).has_table(TABLE):
        return None
    found: str | None = connection.scalar(select(column("version_num")).select_from(table(TABLE)))
    return found


def list_pending(connection: Connection, folders: Sequence[Path] = ()) -> Sequence[Migration]:
    """What the database lacks, in order. Raises InvalidError for one that a newer version has migrated."""
    current = find_revision(connection)
    if current == get_head() and not folders:
        return ()
    known = list_migrations(folders)
    if current is None:
        return known
    revisions = [one.revision for one in known]
    if current not in revisions:
        raise InvalidError(
            [
                Finding(
                    "database_url",
                    f"its schema has revision {current}, which a newer version of Muster made (this one knows those to "
                    f"{revisions[-1]}): upgrade Muster",
                )
            ]
        )
    return known[revisions.index(current) + 1 :]


def refuse_pending(connection: Connection) -> None:
    """Raises ConflictError where the database lacks migrations, InvalidError where it has more than this program knows."""
    if pending := list_pending(connection):
        # Not asked again: somebody may be migrating it.
        known = list_revisions()
        has = ["none", *known][known.index(pending[0].revision)]
        raise ConflictError(
            f"the database's schema has revision {has} and this program needs "
            f"{pending[-1].revision}: say `muster db upgrade` first (MUSTER_UPGRADE_AT_START is off, so the service does not)"
        )


def upgrade(connection: Connection) -> Sequence[Migration]:
    """Bring the schema to this version, in the transaction that is open on the connection: wholly, or not at all.

    Returns what was migrated. Raises InvalidError for a database that a newer version has migrated.
    """
    pending = list_pending(connection)
    if pending:
        from alembic import command

        command.upgrade(make_config(connection), pending[-1].revision)
    return pending


async def upgrade_beside_others(
    connection: "AsyncConnection",
    *,
    tell: Callable[[str], None],
    patience_s: float = PATIENCE_S,
    folders: Sequence[Path] = (),
) -> Sequence[Migration]:
    """Bring a PostgreSQL database to this version's schema, also while services run on it, as far as each migration allows that.

    What is done stays done when one fails: the database is then of the revision before it. The connection has no transaction, and keeps
    a lock until it is closed, by which one program upgrades at a time.

    Args:
        tell: called with what is being waited for.
        patience_s: seconds within which each migration must have found a gap.
        folders: of further migrations.

    Raises:
        InvalidError: a newer version has migrated the database.
        ConflictError: services run that could not go on beside what is to be done.
        UnavailableError: others kept the tables locked.
    """
    await connection.execute(select(func.pg_advisory_lock(literal(LOCK))))
    await connection.commit()
    pending = await connection.run_sync(list_pending, folders)
    await connection.rollback()
    for one in pending:
        await _migrate(connection, one, tell, patience_s=patience_s, folders=folders)
    return pending


async def _await_solitude(connection: "AsyncConnection", one: Migration, tell: Callable[[str], None]) -> None:
    """Wait until no service runs: one that died is thought to run for a while. Raises ConflictError."""
    until = time.monotonic() + replicas.PLACE_S + PAUSE_S
    is_told = False
    while services := await connection.run_sync(
        lambda core: replicas.list_services(core, now=ask_postgres_clock(core))
    ):
        await connection.rollback()
        names = ", ".join(f"service {service.node} (version {service.version or 'unknown'})" for service in services)
        if time.monotonic() >= until:
            raise ConflictError(
                f"migration {one.revision} ({one.title}) is none that services of before can work beside, and these do: "
                f"{names}. Stop them, and try again"
            )
        if not is_told:
            tell(f"migration {one.revision} waits for the end of {names}")
            is_told = True
        await anyio.sleep(PAUSE_S)
    await connection.rollback()


def _shut_out_services(connection: Connection) -> bool:
    return replicas.shut_out(connection, now=ask_postgres_clock(connection))


async def _migrate(
    connection: "AsyncConnection",
    one: Migration,
    tell: Callable[[str], None],
    *,
    patience_s: float,
    folders: Sequence[Path],
) -> None:
    """One migration, in a transaction of its own, in which no service begins where it must be alone."""
    from alembic import command

    is_beside_all = one.beside_older or one.revision == list_revisions()[0]
    until = time.monotonic() + patience_s
    while True:
        try:
            async with connection.begin():
                await connection.execute(text(f"SET LOCAL lock_timeout = {int(LOCK_TIMEOUT_S * 1000)}"))
                may_begin = is_beside_all or await connection.run_sync(_shut_out_services)
                if may_begin:
                    await connection.run_sync(lambda core: command.upgrade(make_config(core, folders), one.revision))
        except DBAPIError as error:
            # A deadlock with a service that has locked the tables in another order: one of the two is undone.
            if not (is_lock_not_available(error) or is_worth_another_try(error)):
                raise
        else:
            if may_begin:
                return
            await _await_solitude(connection, one, tell)
            until = time.monotonic() + patience_s
            continue
        busy = await connection.scalar(_BUSY) or "somebody who is gone by now, or whom this database user may not see"
        await connection.rollback()
        if time.monotonic() >= until:
            raise UnavailableError(
                f"migration {one.revision} ({one.title}) found no moment in {patience_s:g} s in which its tables were free, and "
                f"was not made: the oldest transaction is {busy}. End it, and try again"
            )
        tell(f"migration {one.revision} gave way to {busy}; trying again")
        await anyio.sleep(PAUSE_S)


def make_config(connection: Connection | None = None, folders: Sequence[Path] = ()) -> "Config":
    """Alembic's settings. `folders`: of further migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _escape(_FOLDER))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(_escape(one) for one in (_FOLDER / "versions", *folders)))
    config.attributes["connection"] = connection
    return config


def _escape(path: Path) -> str:
    return str(path).replace("%", "%%")
