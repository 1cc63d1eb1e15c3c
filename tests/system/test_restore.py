"""Is a system whole again after its database was lost and restored from a backup made in the middle of work?

Others know more than the restored database: workers, agents, listeners and people. What came after the backup is gone; what is in the
restored account is counted once, and comes to its end.
"""

import asyncio
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from harness.processes import find_with, workers_alive
from harness.stack import Stack
from harness.tally import Tally, check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.stream import GapView, NoticeView
from muster.client.synchronous import Client
from services.postgres import PostgresServer, run_postgres

pytestmark = pytest.mark.system

EVENTS = 90
TRANSACTIONS = 20_000
"""So many more than the new cluster had."""


@dataclass
class Vault:
    """A backup of a stack's database, and how it is made and put back."""

    stack: Stack
    back_up: Callable[[], None]
    restore: Callable[[], None]


def make_sqlite_vault(stack: Stack, folder: Path) -> Vault:
    file = stack.state / "muster.db"
    variables = {"MUSTER_DATABASE_URL": f"sqlite:///{file}"}

    def run(command: str) -> None:
        done = stack.run("db", command, str(folder / "backup.db"), sign_in=variables)
        assert done.returncode == 0, done.stderr

    def restore() -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        run("restore")

    return Vault(stack, lambda: run("backup"), restore)


def make_postgres_vault(stack: Stack, first: PostgresServer, second: PostgresServer, folder: Path) -> Vault:
    """The dump of one cluster is restored into another, which has had far fewer transactions."""
    url = first.make_database()
    stack.database_url = url
    asyncio.run(spend_transactions(url))
    file = folder / "backup.dump"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [first.programs.folder / program, *arguments],
            check=True,
            env=first.programs.environment(),
            timeout=120,
            capture_output=True,
        )

    def restore() -> None:
        first.drop_database(url)
        stack.database_url = second.make_database()
        run("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={stack.database_url}", str(file))

    return Vault(stack, lambda: run("pg_dump", "--format=custom", f"--file={file}", url), restore)


async def spend_transactions(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE PROCEDURE spend(n int) LANGUAGE plpgsql AS $$ BEGIN"
        " FOR i IN 1..n LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    )
    await connection.execute(f"CALL spend({TRANSACTIONS})")
    await connection.execute("DROP PROCEDURE spend")
    await connection.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def vault(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[Vault]:
    if request.param == "sqlite":
        yield make_sqlite_vault(stack, tmp_path)
        return
    first = request.getfixturevalue("own_postgres")
    with run_postgres() as second:
        yield make_postgres_vault(stack, first, second, tmp_path)
        stack.close()


def submit(client: Client, tally: Tally, *, finishes_itself: bool = True) -> str:
    task = tally.make_task(
        lease_s=600.0,  # nothing may come right by a lease that runs out
    )
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=finishes_itself)
    return client.submit_workflow(new).workflow_id


def publish(client: Client, tally: Tally, workflow: str) -> None:
    tally.publish(client, workflow, ({"n": n, "sleep_s": 0.4} for n in range(EVENTS)), close=True)


def check_whole(client: Client, workflow: str) -> None:
    """Every event of the restored account is done, once, and has its one result."""
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=120)
    check_account(client, workflow, published=EVENTS, done=EVENTS)
    assert sorted(value["n"] for value in consume_values(client, workflow, "out")) == list(range(EVENTS))
    wait_for(
        lambda: {one.phase for one in client.get_workflow(workflow).taskforces} == {"condor-complete"},
        "its taskforces are complete",
    )


def test_work_goes_on_after_a_restore_in_the_middle_of_it(vault: Vault, tmp_path: Path) -> None:
    """At the backup one workflow is at work, and one waits for its agent; after it a third one is submitted, and started. The service
    is lost with the database; workers and agent live on.
    """
    stack = vault.stack
    stack.start_serve()
    stack.start_site()
    tally, later = Tally(tmp_path / "tally.jsonl"), Tally(tmp_path / "later.jsonl")
    with stack.client() as client:
        working = submit(client, tally)
        publish(client, tally, working)
        wait_for(lambda: client.get_progress(working).input.done >= 5, "work is going on")
        stack.parts["site"].process.send_signal(signal.SIGSTOP)  # so that it starts nothing before the backup is made
        starting = submit(client, later)
        publish(client, later, starting)
        told = list_notices(client, working, until=lambda one: one.kind == "queue.closed")

        vault.back_up()
        at_backup = client.get_progress(working).input.done
        stack.parts["site"].process.send_signal(signal.SIGCONT)
        lost = submit(client, tally, finishes_itself=False)
        wait_for(lambda: client.get_workflow(lost).taskforces[0].workers == 2, "the lost one has workers")
        wait_for(lambda: client.get_workflow(starting).taskforces[0].workers == 2, "so has the one that waited")
        wait_for(lambda: client.get_progress(working).input.done >= at_backup + 3, "more was done")
        lost_taskforce = client.get_workflow(lost).taskforces[0].taskforce_uuid
        lost_place = list_notices(client, starting, until=lambda one: one.data.get("phase") == "condor-submit")[-1]
        stack.kill("serve")

        vault.restore()
        stack.start_serve()

        wait_for(lambda: not find_with("MUSTER_TASKFORCE", lost_taskforce), "the workers of the lost one are gone")
        check_whole(client, working)
        check_whole(client, starting)
        assert lost not in {one.workflow_id for one in client.list_workflows().workflows}
        whole = list_notices(client, working)
        assert whole[: len(told)] == told
        assert "workflow.ended" in [one.kind for one in whole[len(told) :]]
        assert list_notices(client, working, after=told[-1].id) == whole[len(told) :]
        gap, *rest = [
            one for one in client.stream(starting, after=lost_place.id) if isinstance(one, GapView | NoticeView)
        ]
        assert gap == GapView(starting, lost_place.id)
        assert rest == list_notices(client, starting)
    wait_for(lambda: not workers_alive(stack.root), "all workers are gone")
    assert "a new era begins" in stack.parts["serve"].log.read_text()


def list_notices(
    client: Client, workflow: str, *, after: str | None = None, until: Callable[[NoticeView], bool] = lambda _: False
) -> list[NoticeView]:
    """What is told of a workflow, to the end of it or to the first notice that is so."""
    told = []
    for message in client.stream(workflow, after=after):
        if isinstance(message, NoticeView):
            told.append(message)
            if until(message):
                break
    return told


def test_a_workflow_that_had_ended_when_the_database_was_lost_is_brought_to_its_end_again(
    vault: Vault, tmp_path: Path
) -> None:
    """Its workers are gone, and its agent has forgotten them: it says so when it is asked. The user brings new ones."""
    stack = vault.stack
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = submit(client, tally)
        publish(client, tally, workflow)
        wait_for(lambda: client.get_progress(workflow).input.done >= 5, "work is going on")
        vault.back_up()
        check_whole(client, workflow)
        wait_for(lambda: not workers_alive(stack.root), "its workers are gone")
        stack.kill("serve")

        vault.restore()
        stack.start_serve()

        assert client.get_workflow(workflow).state == "active"
        wait_for(
            lambda: client.get_workflow(workflow).taskforces[0].phase == "condor-complete",
            "its agent says that they are",
        )
        explained = stack.run("workflow", "explain", workflow)
        assert "muster workflow add-workers" in explained.stdout, explained.stdout
        client.add_workers(client.get_workflow(workflow).tasks[0].task_id, location="local", n_workers=2)
        check_whole(client, workflow)
