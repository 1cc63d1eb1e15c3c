"""Does the engine keep its speed over 10⁶ cycles on PostgreSQL, with somebody's snapshot open for a minute in the middle?

Goal: after the snapshot at least 0.8 times the rate of the first minute, and hot tables that are flat: nobody can clear up behind
an open snapshot, so they grow while it is open; before it and after it they must not.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.engine_over_http import BATCHES, BODY, WORKERS
from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage

CYCLES = int(os.environ.get("MUSTER_BENCH_CYCLES", "1000000"))
BACKLOG = 20_000
SNAPSHOT_S = 60.0
SLICE_S = 5.0
MINUTE_S = 60.0
HOT = ("ready", "leased", "holder", "holder_live", "delta", "counter")


def main() -> None:
    """One long run: feed a constant backlog, look at the rate in slices."""
    with (
        running_postgres() as server,
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder), database_url=(url := fresh_database(server)), site=False) as stage,
    ):
        workflow = stage.submit(
            "true", n_workers=WORKERS, outputs=()
        )  # results that wait for a reader are live rows of `ready`
        taskforce, secret = stage.claim_secret(workflow)
        stage.publish(workflow, "in", (BODY | {"n": n} for n in range(BACKLOG)))
        workers = _start_workers(stage.url, taskforce, secret)
        slices = _follow(stage, workflow, url)
        for process in workers:
            process.terminate()
            process.wait()
        account = stage.client.get_account(workflow)
        assert account.adds_up, account
    first = [one for one in slices if one.at_s <= MINUTE_S]
    last = [one for one in slices if one.snapshot == "over" and one.at_s > slices[-1].at_s - MINUTE_S]
    before = [one.hot_mib for one in slices if one.snapshot == "to come"]
    after = [one.hot_mib for one in slices if one.snapshot == "over"]
    keep(
        Record(
            name="sustained",
            claim=f"at least {CYCLES:,} cycles on PostgreSQL with a constant backlog of {BACKLOG:,}, results kept with their events, "
            "a snapshot open for a minute in the middle",
            command="python -m benchmarks.sustained",
            settings="fsync and synchronous_commit on; the service vacuums the hot tables itself",
            series=[
                Series("first minute", "events/s", [one.rate for one in first]),
                Series("last minute", "events/s", [one.rate for one in last]),
                Series("whole run, slices of 5 s", "events/s", [one.rate for one in slices]),
                Series("hot tables before the snapshot", "MiB", before),
                Series("hot tables after the snapshot", "MiB", after),
            ],
            ratios={
                "last minute / first minute": statistics.median(one.rate for one in last)
                / statistics.median(one.rate for one in first),
                "hot tables, at the end / as the snapshot closed": after[-1] / after[0],
            },
            goal="at least 0.8; the tables at most 1",
            limit="CPU of the two cores",
        )
    )


@dataclass(frozen=True)
class Slice:
    """A few seconds of the run: until when, events a second, size of the hot tables, and whether the snapshot was open."""

    at_s: float
    rate: float
    hot_mib: float
    snapshot: str


def _start_workers(url: str, taskforce: str, secret: str) -> "list[subprocess.Popen[str]]":
    script = Path(__file__).with_name("bare_worker.py")
    processes = []
    for proc in range(WORKERS):
        process = subprocess.Popen(
            [sys.executable, str(script), url, taskforce, str(proc), str(BATCHES[0]), "3600", "keep-on"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(secret + "\n")
        process.stdin.close()
        processes.append(process)
    return processes


def _follow(stage: Stage, workflow: str, url: str) -> list[Slice]:
    """Keep the backlog up until all cycles are done and the snapshot has been over for a minute."""
    began = mark = time.monotonic()
    before = stage.client.get_progress(workflow).input.done
    slices: list[Slice] = []
    snapshot: threading.Thread | None = None
    while True:  # ends with the cycles
        counts = stage.client.get_progress(workflow).input
        if counts.waiting < BACKLOG:
            stage.publish(workflow, "in", (BODY | {"n": n} for n in range(BACKLOG - counts.waiting)))
        now = time.monotonic()
        if now - mark >= SLICE_S:
            state = "to come" if snapshot is None else "open" if snapshot.is_alive() else "over"
            slices.append(Slice(now - began, (counts.done - before) / (now - mark), asyncio.run(_hot_mib(url)), state))
            one = slices[-1]
            print(
                f"  {one.at_s:5.0f} s: {one.rate:,.0f} events/s, {one.hot_mib:,.0f} MiB hot, snapshot {state}",
                flush=True,
            )
            mark, before = now, counts.done
        if snapshot is None and counts.done > CYCLES * 0.4:
            snapshot = threading.Thread(target=lambda: asyncio.run(_hold_snapshot(url)))
            snapshot.start()
            print("  snapshot opened", flush=True)
        if counts.done >= CYCLES and slices and slices[-1].at_s - _end_of_snapshot(slices) > MINUTE_S:
            break
        time.sleep(0.05)
    if snapshot is not None:
        snapshot.join()
    return slices


def _end_of_snapshot(slices: list[Slice]) -> float:
    """When the last slice ended in which the snapshot was not over yet."""
    return max(one.at_s for one in slices if one.snapshot != "over")


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
