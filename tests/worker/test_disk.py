"""Does a task that takes more disk than its worker has cost its own attempt, and is it told what to do?"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.worker.capture import Capture
from muster.worker.child import Cancel
from muster.worker.disk import DiskGuard, measure_tree
from muster.worker.folders import AttemptFolder, Folders
from muster.worker.watched import WatchList
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]
Script = Callable[[str], str]

MIB = 1 << 20


def fill(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size_bytes))


class Scene:
    """A worker's data directory with two attempts at work, and the guard of 8 MiB."""

    def __init__(self, workdir: Path) -> None:
        self.folders = Folders(workdir, input_dir=None, failures_kept=20)
        self.watched = WatchList()
        self.guard = DiskGuard(8 * MIB, self.folders, self.watched)
        self.attempts = [self.make() for _ in range(2)]
        self.cancels = [Cancel() for _ in self.attempts]
        for pid, (attempt, cancel) in enumerate(zip(self.attempts, self.cancels, strict=True)):
            self.watched.watch(pid, cancel, attempt.path)

    def make(self) -> AttemptFolder:
        return self.folders.make("json", "json")

    def fill(self, number: int, size_bytes: int) -> None:
        fill(Path(self.attempts[number].scratch) / "file", size_bytes)

    def look(self) -> list[tuple[str, str] | None]:
        self.guard.look()
        return [cancel.excess for cancel in self.cancels]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_within_the_limit_nothing_happens(scene: Scene) -> None:
    scene.fill(0, 7 * MIB)
    assert scene.look() == [None, None]


def test_the_attempt_with_the_largest_folder_is_stopped_and_told_what_the_others_have(scene: Scene) -> None:
    scene.fill(0, 2 * MIB)
    scene.fill(1, 4 * MIB)
    fill(Path(scene.folders.data_hub) / "file", 3 * MIB)

    first, second = scene.look()

    assert first is None
    assert second is not None
    kind, text = second
    assert kind == "disk"
    assert re.sub(r"([49])\.[0-9]+ MiB", r"\1.x MiB", text) == (
        "[Disk-Error] it used 4.x MiB, 9.x MiB with the data hub and others' files, of the worker's 8 MiB (worker_disk)"
    )


def test_a_data_hub_that_is_too_large_alone_is_named(scene: Scene) -> None:
    fill(Path(scene.folders.data_hub) / "deep" / "er" / "file", 9 * MIB)
    scene.fill(1, 4096)

    first, second = scene.look()

    assert first is None
    assert second is not None
    assert second[1].startswith("[Disk-Error] the data hub alone, which the worker's tasks share, holds 9")


def test_what_is_kept_of_failed_attempts_makes_room_first_the_oldest_before_the_others(scene: Scene) -> None:
    failed = [scene.make() for _ in range(3)]
    for folder in failed:
        fill(Path(folder.scratch) / "file", 3 * MIB)
        scene.folders.settle(folder, is_good=False, stdout=Capture(), stderr=Capture())

    assert scene.look() == [None, None]

    assert [Path(folder.path).exists() for folder in failed] == [False, True, True]


def test_an_attempt_that_has_ended_meanwhile_is_not_stopped(scene: Scene) -> None:
    scene.fill(0, 9 * MIB)
    scene.watched.forget(0)
    scene.watched.forget(1)
    assert scene.look() == [None, None]


def test_holes_links_and_names_count_as_the_disk_has_them(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    fill(tree / "one", MIB)
    os.link(tree / "one", tree / "another-name")
    fill(tmp_path / "outside", 2 * MIB)
    (tree / "link").symlink_to(tmp_path)
    with (tree / "hole").open("wb") as file:
        file.truncate(100 * MIB)
    assert MIB <= measure_tree(str(tree), set()) < MIB + 65536
    assert measure_tree(str(tmp_path / "nothing"), set()) == 0


WRITES = """
import json, os, time
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    event = json.load(file)
with open(os.path.join(event["where"].format(**os.environ), "large"), "wb") as file:
    file.write(bytes(event["mib"] << 20))
while event["mib"] > 8:
    time.sleep(0.1)
"""


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
def test_one_that_writes_too_much_fails_alone_and_the_next_has_room_again(
    start: Start, script: Script, *, warm: bool
) -> None:
    source = """
import os, time
from muster import task
def handle(event):
    with open("large", "wb") as file:
        file.write(bytes(event["mib"] << 20))
    while event["mib"] > 8:
        time.sleep(0.1)
task.run(handle)
"""
    with FakeService(
        args=script(source if warm else WRITES), warm=warm, slots=2, disk_bytes=24 * MIB, attempts=1
    ) as service:
        bad, *_ = service.publish({"mib": 30, "where": "."}, {"mib": 1, "where": "."}, {"mib": 2, "where": "{TMPDIR}"})
        worker = start(service)
        service.wait_for(dead=1, done=2, deadline_s=60)
        service.publish({"mib": 8, "where": "."})
        service.wait_for(dead=1, done=3, deadline_s=60)
        service.tell_to("finish")
        assert worker.wait() == 0

    [error] = bad.errors
    assert error["fingerprint"].startswith("disk: [Disk-Error] it used # MiB")
    assert "of the worker's 24 MiB (worker_disk)" in error["text"]
    assert worker.left() == []


@pytest.mark.system
def test_in_a_container_too(start: Start, apptainer: Path, image: Path, tmp_path: Path) -> None:
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}
    args = "sh -c 'head -c 30M /dev/zero > /ewms-pilot-data/task-io/x; sleep 3600'"
    with FakeService(image=str(image), args=args, disk_bytes=24 * MIB, attempts=1) as service:
        [bad] = service.publish(1)
        worker = start(service, **settings)
        service.wait_for(dead=1, deadline_s=60)
        assert bad.errors[0]["fingerprint"].startswith("disk: ")
        assert worker.left() == []
