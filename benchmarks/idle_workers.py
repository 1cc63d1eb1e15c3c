"""What do 20,000 workers that wait for one task's events cost one service, and how soon does one of them have an event that comes?

Goal: at most 50 kB of memory each. `MUSTER_BENCH_WORKERS` (default 20,000) is how many: simulated by two processes that speak the
worker's protocol and do as idle workers do. A worker has two connections, one for steps and one for renewals; those simulated have
one, so the other is measured by itself and added.
"""

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage, read_processor_s

WORKERS = int(os.environ.get("MUSTER_BENCH_WORKERS", "20000"))
DRIVERS = 2
BARE = 2_000
"""Connections without workers."""
SETTLE_S = float(os.environ.get("MUSTER_BENCH_SETTLE_S", "90"))
"""Until all were told when to come back at least once, and have."""
IDLE_S = 60.0
ROUNDS = 3
EVENTS, PAUSE_S = 600, 0.05
GOAL_BYTES = 50_000
ANSWER_S = 600.0


def main() -> None:
    """Memory of a connection, then the crowd: its memory, what it costs while nothing happens, and events one at a time."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    assert most > WORKERS * 0.95, (
        f"{most} open files are too few for {WORKERS} workers: raise the hard limit (ulimit -Hn)"
    )
    connection_bytes = measure_connections()
    print(f"  a connection: {connection_bytes:,.0f} bytes", flush=True)
    memory = Series("memory of a worker's session and one connection", "bytes")
    processor = Series("processor, nothing happens", "of a core")
    called = Series("calls, nothing happens", "calls/s")
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), site=False) as stage:
        workflow = stage.submit("true", outputs=(), n_workers=1)
        taskforce, secret = stage.claim_secret(workflow)
        before = read_resident_bytes(stage.service_pid)
        with crowd(stage.url, taskforce, secret) as drivers:
            time.sleep(SETTLE_S)
            for _ in range(ROUNDS):
                ask(drivers)
                begun, used = time.monotonic(), read_processor_s(stage.service_pid)
                time.sleep(IDLE_S)
                took_s = time.monotonic() - begun
                processor.runs.append((read_processor_s(stage.service_pid) - used) / took_s)
                memory.runs.append((read_resident_bytes(stage.service_pid) - before) / WORKERS)
                _, calls = ask(drivers)
                called.runs.append(calls.total() / took_s)
                print(
                    f"  {memory.runs[-1]:,.0f} bytes each, {processor.runs[-1]:.3g} of a core, {dict(calls)}",
                    flush=True,
                )
            ask(drivers)
            for _ in range(EVENTS):
                stage.publish(workflow, "in", [time.time()])
                time.sleep(PAUSE_S)
            stage.wait_until_done(workflow, EVENTS)
            latencies, _ = ask(drivers)
    latencies.sort()
    p50, p99 = statistics.median(latencies), latencies[int(len(latencies) * 0.99) - 1]
    assert len(latencies) == EVENTS
    each = statistics.median(memory.runs) + connection_bytes
    keep(
        Record(
            name="idle_workers",
            claim=f"{WORKERS:,} idle workers of one task on one service, {EVENTS} events one at a time",
            command="python -m benchmarks.idle_workers",
            settings=(
                "SQLite, synchronous=FULL, MUSTER_PARK_MAX 200; of the simulated workers nine in ten keep a connection; each renews every "
                "third of a lease of 60 s in which no step was answered; they run on the same two cores"
            ),
            series=[
                memory,
                Series("memory of the second connection", "bytes", [connection_bytes]),
                processor,
                called,
                Series("from the POST of an event to its worker, p50", "s", [p50]),
                Series("from the POST of an event to its worker, p99", "s", [p99]),
            ],
            ratios={
                "memory of a worker with two connections / goal of 50 kB": each / GOAL_BYTES,
                "lease latency, p99 / p50": p99 / p50,
            },
            goal="at most 50 kB each; p99 of the latency is told",
            limit="both cores, shared by the service and those simulated",
        )
    )


def measure_connections() -> float:
    """Bytes of the service's memory that a connection takes which was used once and is kept."""
    request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), site=False) as stage, ExitStack() as opened:
        port = int(stage.url.rpartition(":")[2])
        time.sleep(1)
        before = read_resident_bytes(stage.service_pid)
        for _ in range(BARE):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(request)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        return (read_resident_bytes(stage.service_pid) - before) / BARE


@contextmanager
def crowd(url: str, taskforce: str, secret: str) -> Iterator[Sequence[subprocess.Popen[str]]]:
    """The processes of the simulated workers, all of which have enrolled and asked."""
    share = WORKERS // DRIVERS
    drivers = [
        subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("idle_driver.py")),
                url,
                taskforce,
                str(number * share),
                str(share),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(DRIVERS)
    ]
    try:
        for driver in drivers:
            tell(driver, secret)
        begun = time.monotonic()
        for driver in drivers:
            hear(driver)
        print(f"  enrolled {share * DRIVERS} in {time.monotonic() - begun:.0f} s", flush=True)
        yield drivers
    finally:
        for driver in drivers:
            driver.kill()
            driver.wait()


def ask(drivers: Sequence[subprocess.Popen[str]]) -> tuple[list[float], Counter[str]]:
    """Latencies since the last time, and calls in all."""
    latencies, calls = list[float](), Counter[str]()
    for driver in drivers:
        tell(driver, "and now?")
        said = hear(driver)
        latencies += said["latencies"]
        calls.update(said["calls"])
    return latencies, calls


def tell(driver: subprocess.Popen[str], line: str) -> None:
    """Say a line to a process."""
    assert driver.stdin is not None
    driver.stdin.write(line + "\n")
    driver.stdin.flush()


def hear(driver: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that a process says."""
    assert driver.stdout is not None
    line = driver.stdout.readline()
    assert line, "a driver ended"
    heard = json.loads(line)
    assert isinstance(heard, dict)
    return heard


def read_resident_bytes(pid: int) -> int:
    """Memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
