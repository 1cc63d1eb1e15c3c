"""What does a per-event task cost beside `xargs -P`? Goals: at most 1.1 times for tasks of 100 ms, at most 1.5 ms added for empty ones."""

import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import Record, Series, alternate, keep
from benchmarks.stage import Stage

ROUNDS = 5
WORKERS = 2


def xargs_seconds(command: str, count: int) -> float:
    """Wall time of the same commands under xargs."""
    with tempfile.TemporaryDirectory() as folder:
        shell_free = shlex.split(command.replace("{{INFILE}}", "/dev/null").replace("{{OUTFILE}}", "/dev/null"))
        began = time.monotonic()
        subprocess.run(
            ["xargs", "-P", str(WORKERS), "-I{}", *shell_free],
            input="\n".join(map(str, range(count))),
            text=True,
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        return time.monotonic() - began


def muster_seconds(stage: Stage, command: str, count: int) -> float:
    """From the first attempt's start to the last one's end, by the account of the service itself: workers are up before."""
    workflow = stage.submit(command, n_workers=WORKERS, warm=False)
    stage.wait_for_workers(workflow, WORKERS)
    return stage.time_events(workflow, ({"n": n} for n in range(count)), count)


def main() -> None:
    """Measure both lengths of task."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        for name, command, count, goal in (
            ("per_event_100ms", "sleep 0.1", 200, "at most 1.1 times xargs"),
            ("per_event_empty", "true {{INFILE}}", 2000, "at most 1.5 ms added an event"),
        ):
            series = alternate(
                {
                    "xargs": lambda command=command, count=count: xargs_seconds(command, count),  # type: ignore[misc]
                    "muster": lambda command=command, count=count: muster_seconds(stage, command, count),  # type: ignore[misc]
                },
                rounds=ROUNDS,
                unit="s",
            )
            keep(
                Record(
                    name=name,
                    claim=f"{count} per-event tasks `{command}` on {WORKERS} workers beside `xargs -P {WORKERS}`",
                    command="python -m benchmarks.per_event",
                    settings="SQLite, synchronous=FULL, plain runtime",
                    series=series,
                    ratios=_ratios(series, count),
                    goal=goal,
                )
            )


def _ratios(series: list[Series], count: int) -> dict[str, float]:
    xargs, muster = series
    return {
        "muster / xargs": muster.median / xargs.median,
        "added ms an event and worker": (muster.median - xargs.median) * 1000 * WORKERS / count,
    }


if __name__ == "__main__":
    main()
    sys.stdout.write(json.dumps({"done": True}) + "\n")
