"""How long from the POST of a workflow to its worker's process, in an idle system? Goal: less than 0.3 s at the median."""

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage

ROUNDS = 20


def main() -> None:
    """Submit one workflow after another; look for its worker in /proc, which nobody can embellish."""
    started = Series("POST to worker process", "s")
    enrolled = Series("POST to worker enrolled", "s")
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        time.sleep(1)
        for _ in range(ROUNDS):
            began = time.monotonic()
            workflow = stage.submit("true", n_workers=1)
            taskforce = stage.client.get_workflow(workflow).taskforces[0].taskforce_uuid
            needle = f"MUSTER_TASKFORCE={taskforce}".encode()
            while not _someone_has(needle):
                assert time.monotonic() < began + 30
                time.sleep(0.002)
            started.runs.append(time.monotonic() - began)
            stage.wait_for_workers(workflow, 1)
            enrolled.runs.append(time.monotonic() - began)
            stage.finish(workflow)
    keep(
        Record(
            name="start_latency",
            claim="from the POST of a workflow to its worker, idle system, local processes",
            command="python -m benchmarks.start_latency",
            settings="SQLite, muster serve and muster site as processes of their own",
            series=[started, enrolled],
            ratios={"median / goal of 0.3 s": statistics.median(started.runs) / 0.3},
            goal="p50 below 0.3 s",
        )
    )


def _someone_has(needle: bytes) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if needle in (entry / "environ").read_bytes():
                    return True
            except OSError:
                continue
    return False


if __name__ == "__main__":
    main()
