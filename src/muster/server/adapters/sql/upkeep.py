"""What can be done to a database beside the service? See how it stands, upgrade it, back it up, restore it."""

import contextlib
import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, inspect

from muster.domain.errors import ConflictError, Finding, InvalidError, NotFoundError, UnavailableError
from muster.server.adapters.sql import eras, migrate, replicas
from muster.server.adapters.sql.database import change_sqlite, connect_once, find_sqlite_path
from muster.server.adapters.sql.faults import database_errors, permission_errors
from muster.server.adapters.sql.migrate import Migration
from muster.server.adapters.sql.replicas import Service
from muster.server.adapters.sql.rows import ask_postgres_clock
from muster.server.adapters.sql.sqlite_file import COMPANIONS, make_private
from muster.server.adapters.sql.sqlite_lock import find_holder, lock_file
from muster.server.adapters.sql.sqlite_store import open_connection

_ERAS_SINCE = "0009"
BUSY_S = 30.0
"""Seconds to wait for a SQLite file that somebody has locked."""


@dataclass(frozen=True)
class Standing:
    """How a database stands.

    Args:
        kind: `sqlite` or `postgresql`.
        revision: of its schema; None where nothing was migrated.
        made, missing: of the migrations that this program knows, in order.
        is_newer: it has migrations that this program does not know; which, only a newer one can tell.
        era: None where no service has opened it since there are eras.
        services: those that run on it, on PostgreSQL.
        holder: the process that has the SQLite file; None where none does, or none that can be seen from here.
        now: by its clock, seconds since the epoch.
    """

    kind: str
    revision: str | None
    made: Sequence[Migration]
    missing: Sequence[Migration]
    is_newer: bool
    era: int | None
    services: Sequence[Service]
    now: float
    holder: int | None = None

    @property
    def is_current(self) -> bool:
        """Is it exactly what this program needs?"""
        return not self.missing and not self.is_newer


@dataclass(frozen=True)
class Copied:
    """A copy that was made and checked."""

    file: Path
    size_bytes: int
    revision: str


async def look(url: str) -> Standing:
    """See how a database stands; changes nothing.

    Raises:
        NotFoundError: there is no such SQLite file.
        InvalidError: an address that cannot be read, or a file that is no database.
        UnavailableError: it does not answer.
    """
    path = find_sqlite_path(url)
    with database_errors(), permission_errors():
        if path is not None:
            with _reading(path) as core:
                return replace(_look(core, now=time.time()), holder=find_holder(path))
        async with connect_once(url) as connection:
            return await connection.run_sync(lambda core: _look(core, now=ask_postgres_clock(core)))


def _look(core: Connection, *, now: float) -> Standing:
    revision, known = migrate.find_revision(core), migrate.list_migrations()
    is_newer = revision is not None and revision not in {one.revision for one in known}
    missing = () if is_newer else migrate.list_pending(core)
    tables = set(inspect(core).get_table_names())
    era = eras.find_era(core) if "era" in tables else None
    is_shared = core.dialect.name == "postgresql" and "replica" in tables
    return Standing(
        kind=core.dialect.name,
        revision=revision,
        made=known[: len(known) - len(missing)],
        missing=missing,
        is_newer=is_newer,
        era=None if era is None else era.number,
        services=replicas.list_services(core, now=now) if is_shared else (),
        now=now,
    )


async def upgrade(url: str, *, tell: Callable[[str], None]) -> Sequence[Migration]:
    """Bring a database to this version's schema. Returns what was migrated.

    Args:
        tell: called with what is being waited for.

    Raises:
        InvalidError: a newer version has migrated it, it is none, or this user may not change it.
        ConflictError: a service has the SQLite file, or services run that could not go on.
        UnavailableError: it does not answer, or others kept its tables locked.
    """
    path = find_sqlite_path(url)
    if path is None:
        with database_errors(), permission_errors():
            async with connect_once(url) as connection:
                return await migrate.upgrade_beside_others(connection, tell=tell)
    with lock_file(path), database_errors():
        make_private(path)
        with change_sqlite(path) as core:
            return migrate.upgrade(core)


async def mark_as_restored(url: str) -> None:
    """Say that the database was put back to an earlier state in a way that it cannot notice.

    It begins a new era at the next start or, where services run, within seconds.

    Raises as `upgrade`; ConflictError also for a schema from before there were eras.
    """
    path = find_sqlite_path(url)

    def mark(core: Connection) -> None:
        if any(one.revision == _ERAS_SINCE for one in migrate.list_pending(core)):
            raise ConflictError(
                "the database's schema is from before this could be noted: say `muster db upgrade` first"
            )
        eras.mark_as_restored(core)

    if path is None:
        with database_errors():
            async with connect_once(url) as connection, connection.begin():
                await connection.run_sync(mark)
        return
    with lock_file(path), database_errors():
        if not path.exists():
            raise _missing(path)
        make_private(path)
        with change_sqlite(path) as core:
            mark(core)


def back_up(url: str, file: Path) -> Copied:
    """Copy a SQLite database to a new file, consistent and checked, also while a service works on it.

    Raises:
        InvalidError: it is no SQLite database, or the copy has faults.
        NotFoundError: there is none.
        ConflictError: the file is there.
        UnavailableError: the disk refuses.
    """
    path = find_sqlite_path(url)
    if path is None:
        raise InvalidError(
            [
                Finding(
                    "database_url",
                    "PostgreSQL is backed up by its own programs: `pg_dump --format=custom --file=FILE URL` "
                    "(docs/how-to/back-up.md)",
                )
            ]
        )
    if not path.exists():
        raise _missing(path)
    return _copy(path, file, wanted="a backup")


def restore(file: Path, url: str) -> Copied:
    """Put a backup in the place of a SQLite database that is not there any more; it begins a new era.

    Raises as `back_up`; ConflictError also for a database that is still there, or that a service has.
    """
    path = find_sqlite_path(url)
    if path is None:
        raise InvalidError(
            [
                Finding(
                    "database_url",
                    "PostgreSQL is restored by its own programs: `pg_restore --dbname=URL FILE` (docs/how-to/back-up.md)",
                )
            ]
        )
    if not file.exists():
        raise NotFoundError(f"there is no backup {file}")
    with lock_file(path):
        companions = [path.with_name(path.name + suffix) for suffix in COMPANIONS]
        if left := [one for one in (path, *companions) if one.exists()]:
            away = path.with_name(path.name + ".before-restore")
            remedy = f"{shlex.join(['mkdir', str(away)])} && {shlex.join(['mv', *map(str, left), str(away)])}"
            raise ConflictError(
                f"{left[0]} is there, and what it holds would be lost (a left -wal would even spoil the copy): move it away "
                f"first, with `{remedy}`"
            )
        return _copy(file, path, wanted="a database")


def _copy(source: Path, target: Path, *, wanted: str) -> Copied:
    """A consistent copy, complete under its name or not there at all."""
    if target.exists():
        raise ConflictError(f"{target} is there: name another file for {wanted}")
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with database_errors():
                revision = _fill(draft, source)
            _sync(draft)
            try:
                os.link(draft, target)  # unlike a rename, it fails where somebody was faster
            except FileExistsError:
                raise ConflictError(f"{target} is there: name another file for {wanted}") from None
        finally:
            draft.unlink(missing_ok=True)
        _sync(target.parent)
    except OSError as error:
        raise UnavailableError(f"{target}: {error.strerror or error}") from error
    return Copied(target, target.stat().st_size, revision)


def _fill(draft: Path, source: Path) -> str:
    """Copy and check. Returns the schema's revision."""
    with (
        contextlib.closing(_connect(source)) as original,
        contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy,
    ):
        try:
            original.execute("PRAGMA query_only=ON")
            # In one go: from one snapshot, beside which the writer goes on (WAL).
            original.backup(copy, pages=-1)
            revision = copy.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        except (sqlite3.DatabaseError, TypeError) as error:
            if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
                raise
            raise InvalidError([Finding(str(source), f"is no database of Muster: {error}")]) from error
        copy.execute("PRAGMA journal_mode=DELETE")  # so that it is one file
        if copy.execute("SELECT count(*) FROM sqlite_master WHERE name = 'era'").fetchone()[0]:
            copy.execute("UPDATE era SET identity = ? WHERE number = (SELECT max(number) FROM era)", (eras.UNKNOWN,))
        faults = [row[0] for row in copy.execute("PRAGMA integrity_check(10)")]
        if faults != ["ok"]:
            raise InvalidError([Finding(str(source), f"has faults: {'; '.join(faults)}")])
        return str(revision)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_S)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Connection]:
    if not path.exists():
        raise _missing(path)
    try:
        raw = open_connection(path, read_only=True)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB:
            raise InvalidError([Finding("database_url", f"{path} is not a SQLite database")]) from error
        raise
    with contextlib.closing(raw), contextlib.closing(raw.core):
        yield raw.core


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(path: Path) -> NotFoundError:
    return NotFoundError(
        f"there is no {path}: name the database by MUSTER_DATABASE_URL, or the folder of `muster up` with --dir"
    )
