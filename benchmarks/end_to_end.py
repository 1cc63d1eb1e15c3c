"""How many warm tasks a second, end to end, beside the same tasks in a bare loop without Muster?

Two workers, each with one warm process that runs an empty function; publishing is not counted. Goals: 5,000/s on SQLite, 3,500/s on
PostgreSQL.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, alternate, keep, ratio
from benchmarks.stage import Stage

ROUNDS = 5
EVENTS = 30_000
WORKERS = 2
TASK = Path(__file__).with_name("square_task.py")


def muster_rate(database_url: str | None) -> float:
    """Events a second from the first publish's commit to the last result, with workers up and warm before."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), database_url=database_url) as stage:
        workflow = stage.submit(
            "python square_task.py",
            n_workers=WORKERS,
            warm=True,
            max_events=10_000_000,
            input_files=[str(TASK)],
        )
        stage.wait_for_workers(workflow, WORKERS)
        stage.publish(workflow, "in", ({"n": n} for n in range(WORKERS * 64)))  # both processes warm
        stage.wait_until_done(workflow, WORKERS * 64)
        before = WORKERS * 64
        stage.publish(workflow, "in", ({"n": n} for n in range(EVENTS)))
        first = stage.client.get_progress(workflow).input.done - before
        began = time.monotonic()
        stage.wait_until_done(workflow, before + EVENTS)
        elapsed = time.monotonic() - began
        account = stage.client.get_account(workflow, recount=True)
        assert account.adds_up, account
        return (EVENTS - first) / elapsed


def loop_rate() -> float:
    """The same function in a bare loop, in as many processes, JSON in and out."""
    count = EVENTS * 10
    processes = [
        subprocess.Popen([sys.executable, str(TASK), str(count)], stdout=subprocess.PIPE, text=True)
        for _ in range(WORKERS)
    ]
    return sum(float(process.communicate()[0]) for process in processes)


def main() -> None:
    """Alternate the three sides."""
    with running_postgres() as server:
        series = alternate(
            {
                "muster on SQLite": lambda: muster_rate(None),
                "muster on PostgreSQL": lambda: muster_rate(fresh_database(server)),
                "bare loop": loop_rate,
            },
            rounds=ROUNDS,
            unit="events/s",
        )
    keep(
        Record(
            name="end_to_end",
            claim=f"empty warm tasks end to end, {WORKERS} workers of one slot",
            command="python -m benchmarks.end_to_end",
            settings="SQLite synchronous=FULL; PostgreSQL fsync and synchronous_commit on",
            series=series,
            ratios={
                "SQLite / goal of 5,000": series[0].median / 5_000,
                "PostgreSQL / goal of 3,500": series[1].median / 3_500,
                "bare loop / SQLite": ratio(series, "bare loop", "muster on SQLite"),
            },
            goal="at least 5,000/s on SQLite, 3,500/s on PostgreSQL",
            limit="CPU of the two cores, shared by service, database, workers and tasks",
        )
    )


if __name__ == "__main__":
    main()
