"""What do benchmarks play on? Muster's processes in a folder, driven by the client."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.sites import Claim
from muster.client.synchronous import Client

MUSTER = Path(sys.executable).parent / "muster"


TICKS = os.sysconf("SC_CLK_TCK")


def read_processor_s(pid: int) -> float:
    """Seconds of the processor that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Stage:
    """`muster serve`, and `muster site` unless `site` is False, in a folder; SQLite unless a PostgreSQL url is given.

    Args:
        token: to sign in with; None: the one that the service makes itself.
        host: loopback address; two stages beside each other need two.
        variables: further settings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str | None = None,
        site: bool = True,
        token: str | None = None,
        host: str = "127.0.0.1",
        **variables: str,
    ) -> None:
        self.folder = folder
        self.token = token
        self.host = host
        self.variables = variables
        self.database_url = database_url or f"sqlite:///{folder / 'muster.db'}"
        self.has_site = site
        self.processes: list[subprocess.Popen[bytes]] = []
        self.url = ""

    def __enter__(self) -> Self:
        port = 20_000 + os.getpid() % 10_000
        self.url = f"http://{self.host}:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")} | {
            "MUSTER_HOST": self.host,
            "MUSTER_PORT": str(port),
            "MUSTER_DATABASE_URL": self.database_url,
            "MUSTER_TOKEN_FILE": str(self.folder / "token"),
            "MUSTER_LOCATIONS": '{"local": {"schedd": "local"}}',
            "MUSTER_LOG_LEVEL": "warning",
            "MUSTER_SITE_URL": self.url,
            "MUSTER_SITE_TOKEN_FILE": str(self.folder / "token"),
            "MUSTER_SITE_DIRECTORY": str(self.folder / "site"),
            **self.variables,
        }
        self._start("serve", environment)
        deadline = time.monotonic() + 30
        while not self._is_ready():
            assert time.monotonic() < deadline, (self.folder / "serve.log").read_text()[-2000:]
            time.sleep(0.02)
        if self.has_site:
            self._start("site", environment, "--stop-workers")
        self.token = self.token or (self.folder / "token").read_text().strip()
        self.client = Client(self.url, token=self.token)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for process in reversed(self.processes):  # the agent first: its workers hand in what they have
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()

    @property
    def service_pid(self) -> int:
        return self.processes[0].pid

    def _start(self, part: str, environment: dict[str, str], *options: str) -> None:
        with (self.folder / f"{part}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [str(MUSTER), part, *options], env=environment, stdout=log, stderr=log, cwd=self.folder
                )
            )

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def submit(self, command: str, *, outputs: Sequence[str] = ("out",), task_image: str = "", **fields: Any) -> str:
        """A workflow of one task that reads queue `in`; returns its id."""
        task = NewTask(
            cluster_locations=["local"],
            task_image=task_image,
            task_args=command,
            input_queue_aliases=["in"],
            output_queue_aliases=[*outputs],
            infile_ext="json",
            outfile_ext="json",
            **fields,
        )
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", *outputs])
        return self.client.submit_workflow(new).workflow_id

    def publish(self, workflow: str, alias: str, values: Iterable[Any]) -> None:
        """Publish JSON values in batches."""
        self.client.publish(workflow, alias, values)

    def claim_secret(self, workflow: str) -> tuple[str, str]:
        """Play the agent: claim the workflow's taskforce, and return its uuid and enrolment secret."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            claims = self.client.claim(Claim(agent="bench", locations=["local"], wait_s=5, lease_s=3600))
            for order in claims.start:
                if order.workflow_id == workflow:
                    return order.taskforce_uuid, order.secret
        raise AssertionError("the taskforce was not offered")

    def wait_for_workers(self, workflow: str, count: int) -> None:
        """Wait until the workers have enrolled."""
        self._wait(lambda: self.client.get_progress(workflow).workers >= count, f"{count} workers")

    def wait_until_done(self, workflow: str, count: int) -> None:
        """Wait until so many input events are done."""
        self._wait(lambda: self.client.get_progress(workflow).input.done >= count, f"{count} events done")

    def time_events(self, workflow: str, values: Iterable[Any], count: int, *, before: int = 0) -> float:
        """Seconds from publishing so many values to the last one's end; then the workflow is finished. `before`: events done already."""
        began = time.monotonic()
        self.publish(workflow, "in", values)
        self.wait_until_done(workflow, before + count)
        elapsed = time.monotonic() - began
        self.finish(workflow)
        return elapsed

    def finish(self, workflow: str) -> None:
        """Finish a workflow and wait until its workers are gone."""
        self.client.finish_workflow(workflow)
        self._wait(lambda: self.client.get_progress(workflow).workers == 0, "no workers")

    @staticmethod
    def _wait(look: Any, what: str, *, deadline_s: float = 600) -> None:
        deadline = time.monotonic() + deadline_s
        while not look():
            assert time.monotonic() < deadline, f"waited for {what}"
            time.sleep(0.01)
