"""Do the migrations, applied in order, build exactly the declared schema, wholly or not at all, on both databases?"""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from importlib.resources import files
from pathlib import Path

import anyio
import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from contracts.store_bench import A_DIRECTIVE, AN_ENTRY, a_taskforce, a_workflow, open_bench, until
from muster.client.shapes.new_workflow import NewTask
from muster.domain.errors import InvalidError
from muster.domain.ids import EventIds
from muster.domain.mq_profile import Direction, Kind, MqGroup, MqProfile
from muster.server.adapters.sql.database import connect_once, open_database
from muster.server.adapters.sql.migrate import find_revision, get_head, list_revisions, upgrade_beside_others
from muster.server.adapters.sql.partitions import SPAN_MS, make_coming_partitions
from muster.server.adapters.sql.schema import HOT, metadata
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.ports.queue_engine import Body, BodyKind
from muster.server.ports.store import Transaction

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def find_differences(connection: Connection) -> list[object]:
    """What the database has otherwise than declared: tables, columns, types, nullability, indexes, unique constraints, keys."""
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: not (kind == "table" and is_not_declared(name or "")),
        },
    )
    differences: list[object] = list(compare_metadata(context, metadata))
    looked = inspect(connection)
    for table in metadata.sorted_tables:
        key = looked.get_pk_constraint(table.name)["constrained_columns"]
        if key != [column.name for column in table.primary_key.columns]:
            differences.append(("primary key", table.name, key))
    return differences


def is_not_declared(table: str) -> bool:
    """Alembic's own table, and the partitions."""
    return table == "alembic_version" or re.fullmatch(r"(event|finished)_(default|[0-9]+)", table) is not None


# -- SQLite --------------------------------------------------------------------------------------------------------------


async def test_on_sqlite_they_build_the_declared_schema(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    async with open_database(f"sqlite:///{path}"):
        pass

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        assert find_differences(connection) == []
        made = {
            name
            for name, sql in connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
            if "WITHOUT ROWID" in sql
        }
    assert made == {
        table.name for table in metadata.tables.values() if table.dialect_kwargs.get("sqlite_with_rowid") is False
    }


async def test_on_sqlite_a_number_is_the_row_itself(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    async with open_database(f"sqlite:///{path}"):
        pass
    with closing(sqlite3.connect(path)) as connection:
        for table in ("event", "leased", "finished", "holder", "holder_live", "delta", "outbox"):
            indexes = [origin for _, _, _, origin, _ in connection.execute(f"PRAGMA index_list({table})")]
            assert "pk" not in indexes, table


async def test_on_sqlite_one_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE workflow (in_the_way)")

    with pytest.raises(Exception, match="workflow"):
        async with open_database(f"sqlite:///{path}"):
            pass

    with closing(sqlite3.connect(path)) as connection:
        left = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert left == [("workflow",)]
        connection.execute("DROP TABLE workflow")
    async with open_database(f"sqlite:///{path}") as database:
        await database.store.check()


async def test_tasks_from_before_the_pauses_get_the_pause_that_is_shown_for_them(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    path.touch(mode=0o600)
    config = Config()
    config.set_main_option("script_location", str(files("muster.server.adapters.sql").joinpath("migrations")))
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number, is_input in enumerate((True, False)):
            connection.execute(
                text(
                    "INSERT INTO queue (number, queue_id, workflow_id, alias, is_public, is_input, is_output, attempts, lease_s)"
                    f" VALUES ({number}, 'a{number}', 'WF', 'q{number}', true, {is_input}, true, 5, 60)"
                )
            )

    async with open_database(f"sqlite:///{path}"):
        pass

    with closing(sqlite3.connect(path)) as looked:
        pauses = looked.execute("SELECT retry_s FROM queue ORDER BY number").fetchall()
    assert pauses == [(NewTask([], "", "", [], []).retry_s,), (0.0,)]


EARLIER_OBJECTS = """
    INSERT INTO workflow (workflow_id, number, created_at, priority, owner, name, finish_when_done, state)
        VALUES ('WF-old', 9000, 1.5, 50, 'ada', '', false, 'active'), ('WF-new', 9001, 1.5, 50, 'ada', '', false, 'active');
    INSERT INTO task_directive (task_id, workflow_id, created_at, position, spec)
        VALUES ('TK-a', 'WF-new', 1.5, 0, '{}'), ('TK-c', 'WF-old', 1.5, 0, '{}'), ('TK-b', 'WF-old', 1.5, 1, '{}');
    INSERT INTO taskforce (taskforce_uuid, task_id, workflow_id, created_at, priority, location, schedd, n_workers, origin,
            worker_config, pilot_config, phase, submit_dict, job_event_log_fpath, compound_statuses, top_task_errors,
            claim_fence, submit_failures, remove_failures)
        SELECT 'TF-' || task_id || location, task_id, workflow_id, created_at, 50, location, 's', 1, 'submitted',
            '{}', '{}', 'pre-launch', '{}', '', '{}', '{}', 0, 0, 0
        FROM task_directive, (SELECT 'x' AS location UNION SELECT 'y') AS locations;
    INSERT INTO taskforce (taskforce_uuid, task_id, workflow_id, created_at, priority, location, schedd, n_workers, origin,
            worker_config, pilot_config, phase, submit_dict, job_event_log_fpath, compound_statuses, top_task_errors,
            claim_fence, submit_failures, remove_failures)
        VALUES ('TF-added', 'TK-c', 'WF-old', 2.5, 50, 'a', 's', 1, 'added', '{}', '{}', 'pre-launch', '{}', '', '{}', '{}', 0, 0, 0);
"""
IN_ORDER = {
    "task_directive": ["TK-c", "TK-b", "TK-a"],
    "taskforce": ["TF-TK-cx", "TF-TK-cy", "TF-TK-bx", "TF-TK-by", "TF-TK-ax", "TF-TK-ay", "TF-added"],
}


def upgrade_to_before_the_order_of_creation(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("muster.server.adapters.sql").joinpath("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "0002")
    for statement in EARLIER_OBJECTS.split(";"):
        if statement.strip():
            connection.execute(text(statement))


async def check_order_of_creation(url: str) -> None:
    """What was there before is numbered as it was made, and what is made now comes after it."""
    new = a_taskforce("TF-now")

    def read(tx: Transaction) -> dict[str, list[str]]:
        assert isinstance(tx, SqlTransaction)
        run = tx._session.execute
        return {
            table: list(run(text(f"SELECT {name} FROM {table} ORDER BY number")).scalars())
            for table, name in (("task_directive", "task_id"), ("taskforce", "taskforce_uuid"))
        }

    async with open_bench(url) as bench:
        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-now"), [A_DIRECTIVE]))
        await bench.write(lambda tx: tx.taskforces.insert(new, AN_ENTRY))
        found = await bench.read(read)

    assert found == {
        "task_directive": [*IN_ORDER["task_directive"], A_DIRECTIVE.task_id],
        "taskforce": [*IN_ORDER["taskforce"], "TF-now"],
    }


async def test_on_sqlite_what_was_there_is_numbered_in_order_of_creation(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        upgrade_to_before_the_order_of_creation(connection)

    await check_order_of_creation(f"sqlite:///{path}")


@pytest.mark.server
async def test_on_postgres_what_was_there_is_numbered_in_order_of_creation(empty_postgres_url: str) -> None:
    engine = create_async_engine(empty_postgres_url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade_to_before_the_order_of_creation)
    await engine.dispose()

    await check_order_of_creation(empty_postgres_url)


def test_each_file_is_named_after_its_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("muster.server.adapters.sql").joinpath("migrations")))
    scripts = ScriptDirectory.from_config(config)

    # From the newest to the first, as each names the one before.
    assert [script.revision for script in scripts.walk_revisions()] == list_revisions()[::-1]


async def test_on_sqlite_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "muster.db"
    async with open_database(f"sqlite:///{path}"):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(InvalidError, match=r"9999.*upgrade Muster"):
        async with open_database(f"sqlite:///{path}"):
            pass


# -- both ----------------------------------------------------------------------------------------------------------------

BEFORE_QUEUES_ON_A_BROKER = "0002"
INSERTS_OF_THEN = """
INSERT INTO workflow (workflow_id, number, created_at, priority, owner, name, finish_when_done, state)
VALUES ('WF-{number}', {number}, 1000.5, 70, 'ada', '', false, 'active');

INSERT INTO taskforce (
    taskforce_uuid, task_id, workflow_id, created_at, priority, location, schedd, n_workers, origin,
    worker_config, pilot_config, phase, submit_dict, job_event_log_fpath, compound_statuses, top_task_errors,
    claim_fence, submit_failures, remove_failures
) VALUES (
    'TF-{number}', 'TK-{number}', 'WF-{number}', 1000.5, 70, '{location}', 'ap', 1, 'submitted',
    '{{}}', '{{}}', '{phase}', '{{}}', '', '{{}}', '{{}}',
    0, 0, 0
);

INSERT INTO queue (number, queue_id, workflow_id, alias, is_public, is_input, is_output, attempts, lease_s)
VALUES ({number}0, 'a{number}0', 'WF-{number}', 'q0', true, true, false, 5, 60),
    ({number}1, 'a{number}1', 'WF-{number}', 'q1', true, false, true, 5, 60),
    ({number}2, 'a{number}2', 'WF-{number}', 'q2', false, true, true, 5, 60)
"""


def migrate_to_before(connection: Connection, config: Config) -> None:
    """The schema of then, with three workflows in it."""
    config.attributes["connection"] = connection
    command.upgrade(config, BEFORE_QUEUES_ON_A_BROKER)
    for number, phase, location in (
        (1, "condor-submit", "ours"),
        (2, "pre-mq-activation", "theirs"),
        (3, "condor-complete", "theirs"),
    ):
        for statement in INSERTS_OF_THEN.format(number=number, phase=phase, location=location).split(";"):
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
async def test_workflows_from_before_get_their_groups_and_profiles(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("muster.server.adapters.sql").joinpath("migrations")))
    if kind == "sqlite":
        path = tmp_path / "muster.db"
        path.touch(mode=0o600)
        url = f"sqlite:///{path}"
        with create_engine(url, poolclass=NullPool).begin() as connection:
            migrate_to_before(connection, config)
    else:
        url = request.getfixturevalue("empty_postgres_url")
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
        async with engine.begin() as opened:
            await opened.run_sync(migrate_to_before, config)
        await engine.dispose()

    async with open_database(url) as database:
        await database.store.write(lambda tx: tx.mq_groups.settle(["theirs"]))
        groups = [
            await database.store.read(lambda tx, name=name: tx.mq_groups.find_group(name))  # type: ignore[misc]
            for name in ("WF-1", "WF-2", "WF-3")
        ]
        profiles = await database.store.read(lambda tx: tx.mq_groups.list_of_workflow("WF-2"))

    assert groups == [
        MqGroup("WF-1", 1000.5, "ada", Kind.BRIDGED, {"priority": 70}, 1000.5),
        MqGroup("WF-2", 1000.5, "ada", Kind.DIRECT),
        MqGroup("WF-3", 1000.5, "ada", Kind.DIRECT, {"priority": 70}, 1000.5),
    ]
    assert [one.profile for one in profiles] == [
        MqProfile("a20", 20, "q0", is_public=True, direction=Direction.READ),
        MqProfile("a21", 21, "q1", is_public=True, direction=Direction.WRITE),
        MqProfile("a22", 22, "q2", is_public=False, direction=Direction.BOTH),
    ]


# -- PostgreSQL ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def raw(empty_postgres_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection beside the service's."""
    connection = await asyncpg.connect(empty_postgres_url)
    yield connection
    await connection.close()


@pytest.mark.server
async def test_on_postgres_they_build_the_declared_schema(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with open_database(empty_postgres_url):
        pass

    engine = create_async_engine(empty_postgres_url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.run_sync(find_differences) == []
    await engine.dispose()
    partitioned = await raw.fetch("SELECT relname FROM pg_class WHERE relkind = 'p' ORDER BY relname")
    assert [row["relname"] for row in partitioned] == ["event", "finished"]


@pytest.mark.server
async def test_on_postgres_the_hot_tables_are_tuned(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with open_database(empty_postgres_url):
        pass

    options = {row["relname"]: set(row["reloptions"] or ()) for row in await raw.fetch("SELECT * FROM pg_class")}

    for table in HOT:
        assert options[table.name] >= {"autovacuum_enabled=off", "vacuum_truncate=off"}, table.name
    assert "fillfactor=50" in options["holder"]


@pytest.mark.server
async def test_on_postgres_services_that_start_together_migrate_once(empty_postgres_url: str) -> None:
    async def start() -> None:
        async with open_database(empty_postgres_url) as database:
            await database.store.check()

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(start)


@pytest.mark.server
async def test_on_postgres_a_newer_schema_is_refused(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with open_database(empty_postgres_url):
        pass
    await raw.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(InvalidError, match=r"9999.*upgrade Muster"):
        async with open_database(empty_postgres_url):
            pass


@pytest.mark.server
async def test_on_postgres_events_go_to_the_partition_of_their_time(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with open_bench(empty_postgres_url) as bench:
        queue = await bench.add_queue()
        [event] = await bench.publish(queue, b"1")

        names = {
            row["relname"]
            for row in await raw.fetch("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        }
        place = await raw.fetchval("SELECT tableoid::regclass::text FROM event WHERE id = $1", event)

    spans = sorted(int(name.removeprefix("event_")) for name in names if re.fullmatch(r"event_\d+", name))
    assert len(spans) == 2
    assert spans[1] == spans[0] + 1
    assert place == f"event_{spans[0]}"
    assert {f"finished_{span}" for span in spans} <= names


@pytest.mark.server
async def test_on_postgres_partitions_are_made_ahead_and_once(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with open_database(empty_postgres_url):
        pass
    later = 3 * SPAN_MS / 1000 + await raw.fetchval("SELECT extract(epoch FROM now())::float8")
    engine = create_async_engine(empty_postgres_url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    for _ in range(2):
        async with engine.begin() as connection:
            await connection.run_sync(lambda core: make_coming_partitions(core, now=later))
    await engine.dispose()

    [event] = EventIds().take(1, now_s=later)
    await raw.execute(
        "INSERT INTO event (id, queue, kind, body) VALUES ($1, 1, $2, $3)",
        event,
        BodyKind.JSON,
        Body(BodyKind.JSON, b"1").data,
    )
    place = await raw.fetchval("SELECT tableoid::regclass::text FROM event WHERE id = $1", event)
    assert re.fullmatch(r"event_\d+", place)
    assert await raw.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^event_[0-9]+$'") == 4


@pytest.mark.server
async def test_on_postgres_a_partition_can_still_be_made_when_its_events_came_first(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A service that was away for months finds its newest events in the default partition; it must start all the same."""
    async with open_database(empty_postgres_url):
        pass
    later = 3 * SPAN_MS / 1000 + await raw.fetchval("SELECT extract(epoch FROM now())::float8")
    [event] = EventIds().take(1, now_s=later)
    await raw.execute("INSERT INTO event (id, queue, kind, body) VALUES ($1, 1, 0, '1')", event)
    engine = create_async_engine(empty_postgres_url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)

    async with engine.begin() as connection:
        await connection.run_sync(lambda core: make_coming_partitions(core, now=later))
    await engine.dispose()

    assert await raw.fetchval("SELECT count(*) FROM event WHERE id = $1", event) == 1
    assert await raw.fetchval("SELECT count(*) FROM event_default") == 0


@pytest.mark.server
async def test_on_postgres_a_long_read_is_not_in_the_way_of_a_service_that_makes_partitions(
    empty_postgres_url: str, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with open_bench(empty_postgres_url) as bench:
        queue = await bench.add_queue()
        later = 3 * SPAN_MS / 1000 + await raw.fetchval("SELECT extract(epoch FROM now())::float8")
        engine = create_async_engine(
            empty_postgres_url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool
        )

        async with raw.transaction():
            await raw.fetchval("SELECT count(*) FROM event")
            async with engine.begin() as connection:
                await connection.run_sync(lambda core: make_coming_partitions(core, now=later))
            await bench.publish(queue, b"1")
        assert await raw.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^event_[0-9]+$'") == 2

        async with engine.begin() as connection:
            await connection.run_sync(lambda core: make_coming_partitions(core, now=later))
        await engine.dispose()
        assert await raw.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^event_[0-9]+$'") == 4


DEADLOCKING = '''"""Two tables, one after the other."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """While the second one is waited for, somebody waits for the first."""
    op.add_column("asking", sa.Column("coming", sa.Integer(), nullable=True))
    op.add_column("jwk", sa.Column("coming", sa.Integer(), nullable=True))
'''


@pytest.mark.server
async def test_on_postgres_a_migration_that_is_undone_by_a_deadlock_is_made_again(
    postgres_url: str, tmp_path: Path
) -> None:
    (tmp_path / "9001_deadlocking.py").write_text(DEADLOCKING.format(head=get_head()))
    other = await asyncpg.connect(postgres_url)
    # Whoever looks for a deadlock first is undone by it: that is to be the migration.
    await other.execute("SET deadlock_timeout = '60s'")
    transaction = other.transaction()
    await transaction.start()
    await other.execute("LOCK TABLE jwk IN ACCESS EXCLUSIVE MODE")
    said: list[str] = []
    async with connect_once(postgres_url) as connection, anyio.create_task_group() as group:
        group.start_soon(partial(upgrade_beside_others, connection, tell=said.append, folders=[tmp_path]))
        await until(lambda: is_locked(postgres_url, "asking"))
        with anyio.fail_after(30):
            await other.execute("LOCK TABLE asking IN ACCESS SHARE MODE")
        await transaction.rollback()
    await other.close()

    assert len(said) >= 1
    async with connect_once(postgres_url) as connection:
        assert await connection.run_sync(find_revision) == "9001"


async def is_locked(url: str, table: str) -> bool:
    raw = await asyncpg.connect(url)
    query = "SELECT count(*) FROM pg_locks WHERE relation = $1::regclass AND mode = 'AccessExclusiveLock' AND granted"
    count = await raw.fetchval(query, table)
    await raw.close()
    return bool(count)
