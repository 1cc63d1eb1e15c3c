"""How long until `muster` answers? The service, and commands as people feel them. Goal of the service: less than 1 s.

Modules are read as they are after an installation: compiled once, into a folder of this benchmark's own, by an untimed start. Where
`PYTHONDONTWRITEBYTECODE` is set and nothing was compiled, each start compiles, which takes twice as long.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, Series, keep
from benchmarks.stage import MUSTER, read_processor_s

ROUNDS = int(os.environ.get("MUSTER_BENCH_ROUNDS", "15"))
DEADLINE_S = 60.0
LOOK_S = 0.002
REQUEST = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of the processor."""

    clock_s: float
    processor_s: float


def main() -> None:
    """Each kind of start in turn; an interpreter that does nothing shows what is not ours."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MUSTER_") and name != "PYTHONDONTWRITEBYTECODE"
        } | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        postgres = stack.enter_context(running_postgres())
        new = (f"sqlite:///{folder / f'new-{number}.db'}" for number in count())
        old = {"SQLite": f"sqlite:///{folder / 'old.db'}", "PostgreSQL": fresh_database(postgres)}
        for url in old.values():  # compiles, and migrates
            start(folder, environment, url)
        running, _ = stack.enter_context(serving(folder, environment, old["SQLite"]))
        called = environment | {"MUSTER_URL": running, "MUSTER_TOKEN_FILE": str(folder / "token")}
        copy = folder / "copy.db"
        start(folder, environment, f"sqlite:///{copy}")
        sides: dict[str, Callable[[], Took]] = {
            "serve, SQLite that exists": lambda: start(folder, environment, f"sqlite:///{copy}"),
            "serve, new SQLite": lambda: start(folder, environment, next(new)),
            "serve, PostgreSQL that exists": lambda: start(folder, environment, old["PostgreSQL"]),
            "serve, new PostgreSQL": lambda: start(folder, environment, fresh_database(postgres)),
            "muster --help": lambda: run(called, MUSTER, "--help"),
            "muster workflow list": lambda: run(called, MUSTER, "workflow", "list"),
            "python -c pass": lambda: run(called, Path(sys.executable), "-c", "pass"),
        }
        series = measure(sides)
    medians = {one.name: one.median for one in series}
    keep(
        Record(
            name="start_up",
            claim="from exec to the first answer of /healthz, and of commands from exec to exit",
            command="PYTHONPATH=tests python -m benchmarks.start_up",
            settings="modules compiled before, as by an installation; SQLite synchronous=FULL, PostgreSQL fsync on; new ones are migrated",
            series=series,
            ratios={f"{name} / goal of 1 s": medians[name] for name in sides if name.startswith("serve")},
            goal="serve below 1 s, on a database that exists and on a new one",
            limit="one core: reading modules",
        )
    )


def measure(sides: Mapping[str, Callable[[], Took]], *, rounds: int = ROUNDS) -> list[Series]:
    """Each side in turn; the processor's time tells more than the clock's where others use the machine too."""
    clock = {name: Series(name, "s") for name in sides}
    processor = {name: Series(f"{name}, processor", "s") for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            took = side()
            clock[name].runs.append(took.clock_s)
            processor[name].runs.append(took.processor_s)
            print(f"  round {number + 1}: {name}: {took.clock_s:.3g} s, processor {took.processor_s:.3g} s", flush=True)
    return [*clock.values(), *processor.values()]


def start(folder: Path, environment: dict[str, str], url: str) -> Took:
    """From exec to the answer."""
    began = time.perf_counter()
    with serving(folder, environment, url) as (_, pid):
        return Took(time.perf_counter() - began, read_processor_s(pid))


@contextmanager
def serving(folder: Path, environment: dict[str, str], url: str) -> Iterator[tuple[str, int]]:
    """A service of this database, once it answers: its URL and its process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    variables = {
        "MUSTER_PORT": str(port),
        "MUSTER_DATABASE_URL": url,
        "MUSTER_TOKEN_FILE": str(folder / "token"),
        "MUSTER_LOG_LEVEL": "warning",
    }
    log_path = folder / "serve.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen([MUSTER, "serve"], env=environment | variables, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not _answers(port):
            assert process.poll() is None, log_path.read_text()[-2000:]
            assert time.monotonic() < deadline, log_path.read_text()[-2000:]
            time.sleep(LOOK_S)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE_S)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(REQUEST)
            return connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def run(environment: dict[str, str], program: Path, *arguments: str) -> Took:
    """From exec to exit."""
    began = time.perf_counter()
    process = subprocess.Popen([program, *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return Took(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    main()
