"""Are images had from a real registry, once for all workers of a machine, and is it the image that was named?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.registry import Registry
from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

Start = Callable[..., Worker]


@pytest.fixture(scope="module")
def pushed(registry: Registry, image: Path) -> str:
    """The digest of `muster/task:1`, which runs what it is given, and has a PYTHONPATH."""
    return registry.push("muster/task", "1", image, env=("PYTHONPATH=/opt/of-the-image", "PATH=/usr/bin:/bin"))


@pytest.fixture
def settings(apptainer: Path, tmp_path: Path) -> dict[str, object]:
    """Of workers with images of their own; so is Apptainer's cache, in their home folder."""
    return {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}


def list_images(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "images").iterdir() if path.is_dir()]


def test_one_by_its_digest_is_unpacked_once_for_workers_that_start_together(
    start: Start, registry: Registry, pushed: str, settings: dict[str, object], tmp_path: Path
) -> None:
    name = f"docker://{registry.address}/muster/task@{pushed}"
    with FakeService(image=name, args="sh -c 'echo $PYTHONPATH > {{OUTFILE}}'", outfile_ext="out") as service:
        service.publish(*range(6))
        workers = [start(service, proc=proc, **settings) for proc in range(3)]
        service.wait_for(done=6, deadline_s=120)
        service.tell_to("finish")
        assert [worker.wait(30) for worker in workers] == [0, 0, 0]

    assert set(service.results()) == {"/opt/of-the-image:/ewms-pilot-data/data-hub/.muster\n"}
    assert len(list_images(tmp_path)) == 1


def test_one_by_its_tag_needs_no_scheme(
    start: Start, registry: Registry, pushed: str, settings: dict[str, object]
) -> None:
    assert pushed
    with FakeService(image=f"{registry.address}/muster/task:1", args="true") as service:
        service.publish(1)
        start(service, **settings)
        service.wait_for(done=1, deadline_s=120)


@pytest.mark.parametrize("what", ["muster/task:none", f"muster/task@sha256:{'0' * 64}", "muster/nothing:1"])
def test_one_that_the_registry_does_not_have_costs_no_event_anything(
    start: Start, registry: Registry, pushed: str, settings: dict[str, object], tmp_path: Path, what: str
) -> None:
    assert pushed
    with FakeService(image=f"docker://{registry.address}/{what}", args="true") as service:
        [event] = service.publish(1)
        worker = start(service, **settings)

        assert worker.wait(60) == 1
        assert worker.ended["why"].startswith(f"image docker://{registry.address}/{what}: ")
        assert "unknown" in worker.ended["why"]
        assert event.leased_at == []
    assert list_images(tmp_path) == []


def test_a_registry_that_is_away_is_told_as_such(start: Start, settings: dict[str, object]) -> None:
    with FakeService(image="docker://127.0.0.1:9/muster/task:1", args="true") as service:
        worker = start(service, **settings)

        assert worker.wait(60) == 1
        assert "connection refused" in worker.ended["why"]
