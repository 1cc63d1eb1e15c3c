"""How many events a second go through the engine over HTTP, beside the queues that people use on the same PostgreSQL?

Four workers without tasks, batches of 16, sign-in on, durable settings; empty jobs for pgqueuer and procrastinate.
Goals: 10,000 on SQLite, 6,000 on PostgreSQL, ahead of both. `MUSTER_BENCH_POSTGRES` names the server (else one is started).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.anchors import pgqueuer_rate, procrastinate_rate
from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, alternate, keep
from benchmarks.stage import Stage

ROUNDS = 5
EVENTS = 40_000
WORKERS = 4
BATCH = 16
BODY = {"sin2_2theta13": 0.0851, "dm2_32": 0.002466, "note": "x" * 420}


def rate(database_url: str | None) -> float:
    """Events a second through a service of its own."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), database_url=database_url, site=False) as stage:
        workflow = stage.submit("true", n_workers=WORKERS)
        taskforce, secret = stage.claim_secret(workflow)
        stage.publish(workflow, "in", (BODY | {"n": n} for n in range(EVENTS)))
        answers = run_workers(stage.url, taskforce, secret, workers=WORKERS, batch=BATCH)
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
    with running_postgres() as server:
        series = alternate(
            {
                "muster on SQLite": lambda: rate(None),
                "muster on PostgreSQL": lambda: rate(fresh_database(server)),
                "pgqueuer, 1 worker": lambda: pgqueuer_rate(fresh_database(server), EVENTS, workers=1),
                f"pgqueuer, {WORKERS} workers": lambda: pgqueuer_rate(fresh_database(server), EVENTS, workers=WORKERS),
                "procrastinate, 1 worker": lambda: procrastinate_rate(fresh_database(server), EVENTS // 20, workers=1),
                f"procrastinate, {WORKERS} workers": lambda: procrastinate_rate(
                    fresh_database(server), EVENTS // 20, workers=WORKERS
                ),
            },
            rounds=ROUNDS,
            unit="events/s",
        )
    ours, theirs = series[1].median, {one.name: one.median for one in series[2:]}
    keep(
        Record(
            name="engine_over_http",
            claim="the engine over HTTP with sign-in, 4 workers without tasks, batches of 16, 500-byte bodies, results published",
            command="python -m benchmarks.engine_over_http",
            settings="SQLite synchronous=FULL; PostgreSQL fsync and synchronous_commit on; pgqueuer batch 64; procrastinate concurrency 10",
            series=series,
            ratios={
                f"PostgreSQL / {library}, the better of its two": ours
                / max(rate for name, rate in theirs.items() if name.startswith(library))
                for library in ("pgqueuer", "procrastinate")
            }
            | {
                "SQLite / goal of 10,000": series[0].median / 10_000,
                "PostgreSQL / goal of 6,000": series[1].median / 6_000,
            },
            goal="at least 10,000 on SQLite, 6,000 on PostgreSQL, ahead of both",
            limit="CPU: service, database and load share the cores",
        )
    )


if __name__ == "__main__":
    main()
