"""Does one worker keep all its slots full? 24 tasks of 4 s in 8 slots: ideal 12 s, the original 109 s. Goal: 1.1 × ideal at most."""

import tempfile
from pathlib import Path

from benchmarks.record import Record, alternate, keep
from benchmarks.stage import Stage

ROUNDS = 3
TASKS, TASK_S, SLOTS = 24, 4, 8
IDEAL_S = TASKS * TASK_S / SLOTS
ORIGINAL_S = 109.0
"""Measured on the original, with its defaults (docs of what Muster replaces, pilot.md section 11)."""


def run(stage: Stage) -> float:
    """From the first event's publication to the last result, one worker being there."""
    workflow = stage.submit(f"sleep {TASK_S}", n_workers=1, slots=SLOTS)
    stage.wait_for_workers(workflow, 1)
    return stage.time_events(workflow, range(TASKS), TASKS)


def main() -> None:
    """Measure it."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        series = alternate({"one worker of 8 slots": lambda: run(stage)}, rounds=ROUNDS, unit="s")
    keep(
        Record(
            name="slots",
            claim=f"{TASKS} tasks of {TASK_S} s in the {SLOTS} slots of one worker, default settings",
            command="python -m benchmarks.slots",
            settings="SQLite, synchronous=FULL, plain runtime",
            series=series,
            ratios={
                f"muster / ideal of {IDEAL_S:g} s": series[0].median / IDEAL_S,
                f"original's {ORIGINAL_S:g} s / muster": ORIGINAL_S / series[0].median,
            },
            goal="at most 1.1 times ideal",
        )
    )


if __name__ == "__main__":
    main()
