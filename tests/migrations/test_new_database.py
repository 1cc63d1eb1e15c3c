"""Is a database that was made at once what the migrations make of an empty one?"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import asyncpg
import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from migrations.recorded import record_postgres, record_sqlite
from muster.domain.errors import ConflictError, InvalidError
from muster.server.adapters.sql import migrate, upkeep
from muster.server.adapters.sql.database import connect_once, open_database
from muster.server.adapters.sql.new_database import find_script, make_new_postgres, make_new_sqlite

pytestmark = pytest.mark.anyio

STALE = "the migrations have changed: PYTHONPATH=tests python -m migrations.recorded"


async def open_and_close(url: str) -> None:
    async with open_database(url):
        pass


async def upgrade(url: str) -> None:
    await upkeep.upgrade(url, tell=print)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_the_script_for_sqlite_is_what_the_migrations_say(tmp_path: Path) -> None:
    assert find_script("sqlite").read_text() == record_sqlite(tmp_path), STALE


@pytest.mark.server
async def test_the_script_for_postgres_is_what_the_migrations_say(empty_postgres_url: str) -> None:
    assert find_script("postgresql").read_text() == await record_postgres(empty_postgres_url), STALE


def test_on_sqlite_both_ways_end_in_the_same_schema_without_rows(tmp_path: Path) -> None:
    found = []
    for name, make in (("at-once", make_new_sqlite), ("in-steps", migrate.upgrade)):
        path = tmp_path / name
        with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
            make(connection)
        with closing(sqlite3.connect(path)) as raw:
            schema = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
            laid_out = [(*names, " ".join((sql or "").split())) for *names, sql in schema]
            tables = [name for kind, name, *_ in schema if kind == "table"]
            found.append((laid_out, {one: raw.execute(f'SELECT * FROM "{one}"').fetchall() for one in tables}))

    assert found[0] == found[1]
    assert len(found[0][0]) > 40
    assert {one for one, rows in found[0][1].items() if rows} == {migrate.TABLE}


def test_on_sqlite_one_that_has_a_schema_is_left_as_it_is(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'muster.db'}", poolclass=NullPool)
    with engine.begin() as connection:
        assert make_new_sqlite(connection)
    with engine.begin() as connection:
        assert not make_new_sqlite(connection)


@pytest.mark.server
async def test_on_postgres_those_that_come_together_make_one_and_nobody_fails(empty_postgres_url: str) -> None:
    made = []

    async def make() -> None:
        async with connect_once(empty_postgres_url) as connection:
            made.append(await make_new_postgres(connection))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(make)

    assert sorted(made) == [False, False, False, True]


@pytest.mark.server
async def test_on_postgres_one_that_fails_leaves_nothing_behind(empty_postgres_url: str) -> None:
    raw = await asyncpg.connect(empty_postgres_url)
    await raw.execute("CREATE TABLE workflow (in_the_way int)")  # one of the last that are made

    with pytest.raises(Exception, match="workflow"):
        async with open_database(empty_postgres_url):
            pass

    left = await raw.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    assert [row["relname"] for row in left] == ["workflow"]
    await raw.execute("DROP TABLE workflow")
    async with open_database(empty_postgres_url) as database:
        await database.store.check()
    await raw.close()


@pytest.mark.server
@pytest.mark.parametrize("prepare", [open_and_close, upgrade])
async def test_on_postgres_who_may_not_make_tables_is_told_so(
    empty_postgres_url: str, prepare: Callable[[str], Awaitable[object]]
) -> None:
    raw = await asyncpg.connect(empty_postgres_url)
    await raw.execute("CREATE ROLE guest LOGIN")
    told = "its user may not do what Muster needs there: permission denied for schema public. Let the owner"

    try:
        with pytest.raises(InvalidError, match=told) as raised:
            await prepare(empty_postgres_url.replace("//postgres@", "//guest@"))
    finally:
        await raw.execute("DROP ROLE guest")
        await raw.close()

    assert [one.field for one in raised.value.findings] == ["database_url"]


@pytest.mark.server
async def test_on_postgres_a_database_that_can_only_be_read_is_told_as_that(empty_postgres_url: str) -> None:
    raw = await asyncpg.connect(empty_postgres_url)
    name = empty_postgres_url.rpartition("/")[2]
    await raw.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await raw.close()

    with pytest.raises(InvalidError, match="it can only be read: cannot execute CREATE TABLE"):
        await open_and_close(empty_postgres_url)


@pytest.mark.server
async def test_on_postgres_it_is_asked_once_for_the_revision_that_a_refusal_names(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_pending = migrate.list_pending

    def look_late(connection: Connection) -> Sequence[migrate.Migration]:
        pending = list_pending(connection)
        make_new(connection)  # somebody else's start, meanwhile
        return pending

    def make_new(connection: Connection) -> None:
        connection.exec_driver_sql(f"CREATE TABLE {migrate.TABLE} (version_num varchar(32))")
        connection.exec_driver_sql(f"INSERT INTO {migrate.TABLE} VALUES ('{migrate.get_head()}')")

    monkeypatch.setattr(migrate, "list_pending", look_late)

    with pytest.raises(ConflictError, match="has revision none and this program needs"):
        async with open_database(empty_postgres_url, is_upgraded=False):
            pass


@pytest.mark.server
async def test_on_postgres_a_start_on_an_empty_database_migrates_nothing(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(migrate, "upgrade_beside_others")

    await open_and_close(empty_postgres_url)
