"""Does a worker's memory stay flat over 10⁶ events? Goal: at most 1.1 times of what it was after 10⁴.

One worker of one slot, the bundle as it travels, with an empty warm task, on one service; `--events` is how many in all. What is
compared is the memory that is the worker's own (PSS: what it shares counts in part), looked at while nothing happens.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.record import Record, Series, keep
from benchmarks.square_task import __file__ as task_file
from benchmarks.stage import Stage
from muster.worker.bundle import build_bundle

EVENTS = 1_000_000
FIRST = 10_000
"""After so many it has done all that it ever does, and its memory is looked at for the first time."""
TIMES = 10
"""Between two looks."""
BACKLOG = 20_000
LOOKS, PAUSE_S = 7, 0.3
MIB = 1 << 20


def main(events: int = EVENTS) -> None:
    """Publish up to each mark, wait until all is done, look."""
    series: list[Series] = []
    with tempfile.TemporaryDirectory() as name, Stage(folder := Path(name), site=False) as stage:
        workflow = stage.submit(f"{sys.executable} square_task.py", warm=True, n_workers=1)
        with working(stage, workflow, folder) as worker:
            done, mark = 0, FIRST
            while mark <= events:
                rate = publish_up_to(stage, workflow, done, mark)
                done, mark = mark, mark * TIMES
                seen = [*look("worker", worker, done), *look("service", stage.service_pid, done)]
                series += seen
                print(f"  {done:,} events, {rate:,.0f} events/s: {', '.join(map(describe, seen))}", flush=True)
        account = stage.client.get_account(workflow, recount=True)
        assert account.adds_up, account
    medians = {one.name: one.median for one in series}

    def compare(what: str) -> float:
        return medians[f"{what} after {done:,}"] / medians[f"{what} after {FIRST:,}"]

    keep(
        Record(
            name="worker_memory",
            claim=f"memory of one worker that does {done:,} empty warm events, and of its service",
            command=f"python -m benchmarks.worker_memory --events {events}",
            settings=(
                "SQLite, synchronous=FULL; results published and kept; a warm process ends after 10,000 events, as by default; "
                "memory is PSS, peaks are those of the resident set"
            ),
            series=series,
            ratios={
                f"{what}, after {done:,} / {FIRST:,}": compare(what)
                for what in ("worker", "worker's peak", "service", "service's peak")
            },
            goal="the worker at most 1.1 times",
        )
    )


@contextmanager
def working(stage: Stage, workflow: str, folder: Path) -> Iterator[int]:
    """A worker of this workflow, as a site would start it; gives its process id."""
    taskforce, secret = stage.claim_secret(workflow)
    bundle, inputs, own = folder / "muster-worker.pyz", folder / "inputs", folder / "worker"
    build_bundle(bundle)
    inputs.mkdir()
    own.mkdir()
    (inputs / "square_task.py").write_text(Path(task_file).read_text())
    enrolment = folder / "enrol.json"
    enrolment.write_text(json.dumps({"taskforce": taskforce, "secret": secret}))
    enrolment.chmod(0o600)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(own),
        "MUSTER_WORKER_URL": stage.url,
        "MUSTER_WORKER_ENROL_FILE": str(enrolment),
        "MUSTER_WORKER_DIR": str(own),
        "MUSTER_WORKER_INPUT_DIR": str(inputs),
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(bundle)], env=variables, cwd=own, stdout=log, stderr=log
        )
    try:
        yield process.pid
        assert process.poll() is None, (folder / "worker.log").read_text()[-2000:]
    finally:
        process.terminate()
        process.wait(30)


def publish_up_to(stage: Stage, workflow: str, done: int, mark: int) -> float:
    """Publish events until so many are done in all, the queue never long; returns events a second."""
    began, published = time.monotonic(), done
    while published < mark:
        batch = min(BACKLOG // 2, mark - published)
        stage.publish(workflow, "in", ({"n": n} for n in range(published, published + batch)))
        published += batch
        stage.wait_until_done(workflow, published - BACKLOG // 2)
    stage.wait_until_done(workflow, mark)
    return (mark - done) / (time.monotonic() - began)


def look(what: str, pid: int, done: int) -> Iterator[Series]:
    """Some looks at a process that does nothing now, and its peak until now."""
    now = Series(f"{what} after {done:,}", "MiB")
    for _ in range(LOOKS):
        time.sleep(PAUSE_S)
        now.runs.append(_read_bytes(pid, "smaps_rollup", "Pss:") / MIB)
    yield now
    yield Series(f"{what}'s peak after {done:,}", "MiB", [_read_bytes(pid, "status", "VmHWM:") / MIB])


def _read_bytes(pid: int, file: str, field: str) -> int:
    """A figure that /proc tells of a process in kB."""
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/{pid}/{file} has no {field}")


def describe(series: Series) -> str:
    """For whoever watches."""
    return f"{series.name} {statistics.median(series.runs):.1f} MiB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="how many in all, a power of ten from 10000 on")
    main(parser.parse_args().events)
