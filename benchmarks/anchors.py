"""What do the queues that people use reach with empty jobs? pgqueuer and procrastinate on the same PostgreSQL.

Run as a program it is one such worker: it says when it is ready, begins at a line on stdin, and ends when the queue is dry.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import asyncpg

PROCRASTINATE_CONCURRENCY = 10
BODY = "x" * 500
BLOCK = 1000


def pgqueuer_rate(database_url: str, events: int, *, workers: int, batch: int) -> float:
    """Empty jobs a second, asyncpg, drain mode; enqueueing is not counted."""
    asyncio.run(_fill_pgqueuer(database_url, events))
    return _drain("pgqueuer", database_url, events, workers=workers, batch=batch)


def procrastinate_rate(database_url: str, events: int, *, workers: int) -> float:
    """Empty jobs a second, psycopg, concurrency 10; deferring is not counted."""
    asyncio.run(_fill_procrastinate(database_url, events))
    return _drain("procrastinate", database_url, events, workers=workers, batch=1)


def _drain(name: str, database_url: str, events: int, *, workers: int, batch: int) -> float:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.anchors", name, database_url, str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(workers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        assert process.stdout is not None
        answers.append(json.loads(process.stdout.readline()))
        assert process.wait() == 0
    done = sum(answer["done"] for answer in answers)
    assert done >= events, done
    return float(done / (max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)))


async def _fill_pgqueuer(database_url: str, events: int) -> None:
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(database_url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    for _ in range(0, events, BLOCK):
        await queries.enqueue(["empty"] * BLOCK, [BODY.encode()] * BLOCK, [0] * BLOCK)
    await connection.close()


async def _work_pgqueuer(database_url: str, batch: int) -> None:
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.domain.types import QueueExecutionMode
    from pgqueuer.models import Job

    connection = await asyncpg.connect(database_url)
    queuer = PgQueuer(AsyncpgDriver(connection))
    done = 0

    @queuer.entrypoint("empty")
    async def empty(_job: Job) -> None:
        nonlocal done
        done += 1

    await _run(lambda: queuer.qm.run(batch_size=batch, mode=QueueExecutionMode.drain), lambda: done)
    await connection.close()


async def _fill_procrastinate(database_url: str, events: int) -> None:
    import procrastinate
    from procrastinate.types import JSONValue

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for _ in range(0, events, BLOCK):
            batch: list[dict[str, JSONValue]] = [{"body": BODY}] * BLOCK
            await app.configure_task("empty").batch_defer_async(*batch)


async def _work_procrastinate(database_url: str, _batch: int) -> None:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url))
    done = 0

    @app.task(name="empty")
    async def empty(body: str) -> None:  # noqa: ARG001 - procrastinate passes arguments by name
        nonlocal done
        done += 1

    async with app.open_async():
        await _run(
            lambda: app.run_worker_async(
                wait=False, concurrency=PROCRASTINATE_CONCURRENCY, install_signal_handlers=False
            ),
            lambda: done,
        )


async def _run(work: Callable[[], Awaitable[None]], count: Callable[[], int]) -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = time.time()
    await work()
    print(json.dumps({"began": began, "ended": time.time(), "done": count()}), flush=True)


if __name__ == "__main__":
    asyncio.run(
        {"pgqueuer": _work_pgqueuer, "procrastinate": _work_procrastinate}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    )
