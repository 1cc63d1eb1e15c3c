"""Can a service begin, or go on, beside a migration that it cannot work beside? In no moment, however ill-chosen."""

from functools import partial
from pathlib import Path

import anyio
import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection

from contracts.store_bench import open_bench, until
from muster.domain.errors import ConflictError, InvalidError
from muster.server.adapters.sql import migrate, replicas, upkeep
from muster.server.adapters.sql.database import connect_once, open_database
from muster.server.adapters.sql.rows import ask_postgres_clock

pytestmark = [pytest.mark.anyio, pytest.mark.server]

ALONE = '''"""Alone: services of before cannot work beside it."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"
branch_labels = None
depends_on = None
beside_older = False


def upgrade() -> None:
    """A column that they do not write."""
    op.add_column("workflow", sa.Column("coming", sa.Integer(), nullable=False, server_default=sa.text("7")))
'''


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "9001_alone.py").write_text(ALONE.format(head=migrate.get_head()))
    return tmp_path


async def find_revision(url: str) -> str | None:
    async with connect_once(url) as connection:
        return await connection.run_sync(migrate.find_revision)


async def list_nodes(url: str) -> list[int]:
    return [one.node for one in (await upkeep.look(url)).services]


async def does_somebody_wait(url: str) -> bool:
    """For a lock that is no row's or table's."""
    raw = await asyncpg.connect(url)
    query = """
        SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database())
    """
    waits: bool = await raw.fetchval(query)
    await raw.close()
    return waits


def take_place(connection: Connection) -> None:
    replicas.lock(connection)
    replicas.take_node(connection, token="beginning", now=ask_postgres_clock(connection))


async def test_one_that_begins_while_the_upgrade_looks_for_services_is_waited_for(
    postgres_url: str, folder: Path
) -> None:
    said: list[str] = []

    async def is_told() -> bool:
        return bool(said)

    async with connect_once(postgres_url) as service, connect_once(postgres_url) as connection:
        transaction = await service.begin()
        await service.run_sync(take_place)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(migrate.upgrade_beside_others, connection, tell=said.append, folders=[folder]))
            await until(lambda: does_somebody_wait(postgres_url))
            await transaction.commit()
            await until(is_told)
            assert await find_revision(postgres_url) == migrate.get_head()
            async with service.begin():
                await service.run_sync(lambda core: replicas.leave_node(core, token="beginning"))

    assert said == [f"migration 9001 waits for the end of service 0 (version {replicas.PROGRAM})"]
    assert await find_revision(postgres_url) == "9001"


async def test_one_that_found_its_schema_there_is_refused_where_it_was_migrated_since(
    postgres_url: str, folder: Path
) -> None:
    async def start() -> None:
        with pytest.raises(InvalidError, match="9001, which a newer version of Muster made"):
            async with open_database(postgres_url):
                pass

    async with connect_once(postgres_url) as connection, anyio.create_task_group() as group, connection.begin():
        assert await connection.run_sync(migrate._shut_out_services)
        group.start_soon(start)
        await until(lambda: does_somebody_wait(postgres_url))
        await connection.run_sync(lambda core: command.upgrade(migrate.make_config(core, [folder]), "9001"))

    assert await list_nodes(postgres_url) == []


async def test_one_that_was_silent_for_too_long_does_not_go_on_after_it(postgres_url: str, folder: Path) -> None:
    """Its machine stood still, for one: nobody waits for it, so it must notice."""
    raw = await asyncpg.connect(postgres_url)
    async with open_bench(postgres_url) as bench:
        await raw.execute("UPDATE replica SET until = until - 3600")

        async with connect_once(postgres_url) as connection:
            await migrate.upgrade_beside_others(connection, tell=pytest.fail, folders=[folder])

        with pytest.raises(ConflictError, match="start it again"):
            await bench.store.heartbeat()
    await raw.close()
