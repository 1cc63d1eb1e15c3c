"""What do the queues that people use reach with empty jobs? pgqueuer and procrastinate, one process each, on the same PostgreSQL."""

import asyncio
import time
from urllib.parse import urlsplit

import asyncpg

PGQUEUER_BATCH = 64
PROCRASTINATE_CONCURRENCY = 10


def pgqueuer_rate(database_url: str, events: int) -> float:
    """Empty jobs a second, asyncpg, batches of 64, drain mode; enqueueing is not counted."""
    return asyncio.run(_pgqueuer(database_url, events))


async def _pgqueuer(database_url: str, events: int) -> float:
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.domain.types import QueueExecutionMode
    from pgqueuer.models import Job
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(database_url)
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    await queries.install()
    done = 0
    body = b"x" * 500
    for _ in range(0, events, 1000):
        await queries.enqueue(["empty"] * 1000, [body] * 1000, [0] * 1000)
    queuer = PgQueuer(driver)

    @queuer.entrypoint("empty")
    async def empty(_job: Job) -> None:
        nonlocal done
        done += 1

    began = time.monotonic()
    await queuer.qm.run(batch_size=PGQUEUER_BATCH, mode=QueueExecutionMode.drain)
    elapsed = time.monotonic() - began
    await connection.close()
    assert done >= events, done
    return done / elapsed


def procrastinate_rate(database_url: str, events: int) -> float:
    """Empty jobs a second, psycopg, concurrency 10; deferring is not counted."""
    return asyncio.run(_procrastinate(database_url, events))


async def _procrastinate(database_url: str, events: int) -> float:
    import procrastinate
    from procrastinate.types import JSONValue

    place = urlsplit(database_url)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url))
    assert place.hostname
    done = 0

    @app.task(name="empty")
    async def empty(body: str) -> None:  # noqa: ARG001 - procrastinate passes arguments by name
        nonlocal done
        done += 1

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for _ in range(0, events, 1000):
            batch: list[dict[str, JSONValue]] = [{"body": "x" * 500}] * 1000
            await empty.batch_defer_async(*batch)
        began = time.monotonic()
        await app.run_worker_async(wait=False, concurrency=PROCRASTINATE_CONCURRENCY, install_signal_handlers=False)
        elapsed = time.monotonic() - began
    assert done >= events, done
    return done / elapsed
