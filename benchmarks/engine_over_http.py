"""How many events a second go through the engine over HTTP, beside the queues that people use on the same PostgreSQL?

Four workers without tasks, sign-in on, durable settings, results published; empty jobs for pgqueuer and procrastinate, in process, without
results. Each batch beside the same batch.
Goals: 10,000 on SQLite, 6,000 on PostgreSQL, ahead of both. `MUSTER_BENCH_POSTGRES` names the server (else one is started).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.anchors import pgqueuer_rate, procrastinate_rate
from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, alternate, keep
from benchmarks.stage import Stage

ROUNDS = 5
EVENTS = 40_000
WORKERS = 4
BATCHES = (16, 64)
BODY = {"sin2_2theta13": 0.0851, "dm2_32": 0.002466, "note": "x" * 420}


def rate(database_url: str | None, batch: int) -> float:
    """Events a second through a service of its own."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), database_url=database_url, site=False) as stage:
        workflow = stage.submit("true", n_workers=WORKERS)
        taskforce, secret = stage.claim_secret(workflow)
        stage.publish(workflow, "in", (BODY | {"n": n} for n in range(EVENTS)))
        answers = run_workers(stage.url, taskforce, secret, workers=WORKERS, batch=batch)
        done = sum(int(answer["done"]) for answer in answers)
        account = stage.client.get_account(workflow, recount=True)
        assert done == EVENTS == account.done, (done, account)
        assert account.adds_up, account
        return done / (max(answer["last"] for answer in answers) - min(answer["began"] for answer in answers))


def run_workers(
    url: str, taskforce: str, secret: str, *, workers: int, batch: int, stop_after_s: float = 600
) -> list[dict[str, float]]:
    """Run bare workers side by side until the queue is dry."""
    script = Path(__file__).with_name("bare_worker.py")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), url, taskforce, str(proc), str(batch), str(stop_after_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for proc in range(workers)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(secret + "\n")
        process.stdin.close()
    answers = []
    for process in processes:
        assert process.stdout is not None
        answers.append(json.loads(process.stdout.read()))
        assert process.wait() == 0
    return answers


def main() -> None:
    """Alternate the sides."""
    small = BATCHES[0]
    with running_postgres() as server:
        sides: dict[str, Callable[[], float]] = {f"muster on SQLite, batches of {small}": lambda: rate(None, small)}
        for batch in BATCHES:
            sides[f"muster on PostgreSQL, batches of {batch}"] = partial(_rate_on, server, rate, batch)
            sides[f"pgqueuer, batches of {batch}"] = partial(_rate_on, server, _drain_pgqueuer, batch)
        sides["procrastinate, each worker 10 at once"] = lambda: procrastinate_rate(
            fresh_database(server), EVENTS // 20, workers=WORKERS
        )
        series = alternate(sides, rounds=ROUNDS, unit="events/s")
    median = {one.name: one.median for one in series}
    ours = {batch: median[f"muster on PostgreSQL, batches of {batch}"] for batch in BATCHES}
    keep(
        Record(
            name="engine_over_http",
            claim="the engine over HTTP with sign-in, 500-byte bodies, results published; 4 workers without tasks on every side",
            command="python -m benchmarks.engine_over_http",
            settings="SQLite synchronous=FULL; PostgreSQL fsync and synchronous_commit on; the others without HTTP, without results",
            series=series,
            ratios={
                **{
                    f"PostgreSQL / pgqueuer, batches of {batch}": ours[batch] / median[f"pgqueuer, batches of {batch}"]
                    for batch in BATCHES
                },
                "PostgreSQL / procrastinate": ours[small] / series[-1].median,
                f"SQLite, batches of {small} / goal of 10,000": series[0].median / 10_000,
                f"PostgreSQL, batches of {small} / goal of 6,000": ours[small] / 6_000,
            },
            goal="with batches of 16 at least 10,000 on SQLite, 6,000 on PostgreSQL, ahead of both",
            limit="CPU: service, database and load share the cores",
        )
    )


def _drain_pgqueuer(database_url: str, batch: int) -> float:
    return pgqueuer_rate(database_url, EVENTS, workers=WORKERS, batch=batch)


def _rate_on(server: str, go: Callable[[str, int], float], batch: int) -> float:
    """On a new database of the server."""
    return go(fresh_database(server), batch)


if __name__ == "__main__":
    main()
