"""How long does the worker take to start, and how large is it? Goal: less than 0.3 s.

From exec of the bundle, as it travels, to its first request at a socket that listens. Nothing of it is compiled before: an archive keeps
no compiled modules. An interpreter that does nothing shows what is not ours.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Record, Series, keep, ratio
from benchmarks.stage import read_processor_s
from benchmarks.start_up import Took, measure, run
from muster.worker.bundle import build_bundle

ROUNDS = 20
GOAL_S = 0.3
DEADLINE_S = 30.0
PYTHON = (sys.executable, "-I", "-S")
WORKER, ANCHOR = "worker, to its first request", "python3 -I -S -c pass, to its end"
REQUEST = b"POST /muster/v1/worker/enrol "


def main() -> None:
    """Both in turn."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as service:
        folder = Path(name)
        bundle = folder / "muster-worker.pyz"
        size_bytes = build_bundle(bundle)
        variables = make_settings(folder, service.getsockname()[1])
        series = measure(
            {
                WORKER: lambda: start([*PYTHON, str(bundle)], variables, service),
                ANCHOR: lambda: run(dict(os.environ), Path(PYTHON[0]), *PYTHON[1:], "-c", "pass"),
            },
            rounds=ROUNDS,
        )
    medians = {one.name: one.median for one in series}
    keep(
        Record(
            name="worker_start",
            claim="from exec of the bundle to its enrolment's arrival, and its size",
            command="python -m benchmarks.worker_start",
            settings="python3 -I -S muster-worker.pyz; the service is a socket that takes the request",
            series=[*series, Series("size of the bundle", "KiB", [size_bytes / 1024])],
            ratios={
                f"start / goal of {GOAL_S:g} s": medians[WORKER] / GOAL_S,
                f"processor / goal of {GOAL_S:g} s": medians[f"{WORKER}, processor"] / GOAL_S,
                "start / interpreter alone": ratio(series, WORKER, ANCHOR),
            },
            goal="below 0.3 s; its size is told",
            limit="one core: compiling its modules",
        )
    )


def make_settings(folder: Path, port: int) -> dict[str, str]:
    """What a worker needs to find the socket."""
    enrolment = folder / "enrol.json"
    enrolment.write_text(json.dumps({"taskforce": "TF-bench", "secret": "for nobody"}))
    enrolment.chmod(0o600)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MUSTER_WORKER_URL": f"http://127.0.0.1:{port}",
        "MUSTER_WORKER_ENROL_FILE": str(enrolment),
    }


def start(command: Sequence[str], variables: dict[str, str], service: socket.socket) -> Took:
    """From exec to the request."""
    with tempfile.TemporaryDirectory() as folder:
        service.settimeout(DEADLINE_S)
        began = time.perf_counter()
        process = subprocess.Popen(command, env=variables, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            connection, _ = service.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                said = connection.recv(len(REQUEST), socket.MSG_WAITALL)
                took = Took(time.perf_counter() - began, read_processor_s(process.pid))
        finally:
            process.kill()
            process.wait()
    assert said == REQUEST, said
    return took


if __name__ == "__main__":
    main()
