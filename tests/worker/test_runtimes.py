"""Does every way to run a task keep the runtimes' contract? Bare, isolated by bwrap, in Apptainer, in Podman (whose words are Docker's)."""

import os
import sys
from pathlib import Path

import pytest

from contracts.runtime_contract import HidingContract, RuntimeContract, Way

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


class TestBare(RuntimeContract):
    @pytest.fixture
    def way(self) -> Way:
        return Way(python=sys.executable)


class TestIsolated(HidingContract):
    @pytest.fixture
    def way(self, bubblewrap: Path) -> Way:
        path = f"{bubblewrap.parent}{os.pathsep}{os.environ['PATH']}"
        return Way(python=sys.executable, settings={"ISOLATION": "bwrap"}, environment={"PATH": path})


class TestApptainer(HidingContract):
    @pytest.fixture
    def way(self, apptainer: Path, image: Path) -> Way:
        return Way(str(image), settings={"CONTAINERS": apptainer})


class TestPodman(HidingContract):
    @pytest.fixture
    def way(self, podman: Path, podman_image: str, tmp_path: Path) -> Way:
        return Way(podman_image, settings={"CONTAINERS": podman, "IMAGE_DIR": tmp_path / "images"})
