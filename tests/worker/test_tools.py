"""By which words are containers started, and which tool does it?"""

import csv
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.worker.child import ExecutionPointError
from muster.worker.container import Container, Mount
from muster.worker.images import FRESH_S, ImageStore, Ran
from muster.worker.tools import Apptainer, Docker, find_tool

CONTAINER = Container(
    image="icecube/sim:1",
    name="muster-17",
    mounts=[Mount("/w/hub", "/ewms-pilot-data/data-hub"), Mount("/cvmfs", "/cvmfs", is_read_only=True)],
    variables={"B": "two words", "A": "1"},
    words=["run", "--in=/x", "a b"],
)


def a_store(folder: Path, now: "list[float] | None" = None) -> ImageStore:
    return ImageStore(str(folder), is_over=threading.Event(), clock=(lambda: now[0]) if now else (lambda: 1000.0))


class Ears:
    """Runs nothing; notes what it was to run, and says what it is told."""

    def __init__(self, *answers: Ran) -> None:
        self.heard: list[list[str]] = []
        self._answers = list(answers)

    def __call__(self, words: Sequence[str]) -> Ran:
        self.heard.append(list(words))
        return self._answers.pop(0)


def test_apptainer_is_told_word_for_word_what_upstream_tells_it_but_for_variables(tmp_path: Path) -> None:
    launch = Apptainer("/bin/apptainer", a_store(tmp_path), Ears()).render(CONTAINER)

    assert launch.argv == [
        *("/bin/apptainer", "run", "--containall", "--no-eval"),
        *("--mount", "type=bind,source=/w/hub,target=/ewms-pilot-data/data-hub"),
        *("--mount", "type=bind,source=/cvmfs,target=/cvmfs,readonly"),
        *("icecube/sim:1", "run", "--in=/x", "a b"),
    ]
    assert launch.environment == {"APPTAINERENV_A": "1", "APPTAINERENV_B": "two words"}


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_docker_is_told_that_too_and_the_name_by_which_it_can_be_ended(tmp_path: Path, name: str) -> None:
    launch = Docker(name, f"/bin/{name}", a_store(tmp_path), Ears()).render(CONTAINER)

    assert launch.argv == [
        *(f"/bin/{name}", "run", "--rm", "--name", "muster-17"),
        *("--mount", "type=bind,source=/w/hub,target=/ewms-pilot-data/data-hub"),
        *("--mount", "type=bind,source=/cvmfs,target=/cvmfs,readonly"),
        *("--env", "A=1", "--env", "B=two words"),
        *("icecube/sim:1", "run", "--in=/x", "a b"),
    ]


@given(st.text(alphabet=st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), min_size=1))
def test_a_path_with_any_sign_stays_one_field_of_a_mount(path: str) -> None:
    [fields] = csv.reader([Mount(f"/{path}", "/in").render()])

    assert fields == ["type=bind", f"source=/{path}", "target=/in"]


def test_docker_pulls_what_is_not_there_and_reads_the_images_own_variable(tmp_path: Path) -> None:
    missing, pulled, there = Ran(1, "", "no such image"), Ran(0, "", ""), Ran(0, "A=1\nPYTHONPATH=/opt/x\n\n", "")
    ears = Ears(missing, pulled, there)

    image = Docker("docker", "docker", a_store(tmp_path), ears).prepare("img:1")

    assert (image.place, image.python_path) == ("img:1", "/opt/x")
    assert [words[1] for words in ears.heard] == ["image", "pull", "image"]


def test_docker_is_told_to_end_a_container_whose_client_was_killed(tmp_path: Path) -> None:
    ears = Ears(Ran(1, "", "no such container"))

    Docker("docker", "/bin/docker", a_store(tmp_path), ears).end("muster-17")

    assert ears.heard == [["/bin/docker", "kill", "muster-17"]]


def test_docker_is_told_to_end_what_a_killed_worker_has_left_and_nothing_else(tmp_path: Path) -> None:
    ears = Ears(Ran(0, "muster-3\nother\nmuster-1\nmuster-9\n", ""), Ran(0, "", ""))

    Docker("docker", "docker", a_store(tmp_path), ears).end_left(["muster-1", "muster-2", "muster-3"])

    assert ears.heard == [["docker", "ps", "--format", "{{.Names}}"], ["docker", "kill", "muster-1", "muster-3"]]


def test_a_daemon_that_does_not_answer_has_nothing_ended(tmp_path: Path) -> None:
    ears = Ears(Ran(1, "", "Cannot connect to the Docker daemon"))

    Docker("docker", "docker", a_store(tmp_path), ears).end_left(["muster-1"])

    assert len(ears.heard) == 1


def test_what_cannot_be_had_is_told_by_the_tools_last_line(tmp_path: Path) -> None:
    docker = Docker(
        "docker", "docker", a_store(tmp_path), Ears(Ran(1, "", ""), Ran(1, "", "INFO\ndenied: who are you?\n"))
    )
    apptainer = Apptainer("apptainer", a_store(tmp_path), Ears(Ran(255, "", "FATAL:   no route\n")))

    with pytest.raises(ExecutionPointError, match=r"image img:1: denied: who are you\?"):
        docker.prepare("img:1")
    with pytest.raises(ExecutionPointError, match="image img:1: FATAL:   no route"):
        apptainer.prepare("img:1")
    with pytest.raises(ExecutionPointError, match="image /not/there: no such folder or file"):
        apptainer.prepare("/not/there")
    assert [one.name for one in tmp_path.iterdir() if not one.name.endswith(".lock")] == []


def test_an_image_of_a_registry_is_unpacked_once(tmp_path: Path) -> None:
    heard: list[list[str]] = []

    def run(words: Sequence[str]) -> Ran:
        heard.append(list(words))
        if words[1] == "build":
            Path(words[-2]).mkdir()
        return Ran(0, "/opt/y\n", "")

    name = "quay.io/x/y@sha256:" + "0" * 64
    places = {Apptainer("apptainer", a_store(tmp_path), run).prepare(name).place for _ in range(3)}

    [place] = places
    assert Path(place).is_dir()
    assert [words[1] for words in heard] == ["build", "exec", "exec", "exec"]
    assert heard[0][2:4] == ["--fix-perms", "--sandbox"]
    assert heard[0][-1] == f"docker://{name}"


def test_a_name_without_a_digest_is_looked_up_again_after_a_while(tmp_path: Path) -> None:
    now = [1000.0]
    store = a_store(tmp_path, now)
    made: list[str] = []

    def make(place: str) -> None:
        Path(place).mkdir()
        made.append(place)

    first = store.find_or_make("docker://x:latest", make)
    now[0] += FRESH_S - 1
    assert store.find_or_make("docker://x:latest", make) == first
    now[0] += 2
    second = store.find_or_make("docker://x:latest", make)

    assert second != first
    assert Path(first).is_dir(), "somebody may be running it"
    assert len(made) == 2


def test_several_workers_unpack_it_once(tmp_path: Path) -> None:
    made: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def make(place: str) -> None:
        begun.set()
        assert go_on.wait(10)
        Path(place).mkdir()
        made.append(place)

    places: list[str] = []
    threads = [
        threading.Thread(target=lambda: places.append(a_store(tmp_path).find_or_make("docker://x:1", make)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert len(made) == 1
    assert len(set(places)) == 1 == len(places) // 4


def test_who_is_to_end_waits_for_nobody(tmp_path: Path) -> None:
    is_over = threading.Event()
    store = ImageStore(str(tmp_path), is_over=is_over)
    with a_store(tmp_path).lock("x"):
        is_over.set()
        with pytest.raises(ExecutionPointError, match="ends before its image is ready"), store.lock("x"):
            pass


def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)

    with pytest.raises(ExecutionPointError, match="not a folder of this user's alone"), a_store(shared).lock("x"):
        pass


def test_the_first_tool_that_is_there_is_used_and_docker_only_where_it_answers(tmp_path: Path) -> None:
    def environ(*names: str, **more: str) -> dict[str, str]:
        folder = tmp_path / "-".join(("bin", *names))
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
        return {"PATH": str(folder), **more}

    def found(wanted: "str | None", given: dict[str, str]) -> "str | None":
        tool = find_tool(wanted, given)
        return None if tool is None else tool[0]

    assert found(None, environ("docker", "podman", "apptainer")) == "apptainer"
    assert found(None, environ("docker", "podman")) == "podman"
    assert found(None, environ("docker", DOCKER_HOST="tcp://x")) == "docker"
    assert found("docker", environ("docker")) == "docker"
    assert found("apptainer", environ("docker", "podman")) is None
    assert found("none", environ("apptainer")) is None
    assert found(None, environ()) is None
    if not os.access("/var/run/docker.sock", os.R_OK | os.W_OK):
        assert found(None, environ("docker")) is None
