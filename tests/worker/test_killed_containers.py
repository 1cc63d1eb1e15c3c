"""Does a container that is killed from outside cost its event one attempt and nothing else? With the real Apptainer."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.waiting import wait_for
from muster.worker.procfs import find_process, list_processes
from worker.conftest import Worker
from worker.fake_service import FakeService
from worker.test_containers import put

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Start = Callable[..., Worker]

WAITS_ONCE = """
import os, pathlib, subprocess, time
from muster import task

def handle(event):
    begun = pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"], "begun")
    if event == "killed" and not begun.exists():
        subprocess.Popen(["sleep", "3600"])
        begun.touch()
        time.sleep(3600)
    return event

task.run(handle)
"""


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("victim", ["the one that the worker started", "the task itself"])
def test_a_container_that_is_killed_costs_its_event_one_attempt(
    start: Start, apptainer: Path, image: Path, tmp_path: Path, victim: str, *, warm: bool
) -> None:
    own, args = put(image, tmp_path, WAITS_ONCE)
    with FakeService(image=str(own), args=args, warm=warm) as service:
        first, killed, last = service.publish("first", "killed", "last")
        worker = start(service, CONTAINERS=apptainer, IMAGE_DIR=tmp_path / "images")
        wait_for((worker.folder / "ewms-pilot-data/data-hub/begun").exists, "it is at work", deadline_s=60)
        of_it = worker.left()

        os.kill(find_victim(worker, of_it, victim), signal.SIGKILL)

        service.wait_for(done=3, deadline_s=60)
        assert [len(event.errors) for event in (first, killed, last)] == [0, 1, 0]
        [error] = killed.errors
        assert error["text"].startswith(("task failed (killed by signal 9, SIGKILL)", "task failed (exit code 137)")), (
            error["text"]
        )
        assert service.results() == ["first", "killed", "last"]
        wait_for(lambda: not [pid for pid in of_it if is_alive(pid)], "nothing is left of it")
        service.tell_to("finish")
        assert worker.wait() == 0
        assert worker.left() == []


def find_victim(worker: Worker, processes: list[int], victim: str) -> int:
    """One of the container's processes."""
    if victim == "the task itself":
        found = [pid for pid in processes if read_words(pid) == ["python3", "/task.py"]]
    else:
        found = [pid for pid in list_processes() if find_parent(pid) == worker.process.pid]
    [pid] = found
    return pid


def find_parent(pid: int) -> int:
    found = find_process(pid)
    return 0 if found is None else found.parent


def read_words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def is_alive(pid: int) -> bool:
    found = find_process(pid)
    return found is not None and not found.is_zombie
