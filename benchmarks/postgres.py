"""Which PostgreSQL do benchmarks use? The tests' own recipe: a real server with fsync on, and a new database for every run."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator

import asyncpg


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """A server's url: that of `MUSTER_BENCH_POSTGRES`, else one is started for the time of the block."""
    given = os.environ.get("MUSTER_BENCH_POSTGRES")
    if given:
        yield given
        return
    from services.postgres import run_postgres

    with run_postgres() as server:
        yield server.make_database()


def fresh_database(server: str) -> str:
    """Make a new, empty database and return its url."""
    name = f"bench_{secrets.token_hex(4)}"

    async def make() -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(make())
    return f"{server.rpartition('/')[0]}/{name}"
