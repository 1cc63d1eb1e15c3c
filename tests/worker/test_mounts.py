"""Does a task's container see folders of its machine where user and site both say so, to read only, and nowhere else?"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.worker.command import Command
from muster.worker.container import ContainerLauncher, Image, Mount
from muster.worker.folders import Folders
from muster.worker.images import ImageStore
from muster.worker.mounts import find_sources, parse_folders, parse_mounts
from muster.worker.settings import MOUNTS, find_fault
from muster.worker.tools import Apptainer, Docker
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("", ()),
        ("/cvmfs", ("/cvmfs",)),
        (" /cvmfs/ , //data//sim ,", ("/cvmfs", "/data/sim")),
        ("/with a space,/ä", ("/with a space", "/ä")),
    ],
)
def test_paths_are_read_as_people_write_them(text: str, paths: tuple[str, ...]) -> None:
    assert parse_mounts(text) == parse_folders(text) == paths


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cvmfs", "must be absolute paths of folders, separated by commas, and number 1 is none"),
        ("/a/../etc", "must be absolute paths of folders, separated by commas, and number 1 is none"),
        ("/a,/a/", "names /a twice"),
        ("/proc/self", "may not name /proc/self: nothing of /proc, /dev, /sys, /run, /boot is mounted"),
        ("/dev", "may not name /dev: nothing of /proc, /dev, /sys, /run, /boot is mounted"),
        ("/ewms-pilot-data/data-hub", "may not name /ewms-pilot-data/data-hub: in a container /ewms-pilot-data is"),
        ("/", "may not name /: in a container /ewms-pilot-data is Muster's own"),
    ],
)
def test_what_is_never_mounted_is_refused_when_the_task_is_submitted(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason.replace("(", r"\(")):
        parse_mounts(text)
    assert reason in str(find_fault(MOUNTS, text))


def test_what_a_site_names_again_counts_once() -> None:
    assert parse_folders("/a,/b,/a/, //a") == ("/a", "/b")


def test_a_user_may_ask_and_the_sites_list_is_not_for_users() -> None:
    assert find_fault(MOUNTS, "/cvmfs") is None
    assert "only the site agent sets it" in str(find_fault("MUSTER_WORKER_MOUNTS_ALLOWED", "/"))


class Machine:
    """Folders that a site lists, and others."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("listed/inside", "listed-not", "worker/w"):
            (root / name).mkdir(parents=True)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def find(self, *names: str, allowed: tuple[str, ...] = ("listed",)) -> list[tuple[str, str]]:
        asked, lists = [self.path(one) for one in names], [self.path(one) for one in allowed]
        return find_sources(asked, lists, workdir=self.path("worker/w"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path.resolve())


def test_what_is_listed_and_what_is_in_it_is_found(machine: Machine) -> None:
    listed, inside = machine.path("listed"), machine.path("listed/inside")
    assert machine.find("listed", "listed/inside") == [(listed, listed), (inside, inside)]
    assert machine.find() == []


@pytest.mark.parametrize(
    ("name", "allowed", "reason"),
    [
        ("listed", (), "this site lets them see nothing"),
        ("listed-not", ("listed",), "this site lets them see only what is in "),
        ("", ("listed",), "this site lets them see only what is in "),
        ("listed/nothing", ("listed",), "is no folder of this execution point"),
        ("worker", ("worker",), "this worker's own folder is in it"),
        ("worker/w", ("worker",), "this worker's own folder is in it"),
    ],
)
def test_what_is_not_is_refused_in_words(machine: Machine, name: str, allowed: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        machine.find(name, allowed=allowed)


def test_a_link_leads_to_what_it_names_and_not_out_of_what_is_listed(machine: Machine) -> None:
    (machine.root / "listed" / "link").symlink_to(machine.path("listed/inside"))
    (machine.root / "listed" / "way-out").symlink_to(machine.path("listed-not"))
    (machine.root / "listed" / "way-to-proc").symlink_to("/proc")
    (machine.root / "alias").symlink_to(machine.path("listed"))

    assert machine.find("listed/link") == [(machine.path("listed/inside"), machine.path("listed/link"))]
    assert machine.find("listed/inside", allowed=("alias",))
    with pytest.raises(ValueError, match=r"way-out \(.*/listed-not\) is not for tasks here"):
        machine.find("listed/way-out")
    with pytest.raises(ValueError, match=r"way-to-proc \(/proc\) is not for tasks"):
        find_sources([machine.path("listed/way-to-proc")], [machine.path("listed"), "/proc"], workdir="/w")


@pytest.mark.parametrize("tool", [Apptainer, Docker])
def test_they_stand_between_data_hub_and_task_io_to_read_only(tmp_path: Path, tool: type) -> None:
    class Ready(tool):  # type: ignore[misc]
        def prepare(self, image: str) -> Image:
            return Image(image)

    folders = Folders(tmp_path, input_dir=None, failures_kept=1)
    store = ImageStore(str(tmp_path), is_over=None)  # type: ignore[arg-type]
    words = ("/bin/tool", store, lambda _: None)
    launcher = ContainerLauncher(
        Ready(*words) if tool is Apptainer else Ready("docker", *words),
        "an-image",
        Command("a b"),
        {},
        1,
        folders.data_hub,
        {},
        further=[Mount("/real/sim, 1", "/sim, 1", is_read_only=True), Mount("/cvmfs", "/cvmfs", is_read_only=True)],
    )
    launcher.prepare()
    folder = folders.make("in", "out")

    argv = launcher.render(folder, "EV-1/1", {}).argv

    assert [argv[place + 1] for place, word in enumerate(argv) if word == "--mount"] == [
        f"type=bind,source={folders.data_hub},target=/ewms-pilot-data/data-hub",
        'type=bind,"source=/real/sim, 1","target=/sim, 1",readonly',
        "type=bind,source=/cvmfs,target=/cvmfs,readonly",
        f"type=bind,source={folder.io},target=/ewms-pilot-data/task-io",
    ]


READS = """
import json, os, pathlib
place = pathlib.Path({place!r})
seen = {{"text": (place / "table").read_text()}}
try:
    (place / "mine").write_text("x")
except OSError as error:
    seen["error"] = error.strerror
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(seen))
"""


@pytest.mark.system
@pytest.mark.parametrize("name", ["MUSTER_WORKER_MOUNTS", "EWMS_PILOT_EXTERNAL_DIRECTORIES"])
def test_the_real_apptainer_shows_them_and_lets_nobody_write(
    start: Start, apptainer: Path, image: Path, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "site data" / "tables"
    place.mkdir(parents=True)
    (place / "table").write_text("1 2 3")
    own = tmp_path / "own-image"
    subprocess.run(["cp", "-al", image, own], check=True)
    (own / "task.py").write_text(READS.format(place=str(place)))
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images", "MOUNTS_ALLOWED": f"/cvmfs,{place.parent}"}
    with FakeService(image=str(own), args="python3 /task.py") as service:
        service.publish(1)
        worker = start(service, environment={name: str(place)}, **settings)
        service.wait_for(done=1)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert service.results() == [{"text": "1 2 3", "error": "Read-only file system"}]


@pytest.mark.system
def test_a_folder_that_may_not_be_seen_costs_no_event_anything(
    start: Start, apptainer: Path, image: Path, tmp_path: Path
) -> None:
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images", "MOUNTS": "/etc"}
    with FakeService(image=str(image), args="true") as service:
        [event] = service.publish(1)
        worker = start(service, **settings)
        assert worker.wait() == 1
        why = "MUSTER_WORKER_MOUNTS: /etc is not for tasks here: this site lets them see nothing"
        assert worker.ended["why"] == why
        assert event.leased_at == []


@pytest.mark.system
def test_a_bare_command_sees_its_machine_anyway(start: Start) -> None:
    with FakeService(args="true") as service:
        service.publish(1)
        start(service, MOUNTS="/etc")
        service.wait_for(done=1)
