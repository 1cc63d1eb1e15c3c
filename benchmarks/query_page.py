"""Does a page of a query come as fast out of a million taskforces, and the workflows that they are of, as out of a thousand?

Goal: milliseconds at 10⁶, by what EWMS clients ask (wms.md section 13), on both databases. The depth is `MUSTER_BENCH_OBJECTS` (default
10⁶: some minutes and 5 GB).
"""

import asyncio
import contextlib
import json
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage
from muster.server.adapters.sql.database import open_database

SHALLOW = 1_000
DEEP = int(os.environ.get("MUSTER_BENCH_OBJECTS", "1000000"))
CALLS = 100
ROUNDS = 3
OF_LOG, OF_WORKFLOW, BATCH = 1_000, 10, 10_000
LOG_ENTRIES = ("pre-mq-activation", "pre-launch", "pending-starter", "condor-submit", "condor-complete")
FIXED: dict[str, Any] = {
    "created_at": 1.7e9,
    "priority": 50,
    "location": "far",
    "schedd": "schedd-1.example.org",
    "collector": None,
    "n_workers": 100,
    "origin": "submitted",
    "worker_config": json.dumps({"n_cores": 1, "worker_memory": "4G", "worker_disk": "8G", "condor_requirements": ""}),
    "pilot_config": json.dumps({"tag": "1.2.3", "image_source": "cvmfs", "environment": {"A": "b"}, "input_files": []}),
    "submit_dict": json.dumps({f"request_{number}": "x" * 20 for number in range(20)}),
    "compound_statuses": json.dumps({"COMPLETED": {"Done": 90}, "HELD: out of memory": {"FatalError": 10}}),
    "top_task_errors": json.dumps({"ValueError: no such frame": 10}),
    "claim_agent": None,
    "claim_until": None,
    "claim_fence": 0,
    "submit_failures": 0,
    "remove_failures": 0,
    "held_reason": None,
}
VARIED = ("taskforce_uuid", "task_id", "workflow_id", "job_event_log_fpath", "cluster_id", "phase", "number")
ENTRY = (
    "taskforce_uuid",
    "number",
    "target_phase",
    "at",
    "was_successful",
    "source_event_time",
    "source_entity",
    "context",
)
OF_A_SCHEDD = {"schedd": FIXED["schedd"], "collector": None}
OF_SOME_LOG = {"schedd": FIXED["schedd"], "job_event_log_fpath": "/jel/0"}
OF_WORKFLOWS = ("workflow_id", "number", "created_at", "priority", "owner", "name", "finish_when_done", "state")
ACTIVE = 10
"""Workflows that have not ended: the oldest."""
MIDDLE = f"{75:024x}"
"""A `next_after`: behind the 75th object."""
QUERIES: dict[str, dict[str, Any]] = {
    "of a log, 1000": {"query": OF_SOME_LOG, "projection": ["taskforce_uuid", "cluster_id"]},
    "of a log, running, 10": {"query": {**OF_SOME_LOG, "phase": {"$ne": "condor-complete"}}},
    "of a cluster, 1": {"query": {**OF_SOME_LOG, "cluster_id": 77}},
    "of a workflow, 10": {"query": {"workflow_id": "WF-7"}},
    "of a workflow, behind the fifth, 5": {"query": {"workflow_id": "WF-7"}, "after": MIDDLE},
    "by its uuid, 1": {"query": {"taskforce_uuid": "TF-77"}},
    "of a task, 5": {"query": {"task_id": "TK-7"}},
    "to be started, 10": {"query": {"phase": "pending-starter"}},
    "to be started of all at a place, 10": {"query": {"phase": "pending-starter", **OF_A_SCHEDD}},
    "workflows by id, 1": {"query": {"workflow_id": "WF-7"}},
    "workflows that are active, 10": {"query": {"deactivated": None}},
    "workflows that are active, behind the fifth, 5": {"query": {"deactivated": None}, "after": f"{5:024x}"},
}
"""What is asked, of taskforces unless it says of what, and how many objects are on the page, whatever the depth."""


def main() -> None:
    """Two services in turn, over few taskforces and over many."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {depth: Path(folder) / f"{depth}.db" for depth in (SHALLOW, DEEP)}
        for depth, path in paths.items():
            asyncio.run(_prepare(f"sqlite:///{path}"))
            _fill_sqlite(path, depth)
        _measure("sqlite", "SQLite, synchronous=FULL", {depth: f"sqlite:///{path}" for depth, path in paths.items()})
    with running_postgres() as server:
        urls = {depth: fresh_database(server) for depth in (SHALLOW, DEEP)}
        for depth, url in urls.items():
            asyncio.run(_prepare(url))
            asyncio.run(_fill_postgres(url, depth))
        _measure("postgres", "PostgreSQL, fsync=on", urls)


def _measure(kind: str, settings: str, urls: dict[int, str]) -> None:
    names = {SHALLOW: f"{SHALLOW:,}", DEEP: f"{DEEP:,}"}
    series = {
        (asked, depth, part): Series(f"{asked}, {part}, {names[depth]}", "ms")
        for asked in QUERIES
        for part in ("p50", "p99")
        for depth in urls
    }
    for number in range(ROUNDS):
        for depth, url in urls.items():
            with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), database_url=url, site=False) as stage:
                for asked, body in QUERIES.items():
                    times = sorted(_ask(stage, asked, body))
                    series[asked, depth, "p50"].runs.append(times[len(times) // 2])
                    series[asked, depth, "p99"].runs.append(times[math.ceil(len(times) * 0.99) - 1])
                    print(
                        f"  round {number + 1}: {names[depth]}: {asked}: p50 {times[len(times) // 2]:.3g} ms",
                        flush=True,
                    )
    keep(
        Record(
            name=f"query_page_{kind}",
            claim=f"a page of POST /v1/query/taskforces out of {DEEP:,} taskforces beside one out of {SHALLOW:,}",
            command=f"MUSTER_BENCH_OBJECTS={DEEP} python -m benchmarks.query_page",
            settings=settings,
            series=list(series.values()),
            ratios={
                f"{asked}, {part}, deep / shallow": series[asked, DEEP, part].median
                / series[asked, SHALLOW, part].median
                for asked in QUERIES
                for part in ("p50", "p99")
            },
            goal="a page in milliseconds at 10^6",
        )
    )


def _ask(stage: Stage, asked: str, body: dict[str, Any]) -> Iterator[float]:
    """Milliseconds that each call took."""
    token = (stage.folder / "token").read_text().strip()
    wanted = int(asked.rpartition(", ")[2])
    collection = "workflows" if asked.startswith("workflows") else "taskforces"
    with httpx.Client(base_url=stage.url, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        for _ in range(CALLS):
            began = time.perf_counter()
            answer = client.post(f"/v1/query/{collection}", json=body).raise_for_status().json()
            yield (time.perf_counter() - began) * 1000
            assert (len(answer[collection]), answer["next_after"]) == (wanted, None), asked


# -- what is asked -------------------------------------------------------------------------------------------------------


def _taskforces(count: int) -> Iterator[tuple[Any, ...]]:
    """Of each log ten are running and the others over; beside them ten have no log yet and are to be started."""
    fixed = tuple(FIXED.values())
    for number in range(count):
        phase = "condor-submit" if number % 100 == 7 else "condor-complete"
        names = (f"TF-{number}", f"TK-{number // 5}", f"WF-{number // OF_WORKFLOW}", f"/jel/{number // OF_LOG}")
        yield (*names, number, phase, number + 1, *fixed)
    for number in range(count, count + 10):
        yield (f"TF-{number}", "TK-new", "WF-new", "", None, "pending-starter", number + 1, *fixed)


def _workflows(count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count // OF_WORKFLOW):
        state = "active" if number < ACTIVE else "finished"
        yield (f"WF-{number}", number + 1, 1.7e9, 50, "ada", "", False, state)


def _entries(count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        for place, phase in enumerate(LOG_ENTRIES, 1):
            yield (f"TF-{number}", place, phase, 1.7e9 + place, True, None, "TMS", "")


async def _prepare(url: str) -> None:
    async with open_database(url):
        pass


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _tables(count: int) -> Sequence[tuple[str, Sequence[str], Iterator[tuple[Any, ...]]]]:
    return (
        ("workflow", OF_WORKFLOWS, _workflows(count)),
        ("taskforce", (*VARIED, *FIXED), _taskforces(count)),
        ("phase_log", ENTRY, _entries(count)),
    )


def _fill_sqlite(path: Path, count: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for table, columns, rows in _tables(count):
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            for batch in _batches(rows):
                connection.executemany(statement, batch)
                connection.commit()


async def _fill_postgres(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    for table, columns, rows in _tables(count):
        for batch in _batches(rows):
            await connection.copy_records_to_table(table, records=batch, columns=columns)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


if __name__ == "__main__":
    main()
