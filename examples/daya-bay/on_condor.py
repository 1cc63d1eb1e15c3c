"""How does the scan run on an HTCondor pool? A real one, made on the spot: its daemons, four execution slots or more, and its history.

HTCondor is fetched once, without root rights, into `.cache` of the folder that holds Muster's sources; an installed one is taken as it is.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio

from muster.client.asynchronous import AsyncClient

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1]
SCRIPTS = SOURCES / "deploy" / "pool"
PORTS = range(19_618, 19_718)
UP_S_MAX = 60.0
AT_ONCE = 32
"""Events asked for at once."""


class PoolError(Exception):
    """The pool is not as it must be."""


def fetch_condor(run: Callable[..., object]) -> Path | None:
    """The folder with HTCondor's `usr`; None: it is installed. `run`: runs a command, and shows it."""
    if shutil.which("condor_master") is not None:
        return None
    folder = SOURCES / ".cache" / "condor"
    run("bash", str(SCRIPTS / "fetch-condor.sh"), str(folder))
    return folder


class Pool:
    """One pool with a folder of its own. `root`: None: of the installed HTCondor."""

    def __init__(self, folder: Path, root: Path | None, *, apptainer: Path) -> None:
        self.folder = folder
        self._root = root
        self._apptainer = apptainer
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """What CONDOR_CONFIG is to name."""
        return self.folder / "condor_config"

    @property
    def variables(self) -> Mapping[str, str]:
        """What `start-pool.sh` is told."""
        root = {} if self._root is None else {"CONDOR_ROOT": str(self._root)}
        return {**root, "CONDOR_CPUS": "4", "CONDOR_APPTAINER": str(self._apptainer)}

    def start(self) -> None:
        """Raises PoolError, with the end of its output, when no slot is there in time. A port that is taken is passed over."""
        self.folder.mkdir(parents=True)
        for port in PORTS:
            if self._start_at(port):
                return
        raise PoolError(f"no port of {PORTS.start} to {PORTS.stop - 1} is free")

    def _start_at(self, port: int) -> bool:
        output = self.folder / "output"
        with output.open("ab") as file:
            self._master = subprocess.Popen(
                ["bash", str(SCRIPTS / "start-pool.sh"), str(self.folder)],
                env={**os.environ, **self.variables, "CONDOR_PORT": str(port)},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        begun = time.monotonic()
        while time.monotonic() - begun < UP_S_MAX:
            if self._master.poll() is not None:
                return False
            if self.config.exists() and self.ask("condor_status", "-af", "Name"):
                return True
            time.sleep(0.1)
        said = output.read_text(errors="replace")[-2000:]
        self.stop()
        raise PoolError(f"the pool did not come up; see {self.folder / 'log'}:\n{said}")

    def ask(self, program: str, *words: str) -> list[str]:
        """The lines that one of HTCondor's programs prints; none when it fails."""
        place = "" if self._root is None else f"{self._root}/usr/bin/"
        done = subprocess.run(
            [f"{place}{program}", *words],
            env={**os.environ, "CONDOR_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split("\n")[:-1] if done.returncode == 0 else []

    def list_history(self) -> set[str]:
        """`cluster.proc` of every job that has left its queue."""
        return {line.strip() for line in self.ask("condor_history", "-af:j", "ProcId") for line in line.split()[:1]}

    def stop(self) -> None:
        """End it, and everything that it runs."""
        if self._master is not None and self._master.poll() is None:
            self._master.terminate()
            try:
                self._master.wait(20)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()


def list_workers(url: str, token: str, workflow: str, queue: str) -> tuple[int, set[str]]:
    """How many attempts there were at the events of a queue, and `cluster.proc` of every worker that made one."""
    return anyio.run(_list_workers, url, token, workflow, queue)


async def _list_workers(url: str, token: str, workflow: str, queue: str) -> tuple[int, set[str]]:
    workers: set[str] = set()
    count = 0
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async with AsyncClient(url, token) as client:

        async def look(event: str) -> None:
            nonlocal count
            async with limiter:
                view = await client.get_event(event)
            count += len(view.history)
            workers.update(attempt.worker.partition("@")[0] for attempt in view.history)

        after: str | None = None
        while True:
            page = await client.list_events(workflow, queue=queue, limit=1000, after=after)
            async with anyio.create_task_group() as tasks:
                for one in page.events:
                    tasks.start_soon(look, one.event)
            if (after := page.next_after) is None:
                return count, workers
