"""What does Muster add to a container? Goals: per event 1.1 times a bare `apptainer run`, warm 2 ms more than a bare pipe, at most."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.record import Record, alternate, keep, ratio
from benchmarks.stage import Stage
from services.apptainer import PACKAGES, find_apptainer, make_image

ROUNDS = 5
STARTS = 60
WARM = 2000
SIZES = struct.Struct(">II")
TASK = "from muster import task\ntask.run(lambda event: event)\n"


def bare_starts(program: Path, image: Path, folder: Path) -> float:
    """Seconds of as many starts of `true`, one after the other, with the mounts of an attempt."""
    words = [str(program), "run", "--containall", "--no-eval"]
    for name in ("data-hub", "task-io"):
        (folder / name).mkdir(exist_ok=True)
        words += ["--mount", f"type=bind,source={folder / name},target=/ewms-pilot-data/{name}"]
    began = time.monotonic()
    for _ in range(STARTS):
        subprocess.run([*words, str(image), "true"], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def starts(stage: Stage, image: Path) -> float:
    """The same by one worker, as events."""
    return _measure(stage, "true", STARTS, task_image=str(image))


def bare_pipe(command: list[str]) -> float:
    """Seconds of as many events over two pipes to one process, one after the other."""
    events, give = os.pipe()
    take, answers = os.pipe()
    environment = os.environ | {"MUSTER_TASK_FDS": f"{events},{answers}"}
    process = subprocess.Popen(command, pass_fds=(events, answers), env=environment)
    os.close(events)
    os.close(answers)
    with os.fdopen(give, "wb", buffering=0) as out, os.fdopen(take, "rb") as back:
        _read_frame(back.read)
        began = time.monotonic()
        for number in range(WARM):
            header = json.dumps({"event": f"EV-{number}", "fence": 1, "attempt": 1, "kind": "json"}).encode()
            out.write(SIZES.pack(len(header), 1) + header + b"1")
            _read_frame(back.read)
        elapsed = time.monotonic() - began
    process.wait(10)
    return elapsed


def _read_frame(read: object) -> None:
    header, body = SIZES.unpack(read(SIZES.size))  # type: ignore[operator]
    read(header + body)  # type: ignore[operator]


def warm(stage: Stage, command: str, image: Path | None) -> float:
    """As many events by one worker's warm process."""
    return _measure(stage, command, WARM, task_image="" if image is None else str(image), warm=True)


def _measure(stage: Stage, command: str, count: int, **fields: Any) -> float:
    """From publishing to the last result; the worker is up, and its image and process have served one event."""
    workflow = stage.submit(command, n_workers=1, **fields)
    stage.wait_for_workers(workflow, 1)
    stage.publish(workflow, "in", [0])
    stage.wait_until_done(workflow, 1)
    return stage.time_events(workflow, range(count), count, before=1)


def main() -> None:
    """Measure both."""
    program = find_apptainer()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image = folder / "image"
        subprocess.run(["cp", "-a", make_image(*PACKAGES), image], check=True)
        (image / "task.py").write_text(TASK)
        (folder / "task.py").write_text(TASK)
        (folder / "stage").mkdir()
        stage = stack.enter_context(Stage(folder / "stage", MUSTER_SITE_CONTAINERS=str(program)))
        plain = [sys.executable, str(folder / "task.py")]
        series = alternate(
            {
                "bare apptainer run": lambda: bare_starts(program, image, folder) / STARTS * 1000,
                "muster, in Apptainer": lambda: starts(stage, image) / STARTS * 1000,
                "bare pipe": lambda: bare_pipe(plain) / WARM * 1000,
                "muster, warm": lambda: warm(stage, " ".join(plain), None) / WARM * 1000,
                "muster, warm in Apptainer": lambda: warm(stage, "python3 /task.py", image) / WARM * 1000,
            },
            rounds=ROUNDS,
            unit="ms/event",
        )
        shutil.rmtree(image)
    by_name = {one.name: one.median for one in series}
    keep(
        Record(
            name="containers",
            claim="a trivial task in a container (a folder as image), per event and warm, one worker of one slot",
            command="PYTHONPATH=tests python -m benchmarks.containers",
            settings="SQLite, synchronous=FULL; results published; the bare pipe gives one event after the other to the same program",
            series=series,
            ratios={
                "per event in Apptainer, muster / bare apptainer run": ratio(
                    series, "muster, in Apptainer", "bare apptainer run"
                ),
                "warm, ms more than a bare pipe": by_name["muster, warm"] - by_name["bare pipe"],
                "warm in Apptainer, ms more than a bare pipe": by_name["muster, warm in Apptainer"]
                - by_name["bare pipe"],
            },
            goal="per event at most 1.1 times; warm at most 2 ms more",
        )
    )


if __name__ == "__main__":
    main()
