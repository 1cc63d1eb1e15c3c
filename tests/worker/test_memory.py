"""Does a task that takes more memory than its worker has cost its own attempt, and nobody else's?"""

import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.worker.child import Cancel
from muster.worker.memory import MemoryGuard, render_bytes
from muster.worker.watched import WatchList
from worker.conftest import Worker, bare_and_isolated
from worker.fake_service import FakeService

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Start = Callable[..., Worker]
Script = Callable[[str], str]

LIMIT = 160 << 20
TAKES = """
import json, os, subprocess, sys, time
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    event = json.load(file)
if event["how"] == "itself":
    taken = b"x" * (300 << 20)
if event["how"] == "child":
    code = "taken = b'x' * (300 << 20); import time; time.sleep(3600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
if event["how"] == "shared":
    taken = bytearray(os.urandom(1 << 20)) * 60
    for _ in range(6):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
    time.sleep(3)
if event["how"] in ("itself", "child"):
    time.sleep(3600)
"""


@bare_and_isolated
@pytest.mark.parametrize("how", ["itself", "child"])
def test_one_that_takes_too_much_fails_alone_and_is_told_the_setting(start: Start, script: Script, how: str) -> None:
    with FakeService(args=script(TAKES), slots=2, memory_bytes=LIMIT, attempts=1) as service:
        bad, _ = service.publish({"how": how}, {"how": "not"})
        worker = start(service)
        service.wait_for(dead=1, done=1, deadline_s=60)
        service.tell_to("finish")
        assert worker.wait() == 0

    [error] = bad.errors
    assert error["fingerprint"] == "memory: [Memory-Error] it used # MiB of the worker's # MiB (worker_memory)"
    # It is seen while it grows, or when it has all: 300 MiB.
    said = re.fullmatch(
        r"task failed: \[Memory-Error\] it used (\d+) MiB of the worker's 160 MiB \(worker_memory\)", error["text"]
    )
    assert said is not None
    assert 160 < int(said[1]) < 400
    assert worker.left() == []


def test_what_processes_share_is_counted_once(start: Start, script: Script) -> None:
    with FakeService(args=script(TAKES), memory_bytes=LIMIT, attempts=1) as service:
        service.publish({"how": "shared"})
        start(service)
        service.wait_for(done=1, deadline_s=60)


def test_a_warm_process_is_replaced_and_goes_on_with_the_next(start: Start, script: Script) -> None:
    source = """
import time
from muster import task

def handle(event):
    if event == 2:
        taken = b"x" * (300 << 20)
        time.sleep(3600)
    return event

task.run(handle)
"""
    with FakeService(args=script(source), warm=True, memory_bytes=LIMIT, attempts=1) as service:
        service.publish(1, 2, 3)
        start(service)
        service.wait_for(dead=1, done=2, deadline_s=60)
        assert service.results() == [1, 3]


def test_in_a_container_too(start: Start, apptainer: Path, image: Path, tmp_path: Path) -> None:
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}
    args = "python3 -c \"import time; x = b'x' * (300 << 20); time.sleep(3600)\""
    with FakeService(image=str(image), args=args, memory_bytes=LIMIT, attempts=1) as service:
        [bad] = service.publish(1)
        worker = start(service, **settings)
        service.wait_for(dead=1, deadline_s=60)
        assert bad.errors[0]["fingerprint"].startswith("memory: ")
        assert worker.left() == []


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
def test_files_in_a_containers_memory_count(
    start: Start, apptainer: Path, image: Path, tmp_path: Path, place: str
) -> None:
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}
    args = f"sh -c 'head -c 40M /dev/zero > {place}/x; sleep 3600'"
    with FakeService(image=str(image), args=args, memory_bytes=32 << 20, attempts=1) as service:
        [bad] = service.publish(1)
        worker = start(service, **settings)
        service.wait_for(dead=1, deadline_s=60)
        assert "MiB for files in /tmp, $HOME or /dev/shm, of the worker's 32 MiB" in bad.errors[0]["text"]
        assert worker.left() == []


def test_files_that_are_mapped_count_once(start: Start, apptainer: Path, image: Path, tmp_path: Path) -> None:
    source = """
import mmap, os, time
with open("/dev/shm/x", "w+b") as file:
    file.truncate(60 << 20)
    mapped = mmap.mmap(file.fileno(), 0)
    for place in range(0, 60 << 20, 4096):
        mapped[place] = 1
    time.sleep(3)
"""
    own = tmp_path / "own-image"
    subprocess.run(["cp", "-al", image, own], check=True)
    (own / "task.py").write_text(source)
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}
    with FakeService(image=str(own), args="python3 /task.py", memory_bytes=100 << 20, attempts=1) as service:
        service.publish(1)
        start(service, **settings)
        service.wait_for(done=1, deadline_s=60)


def test_without_a_limit_nobody_is_stopped(start: Start, script: Script) -> None:
    with FakeService(args=script("x = b'x' * (300 << 20)"), attempts=1) as service:
        service.publish(1)
        start(service)
        service.wait_for(done=1, deadline_s=60)


def test_a_task_that_has_ended_is_not_stopped_any_more() -> None:
    watched, cancel = WatchList(), Cancel()
    guard = MemoryGuard(1, watched)
    pid = threading.get_native_id()
    watched.watch(pid, cancel, "/a-folder")
    watched.forget(pid)
    guard.look()
    assert (cancel.reason, cancel.excess) == (None, None)
    watched.watch(pid, cancel, "/a-folder")
    guard.look()
    assert (cancel.reason, "(worker_memory)" in str(cancel.excess)) == ("exceeded", True)
    cancel.clear()
    assert [cancel.reason, cancel.excess] == [None, None]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (512 << 20, "512 MiB"), (3 << 40, "3 TiB")]
)
def test_sizes_as_people_read_them(size: int, text: str) -> None:
    assert render_bytes(size) == text
