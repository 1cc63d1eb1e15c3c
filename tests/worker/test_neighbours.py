"""Can a task in a container come at what is another's: a neighbour's files, or its worker's own? With the real Apptainer.

It is told where they are, tries each of them by every way it has, and the machine is looked at afterwards. What tasks of one worker
share by design, the data hub, is not tried.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.waiting import wait_for
from worker.conftest import Worker
from worker.fake_service import FakeService
from worker.test_containers import put

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Start = Callable[..., Worker]

MARK = "written-by-a-neighbour"

TRY = """
import json, os, pathlib, signal, time
from muster import task

HUB = pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"])

def stay(event):
    "Have a file of its own until the neighbour has tried; tells what became of it."
    own = pathlib.Path("/ewms-pilot-data/task-io/of-the-neighbour")
    own.write_text("as it was")
    (HUB / "begun").touch()
    while not (HUB / "tried").exists():
        time.sleep(0.05)
    return {"files": sorted(path.name for path in own.parent.glob("*neighbour*")), "text": own.read_text()}

def roots():
    yield ""
    yield "/ewms-pilot-data/task-io/.."
    for pid in filter(str.isdigit, os.listdir("/proc")):
        yield f"/proc/{pid}/root"
        yield f"/proc/{pid}/cwd"

def read(path):
    for do in (path.read_bytes, lambda: os.listdir(path), path.stat):
        try:
            yield [str(path), repr(do())]
        except OSError:
            pass

def write(path, mark):
    for other in (path, path.parent / mark, path / mark):
        try:
            other.parent.mkdir(parents=True, exist_ok=True)
            with other.open("a") as file:
                file.write(mark)
        except OSError:
            pass

def attempt(event):
    "Read all files by every root; write to them and beside them; end every process. Tells what could be seen."
    places = [pathlib.Path(root + path) for root in roots() for path in event["paths"]]
    seen = [one for place in places for one in read(place)]
    for place in places:
        write(place, event["mark"])
    for pid in event["pids"]:
        try:
            os.kill(pid, signal.SIGKILL)
            seen.append(["killed", pid])
        except OSError:
            pass
    (HUB / "tried").touch()
    return seen

def handle(event):
    return attempt(event) if "paths" in event else stay(event)

task.run(handle)
"""


@pytest.mark.parametrize("warm", [False, True])
def test_a_task_reaches_neither_its_neighbours_files_nor_its_workers(
    start: Start, apptainer: Path, image: Path, tmp_path: Path, *, warm: bool
) -> None:
    own, args = put(image, tmp_path, TRY)
    with FakeService(image=str(own), args=args, warm=warm, slots=2, attempts=1) as service:
        [neighbour] = service.publish({"stays": True})
        worker = start(service, CONTAINERS=apptainer, IMAGE_DIR=tmp_path / "images")
        data = worker.folder / "ewms-pilot-data"
        wait_for((data / "data-hub" / "begun").exists, "the neighbour is at work", deadline_s=60)
        (worker.folder / "spool").mkdir()
        (worker.folder / "spool" / "of-the-worker").write_text("as it was")
        paths = [str(path) for path in list_own(tmp_path, worker)]
        before = read_all(paths)
        assert [path for path in paths if path.endswith("task-io/of-the-neighbour")]

        [event] = service.publish({"paths": paths, "pids": [worker.process.pid, os.getpid()], "mark": MARK})

        service.wait_for(done=2, deadline_s=60)
        assert event.results[0]["body"] == []
        assert neighbour.results[0]["body"] == {"files": ["of-the-neighbour"], "text": "as it was"}
        assert {path: text for path, text in read_all(paths).items() if before[path] != text and is_quiet(path)} == {}
        assert [path for path in tmp_path.rglob(f"*{MARK}*") if own not in path.parents] == []
        assert worker.process.poll() is None
        service.tell_to("finish")
        assert worker.wait() == 0


def list_own(tmp_path: Path, worker: Worker) -> Iterator[Path]:
    """What is the worker's: its secret, its variables, its folder with all attempts, but neither data hub nor what is no file."""
    yield tmp_path / "enrol.json"
    yield Path(f"/proc/{worker.process.pid}/environ")
    yield worker.folder
    for path in worker.folder.rglob("*"):
        if "data-hub" not in path.parts and (path.is_file() or path.is_dir()):
            yield path


def read_all(paths: list[str]) -> dict[str, bytes]:
    """The files among them that are still there."""
    return {path: Path(path).read_bytes() if Path(path).is_file() else b"" for path in paths}


def is_quiet(path: str) -> bool:
    """Not the worker's log, and not of an attempt that has ended meanwhile."""
    return Path(path).is_file() and not path.endswith("stderr")
