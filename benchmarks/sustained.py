"""Does the engine keep its speed over 10⁶ cycles on PostgreSQL, with somebody's snapshot open for a minute in the middle?

Goal: after the snapshot at least 0.8 times the rate of the first minute, and hot tables that stay small.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import asyncpg

from benchmarks.engine_over_http import BATCH, BODY, WORKERS
from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage

CYCLES = int(os.environ.get("MUSTER_BENCH_CYCLES", "1000000"))
BACKLOG = 20_000
SNAPSHOT_S = 60.0
SLICE_S = 5.0
HOT = ("ready", "leased", "holder", "holder_live", "delta", "counter")


def main() -> None:
    """One long run: feed a constant backlog, look at the rate in slices."""
    with (
        running_postgres() as server,
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder), database_url=(url := fresh_database(server)), site=False) as stage,
    ):
        workflow = stage.submit("true", n_workers=WORKERS)
        taskforce, secret = stage.claim_secret(workflow)
        stage.publish(workflow, "in", (BODY | {"n": n} for n in range(BACKLOG)))
        workers = _start_workers(stage.url, taskforce, secret)
        slices = _follow(stage, workflow, url)
        for process in workers:
            process.terminate()
            process.wait()
        sizes = asyncio.run(_hot_mib(url))
        account = stage.client.get_account(workflow)
        assert account.adds_up, account
    first = [rate for at, rate in slices if at <= 60]
    last = [rate for at, rate in slices if at > slices[-1][0] - 60]
    keep(
        Record(
            name="sustained",
            claim=f"{CYCLES:,} cycles on PostgreSQL with a constant backlog of {BACKLOG:,}, a snapshot open for a minute in the middle",
            command="python -m benchmarks.sustained",
            settings="fsync and synchronous_commit on; the service vacuums the hot tables itself",
            series=[
                Series("first minute", "events/s", first),
                Series("last minute", "events/s", last),
                Series("whole run, slices of 5 s", "events/s", [rate for _, rate in slices]),
                Series("hot tables at the end", "MiB", [sizes]),
            ],
            ratios={"last minute / first minute": statistics.median(last) / statistics.median(first)},
            goal="at least 0.8",
            limit="CPU of the two cores",
        )
    )


def _start_workers(url: str, taskforce: str, secret: str) -> "list[subprocess.Popen[str]]":
    script = Path(__file__).with_name("bare_worker.py")
    processes = []
    for proc in range(WORKERS):
        process = subprocess.Popen(
            [sys.executable, str(script), url, taskforce, str(proc), str(BATCH), "3600", "keep-on"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(secret + "\n")
        process.stdin.close()
        processes.append(process)
    return processes


def _follow(stage: Stage, workflow: str, url: str) -> list[tuple[float, float]]:
    """Keep the backlog up until all cycles are done; returns (seconds since the start, rate of the slice)."""
    began = mark = time.monotonic()
    before = stage.client.get_progress(workflow).input.done
    slices: list[tuple[float, float]] = []
    snapshot: threading.Thread | None = None
    while True:  # ends with the cycles
        counts = stage.client.get_progress(workflow).input
        if counts.waiting < BACKLOG:
            stage.publish(workflow, "in", (BODY | {"n": n} for n in range(BACKLOG - counts.waiting)))
        now = time.monotonic()
        if now - mark >= SLICE_S:
            slices.append((now - began, (counts.done - before) / (now - mark)))
            print(f"  {slices[-1][0]:5.0f} s: {slices[-1][1]:,.0f} events/s", flush=True)
            mark, before = now, counts.done
        if snapshot is None and counts.done > CYCLES * 0.4:
            snapshot = threading.Thread(target=lambda: asyncio.run(_hold_snapshot(url)))
            snapshot.start()
            print("  snapshot opened", flush=True)
        if counts.done >= CYCLES:
            break
        time.sleep(0.05)
    if snapshot is not None:
        snapshot.join()
    return slices


async def _hold_snapshot(url: str) -> None:
    connection = await asyncpg.connect(url)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval("SELECT count(*) FROM ready")
        await asyncio.sleep(SNAPSHOT_S)
    await connection.close()


async def _hot_mib(url: str) -> float:
    connection = await asyncpg.connect(url)
    size = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest($1::text[]) AS name", list(HOT)
    )
    await connection.close()
    return float(size) / (1 << 20)


if __name__ == "__main__":
    main()
