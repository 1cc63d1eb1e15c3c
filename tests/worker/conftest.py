"""Workers for tests: the bundle as it travels, started in folders of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from muster.worker.bundle import build_bundle
from muster.worker.procfs import find_process, list_processes, read_environment
from worker.fake_service import SECRET, FakeService

bare_and_isolated = pytest.mark.parametrize("start", ["bare", "bwrap"], indirect=True)
"""Runs a test with plain tasks as they are, and isolated."""


class Worker:
    """One worker process."""

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        self.folder = folder
        self._stderr = (folder / "stderr").open("wb")
        self.process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=self._stderr, stderr=self._stderr, start_new_session=True
        )

    @property
    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def ended(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "exit.json").read_text())
        return content

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = 20.0) -> int:
        return self.process.wait(timeout_s)

    def left(self) -> list[int]:
        """Processes of its attempts that are alive."""
        mark = f"{self.folder}/".encode()
        found = []
        for pid in list_processes():
            environment = read_environment(pid)
            if b"MUSTER_ATTEMPT=" in environment and mark in environment:
                process = find_process(pid)
                if process is not None and not process.is_zombie:
                    found.append(pid)
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._stderr.close()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "muster-worker.pyz"
    build_bundle(path)
    return path


@pytest.fixture
def start(bundle: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Worker]]:
    """Start a worker for a service; keyword arguments are settings, without MUSTER_WORKER_ in front. Its tasks are not isolated,
    unless the fixture's parameter or a setting says so (`bare_and_isolated`).

    `again`: in the folder of that one. `wrapper`: words before its command, by its folder.
    """
    workers: list[Worker] = []
    before, isolation = "", "none"
    if getattr(request, "param", "bare") == "bwrap":
        before, isolation = f"{request.getfixturevalue('bubblewrap').parent}{os.pathsep}", "bwrap"

    def start(
        service: FakeService,
        *,
        python: str = sys.executable,
        secret: str = SECRET,
        taskforce: str = "a-taskforce",
        proc: int = 0,
        again: "Worker | None" = None,
        wrapper: "Callable[[Path], Sequence[str]]" = lambda _: (),
        environment: "Mapping[str, str] | None" = None,
        **more: object,
    ) -> Worker:
        folder = again.folder if again else tmp_path / f"worker-{len(workers)}"
        folder.mkdir(exist_ok=bool(again))
        enrol_file = tmp_path / "enrol.json"
        enrol_file.write_text(json.dumps({"taskforce": taskforce, "secret": secret}))
        enrol_file.chmod(0o600)
        variables = {
            "PATH": before + os.environ["PATH"],
            "MUSTER_WORKER_ISOLATION": isolation,
            "HOME": str(tmp_path),
            "MUSTER_WORKER_URL": service.url,
            "MUSTER_WORKER_ENROL_FILE": str(enrol_file),
            "MUSTER_WORKER_DIR": str(folder),
            "MUSTER_WORKER_PROC": str(proc),
            "MUSTER_TASKFORCE": "a-taskforce",
            "A_SECRET_OF_THE_WORKER": "not for tasks",
            **{f"MUSTER_WORKER_{name}": str(value) for name, value in more.items()},
            **(environment or {}),
        }
        worker = Worker(folder, [*wrapper(folder), python, "-I", "-S", str(bundle)], variables)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Write a task's program; returns the command that runs it."""

    def write(source: str) -> str:
        path = tmp_path / f"task-{len(list(tmp_path.glob('task-*')))}.py"
        path.write_text(source)
        return f"{sys.executable} {path}"

    return write
