"""Does each task see the GPUs that are its own, by the words of each tool?"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from muster.worker.container import Container
from muster.worker.gpus import divide, find_gpus
from muster.worker.images import ImageStore, Ran
from muster.worker.tools import Apptainer, Docker
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]
Script = Callable[[str], str]


@pytest.fixture
def devices(tmp_path: Path) -> str:
    """A machine with three GPUs."""
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    return str(tmp_path)


@pytest.mark.parametrize(
    ("given", "gpus"), [("0", ["0"]), ("3, 1", ["3", "1"]), ("GPU-8f6d2c1a,GPU-0b", ["GPU-8f6d2c1a", "GPU-0b"])]
)
def test_what_the_pool_gave_is_all_the_workers(devices: str, given: str, gpus: list[str]) -> None:
    assert find_gpus(1, {"CUDA_VISIBLE_DEVICES": given}, proc=5, devices=devices) == gpus


@pytest.mark.parametrize(
    ("wanted", "proc", "gpus"),
    [(1, 0, ["0"]), (1, 1, ["1"]), (1, 4, ["1"]), (2, 0, ["0", "1"]), (2, 1, ["10", "0"]), (3, 7, ["0", "1", "10"])],
)
def test_where_it_gave_none_the_workers_of_a_cluster_take_them_in_turn(
    devices: str, wanted: int, proc: int, gpus: list[str]
) -> None:
    assert find_gpus(wanted, {}, proc=proc, devices=devices) == gpus


def test_a_task_that_needs_none_is_given_none(devices: str) -> None:
    assert find_gpus(0, {"CUDA_VISIBLE_DEVICES": "0"}, proc=0, devices=devices) == []


@pytest.mark.parametrize("given", ["", "-1", "none", "NoDevFiles"])
def test_none_is_none_whatever_the_machine_has(devices: str, given: str) -> None:
    with pytest.raises(ValueError, match=rf"needs 1 \(MUSTER_TASK_GPUS\), and this worker has 0: .* is '{given}'"):
        find_gpus(1, {"CUDA_VISIBLE_DEVICES": given}, proc=0, devices=devices)


def test_too_few_are_told(devices: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs 4 .* has 3: CUDA_VISIBLE_DEVICES is not set, and .* has 3$"):
        find_gpus(4, {}, proc=1, devices=devices)
    with pytest.raises(ValueError, match=r"has 0$"):
        find_gpus(1, {}, proc=1, devices=str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("gpus", "slots", "shares"),
    [
        ([], 2, [[], []]),
        (["0"], 1, [["0"]]),
        (["0", "1"], 1, [["0", "1"]]),
        (["0", "1", "2"], 2, [["0", "2"], ["1"]]),
        (["0", "1"], 3, [["0"], ["1"], ["0"]]),
    ],
)
def test_slots_divide_them(gpus: list[str], slots: int, shares: list[list[str]]) -> None:
    assert divide(gpus, slots=slots) == shares


def render(tool: "type[Apptainer] | str", *gpus: str) -> tuple[list[str], dict[str, str]]:
    store, container = (
        ImageStore("/nowhere", is_over=threading.Event()),
        Container("img", "c", (), {"A": "1"}, ["x"], gpus),
    )
    made = Docker(tool, "/bin/it", store, _refuse) if isinstance(tool, str) else tool("/bin/it", store, _refuse)
    launch = made.render(container)
    return launch.argv, launch.environment


def _refuse(_words: Sequence[str]) -> Ran:
    raise AssertionError("nothing is to be run")


def test_apptainer_brings_the_driver_in_and_cuda_shows_the_tasks_own() -> None:
    assert render(Apptainer, "3", "1") == (
        ["/bin/it", "run", "--containall", "--no-eval", "--nv", "img", "x"],
        {"APPTAINERENV_A": "1", "APPTAINERENV_CUDA_VISIBLE_DEVICES": "3,1"},
    )
    assert "--nv" not in render(Apptainer)[0]


def test_docker_hands_in_the_devices_themselves() -> None:
    argv, _ = render("docker", "3", "GPU-1")
    assert argv == [
        *("/bin/it", "run", "--rm", "--name", "c", "--gpus", '"device=3,GPU-1"', "--env", "A=1", "img", "x"),
    ]
    assert "--gpus" not in render("docker")[0]


def test_podman_does_by_its_names() -> None:
    argv, _ = render("podman", "3", "GPU-1")
    assert argv == [
        *("/bin/it", "run", "--rm", "--name", "c", "--device", "nvidia.com/gpu=3", "--device", "nvidia.com/gpu=GPU-1"),
        *("--env", "A=1", "img", "x"),
    ]


SHOWS = "sh -c 'printf %s \"$CUDA_VISIBLE_DEVICES\" > {{OUTFILE}}; sleep 0.5'"


@pytest.mark.system
def test_a_bare_command_sees_its_slots_share(start: Start) -> None:
    with FakeService(args=SHOWS, outfile_ext="out", slots=2, gpus=2) as service:
        service.publish(1, 2)
        start(service, environment={"CUDA_VISIBLE_DEVICES": "5,3"})
        service.wait_for(done=2)
        assert sorted(service.results()) == ["3", "5"]


@pytest.mark.system
def test_a_warm_task_too(start: Start, script: Script) -> None:
    source = "import os, time\nfrom muster import task\ntask.run(lambda _: (time.sleep(0.5), os.environ.get('CUDA_VISIBLE_DEVICES'))[1])"
    with FakeService(args=script(source), warm=True, slots=2, gpus=2) as service:
        service.publish(1, 2)
        start(service, environment={"CUDA_VISIBLE_DEVICES": "5,3"})
        service.wait_for(done=2)
        assert sorted(service.results()) == ["3", "5"]


@pytest.mark.system
def test_the_real_apptainer_takes_the_words(start: Start, apptainer: Path, image: Path, tmp_path: Path) -> None:
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}
    with FakeService(image=str(image), args=SHOWS, outfile_ext="out", gpus=1) as service:
        service.publish(1)
        start(service, environment={"CUDA_VISIBLE_DEVICES": "GPU-7"}, **settings)
        service.wait_for(done=1)
        assert service.results() == ["GPU-7"]


@pytest.mark.system
def test_a_worker_with_too_few_ends_before_any_event_and_says_so(start: Start) -> None:
    with FakeService(args="true", gpus=2) as service:
        [event] = service.publish(1)
        worker = start(service, environment={"CUDA_VISIBLE_DEVICES": "0"})
        assert worker.wait() == 1
        assert worker.ended["why"] == (
            "no GPU: the task needs 2 (MUSTER_TASK_GPUS), and this worker has 1: CUDA_VISIBLE_DEVICES is '0'"
        )
        assert event.leased_at == []
