"""Are images that nobody uses any more removed, and never one that somebody does?"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.waiting import wait_for
from muster.worker.images import FRESH_S, ImageStore
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]

DAY_S = 86_400.0
KEPT_S = 30 * DAY_S
PINNED = "docker://muster/a@sha256:" + "0" * 64


USE_ONCE = """
import os, sys, threading
from muster.worker.images import ImageStore
folder, name, now = sys.argv[1:]
print(ImageStore(folder, is_over=threading.Event(), clock=lambda: float(now)).find_or_make(name, os.mkdir))
"""


class Machine:
    """A folder of images, with a clock; each store is another worker's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000_000_000.0

    def open(self) -> ImageStore:
        return ImageStore(str(self.folder), is_over=threading.Event(), kept_s=KEPT_S, clock=lambda: self.now)

    def use(self, name: str) -> tuple[ImageStore, Path]:
        """A worker that has the image, as long as it is kept at hand."""
        store = self.open()
        return store, Path(store.find_or_make(name, make))

    def use_once(self, name: str) -> Path:
        """A worker that has had the image and is gone."""
        words = [sys.executable, "-c", USE_ONCE, str(self.folder), name, str(self.now)]
        return Path(subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip())

    @property
    def images(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())


def make(place: str) -> None:
    (Path(place) / "bin").mkdir(parents=True)
    (Path(place) / "bin" / "sh").touch()
    (Path(place) / "bin").chmod(0o555)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "images")


def test_one_that_was_not_used_for_long_is_removed_with_all_that_belongs_to_it(machine: Machine) -> None:
    place = machine.use_once(PINNED)
    machine.now += KEPT_S - 1
    machine.open().remove_old()
    assert machine.images == [place]
    machine.now += 2
    machine.open().remove_old()
    assert [path.suffix for path in machine.folder.iterdir()] == [".lock"]


def test_each_use_prolongs_its_life(machine: Machine) -> None:
    place = machine.use_once(PINNED)
    machine.now += KEPT_S - 1
    assert machine.use_once(PINNED) == place
    machine.now += KEPT_S - 1
    machine.open().remove_old()
    assert machine.images == [place]


def test_one_in_use_stays_however_old_it_is(machine: Machine) -> None:
    user, place = machine.use(PINNED)
    machine.now += 2 * KEPT_S
    machine.open().remove_old()
    assert machine.images == [place]
    user.remove_old()
    assert machine.images == [place]


def test_one_that_a_newer_one_has_replaced_goes_with_its_last_user(machine: Machine) -> None:
    user, old = machine.use("docker://muster/a:1")
    machine.now += FRESH_S + 1
    _, new = machine.use("docker://muster/a:1")
    machine.open().remove_old()
    assert machine.images == [old, new]
    for descriptor in user._uses.values():
        os.close(descriptor)  # as its process's end does
    machine.open().remove_old()
    assert machine.images == [new]


def test_one_that_somebody_is_about_to_use_is_left_alone(machine: Machine) -> None:
    place = machine.use_once(PINNED)
    machine.now += 2 * KEPT_S
    with machine.open().lock(PINNED):
        machine.open().remove_old()
    assert machine.images == [place]


def test_what_a_worker_left_that_died_over_an_image_is_removed_once_nobody_is_at_it(machine: Machine) -> None:
    place = machine.use_once(PINNED)
    drafts = [Path(f"{place}0.draft"), Path(f"{place}1.gone")]
    for draft in drafts:
        make(str(draft))
    with machine.open().lock(PINNED):
        machine.open().remove_old()
    assert machine.images == [place, *drafts]
    machine.open().remove_old()
    assert machine.images == [place]


def test_what_is_no_image_is_not_touched(machine: Machine) -> None:
    machine.use_once(PINNED)
    others = [machine.folder / "mine", machine.folder / f"my-{'0' * 16}.2024"]
    for path in others:
        path.mkdir()
        os.utime(path, (0, 0))
    machine.now += 2 * KEPT_S
    machine.open().remove_old()
    assert machine.images == others


def test_a_folder_that_is_not_there_is_no_trouble(machine: Machine) -> None:
    machine.open().remove_old()


STAND_IN = """#!/bin/sh
case "$1" in
build) mkdir "$4" ;;
run) shift; while [ "$1" != "--" ]; do shift; done; shift; exec "$@" ;;
esac
"""
"""Makes empty images, and runs what follows a `--` among the arguments on this machine."""


@pytest.mark.system
def test_workers_clear_up_behind_each_other(start: Start, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "apptainer"
    tool.parent.mkdir()
    tool.write_text(STAND_IN)
    tool.chmod(0o755)
    images = tmp_path / "images"
    settings = {"CONTAINERS": tool, "IMAGE_DIR": images, "IMAGES_KEPT_S": 60}

    def age() -> None:
        for path in images.glob("*.use"):
            os.utime(path, (0, 0))

    def list_images() -> list[str]:
        return sorted(path.name.split("-")[0] for path in images.iterdir() if path.is_dir())

    with (
        FakeService(image="docker://one", args="-- sleep 3600") as first_service,
        FakeService(image="docker://two", args="-- true") as service,
    ):
        first_service.publish(1)
        first = start(first_service, **settings)
        first_service.wait_for(in_work=1)
        wait_for(lambda: list_images() == ["docker_one"], "one is there")
        age()
        service.publish(1)
        start(service, **settings)
        service.wait_for(done=1)
        assert list_images() == ["docker_one", "docker_two"], "it is in use"

        first.process.send_signal(signal.SIGKILL)
        first.wait()
        for path in images.glob("docker_one*.use"):
            os.utime(path, (0, 0))
        service.publish(2)
        start(service, proc=1, **settings)
        wait_for(lambda: list_images() == ["docker_two"], "one is gone")
