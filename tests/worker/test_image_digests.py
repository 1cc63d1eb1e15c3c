"""Is what runs the image that was named, where a tag has moved to another one, or the registry answers other bytes than it should?"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.worker.images import FRESH_S
from services.registry import Registry
from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

Start = Callable[..., Worker]
Make = Callable[[str], Path]

SAY = "sh -c 'cat /version > {{OUTFILE}}'"
DEADLINE_S = 120.0


@pytest.fixture
def settings(apptainer: Path, tmp_path: Path) -> dict[str, object]:
    """Of workers with images of their own; so is Apptainer's cache, in their home folder."""
    return {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}


@pytest.fixture
def make(image: Path, tmp_path: Path) -> Make:
    """Make an image that says so of itself; what another test says makes another layer."""

    def make(says: str) -> Path:
        made = tmp_path / says
        subprocess.run(["cp", "-al", image, made], check=True)
        (made / "version").write_text(says)
        return made

    return make


def work(service: FakeService, worker: Worker, number: int) -> str:
    """Have it do one event; returns the version of the image in which it was done."""
    assert worker.process.poll() is None
    [event] = service.publish(number)
    service.wait(lambda: event.state == "done", f"event {number} is done", deadline_s=DEADLINE_S)
    return str(event.results[0]["body"])


def age(folder: Path) -> None:
    """Let the images of a machine be as old as a name without a digest is taken for its image."""
    for path in folder.iterdir():
        if path.is_dir():
            os.utime(path, (0, time.time() - FRESH_S - 1))


def test_a_tag_that_moves_is_followed_by_new_workers_and_changes_nothing_for_the_others(
    start: Start, registry: Registry, make: Make, settings: dict[str, object], tmp_path: Path
) -> None:
    digest = registry.push("muster/moved", "1", make("old"))
    name = f"docker://{registry.address}/muster/moved"
    with (
        FakeService(image=f"{name}:1", args=SAY, outfile_ext="out") as before,
        FakeService(image=f"{name}:1", args=SAY, outfile_ext="out") as after,
        FakeService(image=f"{name}@{digest}", args=SAY, outfile_ext="out") as pinned,
    ):
        old = start(before, **settings)
        assert work(before, old, 1) == "old"

        assert registry.push("muster/moved", "1", make("new")) != digest
        age(tmp_path / "images")
        new = start(after, **settings)

        assert work(after, new, 1) == "new"
        assert work(before, old, 2) == "old", "what a worker has it keeps, beside the newer one"
        assert work(pinned, start(pinned, **settings), 1) == "old", "a digest is what it is"
        for service in (before, after, pinned):
            assert [event.attempts for event in service.events.values() if event.errors] == []


@pytest.mark.parametrize("what", ["manifest", "layer"])
def test_a_registry_that_answers_other_bytes_under_a_digest_has_nothing_run_and_costs_no_event_anything(
    start: Start,
    registry: Registry,
    make: Make,
    settings: dict[str, object],
    tmp_path: Path,
    what: str,
) -> None:
    """The other bytes are those of an image that would run."""
    name = f"muster/forged-{what}"
    digest, other = (registry.push(name, tag, make(f"{tag}-{what}")) for tag in ("named", "other"))
    forged, given = (
        (digest, other) if what == "manifest" else (find_layer(registry, digest), find_layer(registry, other))
    )
    registry.forge(forged, registry.read(given))
    reference = f"docker://{registry.address}/{name}@{digest}"
    with FakeService(image=reference, args=SAY, outfile_ext="out", attempts=1) as service:
        [event] = service.publish(1)
        worker = start(service, **settings)

        assert worker.wait(60) == 1
        assert worker.ended["why"].startswith(f"image {reference}: ")
        said = worker.ended["why"].removeprefix(f"image {reference}: ")
        assert "does not match requested digest" in said or "error verifying" in said
        assert (event.leased_at, event.attempts, event.errors) == ([], 0, [])
    assert [path for path in (tmp_path / "images").iterdir() if path.is_dir()] == []


def find_layer(registry: Registry, manifest: str) -> str:
    """The digest of an image's layer."""
    [layer] = json.loads(registry.read(manifest))["layers"]
    return str(layer["digest"])
