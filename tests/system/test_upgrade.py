"""Does a system come to another schema with its work in flight: between two runs of the service, and beside one that runs?"""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from harness.stack import Stack
from harness.tally import Tally, check_account, consume_values
from harness.waiting import wait_for
from migrations.earlier import carry_back
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.synchronous import Client
from muster.server.adapters.sql import migrate
from muster.server.adapters.sql.database import connect_once
from muster.server.adapters.sql.migrate import get_head
from muster.server.adapters.sql.replicas import PROGRAM
from services.postgres import PostgresServer

pytestmark = pytest.mark.system

EVENTS = 80
LEASE_S = 5.0
COMING = '''"""Coming: what later migrations may do beside services of before, to every table that they work on."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"
branch_labels = None
depends_on = None
beside_older = True
TABLES = ("workflow", "task_directive", "taskforce", "queue", "event", "ready", "delayed", "leased", "holder", "counter", "delta",
          "finished", "dead", "attempt", "outbox", "answer")


def upgrade() -> None:
    """A column with a default in each, another that may be null, an index, and a table."""
    for table in TABLES:
        op.add_column(table, sa.Column("coming", sa.Integer(), nullable=False, server_default=sa.text("7")))
        op.add_column(table, sa.Column("perhaps", sa.Text(), nullable=True))
    op.create_index("taskforce_coming", "taskforce", ["coming", "number"], unique=False)
    op.create_table("coming", sa.Column("name", sa.Text(), primary_key=True))
'''


def submit(client: Client, tally: Tally) -> str:
    task = tally.make_task(
        lease_s=LEASE_S,
        retry_s=0.3,
    )
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
    workflow = client.submit_workflow(new).workflow_id
    tally.publish(client, workflow, ({"n": n, "sleep_s": 0.1} for n in range(EVENTS)), close=True)
    return workflow


def check_all_done_once(client: Client, workflow: str, tally: Tally) -> None:
    """Each event is done, has one result, and nothing was run twice: no lease was given up."""
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=120)
    check_account(client, workflow, published=EVENTS, done=EVENTS)
    assert sorted(value["n"] for value in consume_values(client, workflow, "out")) == list(range(EVENTS))
    assert set(tally.runs().values()) == {1}
    assert client.get_progress(workflow).failures == 0


@pytest.fixture
def postgres_stack(stack: Stack, postgres_url: str) -> Iterator[Stack]:
    stack.database_url = postgres_url
    yield stack
    stack.close()  # before the database is dropped


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_workers_keep_what_they_hold_while_the_service_is_away_for_an_upgrade(
    stack: Stack, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """From the first schema of all, with workers at work all the while."""
    if kind == "postgresql":
        stack.database_url = request.getfixturevalue("postgres_url")
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = submit(client, tally)
        wait_for(lambda: client.get_progress(workflow).input.in_work and tally.runs(), "work is going on")

        stack.kill("serve")
        if kind == "postgresql":
            present, stack.database_url = stack.database_url, request.getfixturevalue("empty_postgres_url")
            assert present is not None
            carry_back(present, to=stack.database_url, revision="0001")
        else:
            file = stack.state / "muster.db"
            for suffix in ("", "-wal", "-shm"):
                shutil.move(f"{file}{suffix}", tmp_path / f"present.db{suffix}")
            carry_back(f"sqlite:///{tmp_path / 'present.db'}", to=f"sqlite:///{file}", revision="0001")
        run_db(stack, "upgrade")
        stack.start_serve(MUSTER_UPGRADE_AT_START="false")

        check_all_done_once(client, workflow, tally)


def run_db(stack: Stack, *arguments: str) -> str:
    variables = {"MUSTER_DATABASE_URL": stack.database_url or f"sqlite:///{stack.state / 'muster.db'}"}
    done = stack.run("db", *arguments, sign_in=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.server
def test_a_service_works_on_while_its_database_is_upgraded_and_nobody_waits_for_a_lock(
    postgres_stack: Stack, tmp_path: Path
) -> None:
    """It is the older one beside a migration that is still to come. Somebody's transaction keeps the tables locked at first: the
    migration gives way to whoever works, again and again, until that is over.
    """
    stack, url = postgres_stack, postgres_stack.database_url
    assert url is not None
    folder = tmp_path / "coming"
    folder.mkdir()
    (folder / "9001_coming.py").write_text(COMING.format(head=get_head()))
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    said: list[str] = []
    with stack.client() as client:
        workflow = submit(client, tally)
        wait_for(lambda: client.get_progress(workflow).input.done >= 5, "work is going on")
        upgrading = threading.Thread(
            target=lambda: asyncio.run(upgrade_in_the_way(url, folder, said, client, workflow))
        )

        upgrading.start()
        upgrading.join(timeout=120)

        assert not upgrading.is_alive()
        assert asyncio.run(find_revision(url)) == "9001"
        assert len(said) >= 2
        assert all("migration 9001 gave way to" in one for one in said), said
        assert all("idle in the way" in one for one in said[:2]), said
        check_all_done_once(client, workflow, tally)
    log = stack.parts["serve"].log.read_text()
    assert '"level": "error"' not in log
    assert "Traceback" not in log
    refused = stack.run("db", "status", sign_in={"MUSTER_DATABASE_URL": url})
    assert refused.returncode == 1
    assert "9001, newer than this program" in refused.stdout


async def upgrade_in_the_way(url: str, folder: Path, said: list[str], client: Client, workflow: str) -> None:
    in_the_way = await asyncpg.connect(url, server_settings={"application_name": "idle in the way"})
    transaction = in_the_way.transaction()
    await transaction.start()
    await in_the_way.fetchval("SELECT count(*) FROM leased")
    done: list[int] = []

    def tell(what: str) -> None:
        said.append(what)
        done.append(client.get_progress(workflow).input.done)
        if len(said) == 2:
            asyncio.get_running_loop().create_task(transaction.rollback())

    async with connect_once(url) as connection:
        await migrate.upgrade_beside_others(connection, tell=tell, folders=[folder])
    await in_the_way.close()
    assert done[1] > done[0], "the service worked on between two tries"


async def find_revision(url: str) -> str | None:
    async with connect_once(url) as connection:
        return await connection.run_sync(migrate.find_revision)


@pytest.mark.server
def test_a_migration_that_services_cannot_work_beside_waits_for_their_end(
    postgres_stack: Stack, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    stack, url = postgres_stack, postgres_stack.database_url
    assert url is not None
    folder = tmp_path / "coming"
    folder.mkdir()
    (folder / "9001_coming.py").write_text(
        COMING.format(head=get_head()).replace("beside_older = True", "beside_older = False")
    )
    stack.start_serve()
    said: list[str] = []

    async def upgrade() -> None:
        async with connect_once(url) as connection:
            await migrate.upgrade_beside_others(connection, tell=said.append, folders=[folder])

    upgrading = threading.Thread(target=lambda: asyncio.run(upgrade()))
    upgrading.start()
    wait_for(lambda: said, "it says for whom it waits")
    assert asyncio.run(find_revision(url)) == get_head()
    assert stack.stop("serve") == 0
    upgrading.join(timeout=60)

    assert not upgrading.is_alive()
    assert asyncio.run(find_revision(url)) == "9001"
    assert said == [f"migration 9001 waits for the end of service 0 (version {PROGRAM})"]


def test_a_service_that_is_not_to_migrate_refuses_an_outdated_database_and_says_what_to_do(stack: Stack) -> None:
    part = stack._start(
        "serve",
        ["serve"],
        crash=None,
        times=0,
        MUSTER_UPGRADE_AT_START="false",
        MUSTER_TOKEN_FILE=str(stack.root / "t"),
    )

    assert part.process.wait(timeout=60) == 4
    log = part.log.read_text()
    assert (
        f"the database's schema has revision none and this program needs {get_head()}: say `muster db upgrade` first"
        in log
    )
