"""Is a task in a container run as it would be without one, seeing nothing of its machine but what it is to see? With the real Apptainer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import wait_for
from muster.worker.procfs import find_process
from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Run = Callable[..., Worker]

SQUARE = """
from muster import task

def handle(event):
    return {"n": event["n"], "squared": event["n"] ** 2}

task.run(handle)
"""


MINE = {
    "MINE": "a, b",
    "LIKE_WORDS": "x=1,y=2",
    "QUOTED": "\"a\" 'b'",
    "SHELL": "$HOME `id` \\n",
    "LINES": "one\ntwo",
    "EMPTY": "",
}
"""Variables that a tool could take apart."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The folder of the workers' images."""
    return tmp_path / "images"


@pytest.fixture
def start_with(start: Run, apptainer: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Start a worker that has Apptainer on its path."""
    monkeypatch.setenv("PATH", f"{apptainer.parent}{os.pathsep}{os.environ['PATH']}")

    def run(service: FakeService, **more: object) -> Worker:
        return start(service, CONTAINERS="apptainer", IMAGE_DIR=images, **more)

    return run


def put(image: Path, tmp_path: Path, source: str) -> tuple[Path, str]:
    """The image with a program in it, without a copy of the rest; and the command that runs it."""
    own = tmp_path / "own-image"
    subprocess.run(["cp", "-al", image, own], check=True)
    (own / "task.py").write_text(source)
    return own, "python3 /task.py"


@pytest.mark.parametrize("warm", [False, True])
def test_the_same_task_runs_in_a_container_per_event_and_warm(
    start_with: Run, image: Path, tmp_path: Path, *, warm: bool
) -> None:
    own, args = put(image, tmp_path, SQUARE)
    with FakeService(image=str(own), args=args, warm=warm) as service:
        service.publish(*({"n": n} for n in range(5)))
        worker = start_with(service)
        service.wait_for(done=5, deadline_s=20)
        service.tell_to("finish")

        assert worker.wait() == 0
        assert service.results() == [{"n": n, "squared": n * n} for n in range(5)]
        assert worker.left() == []


def test_it_sees_its_own_files_and_nothing_else_of_the_machine(
    start_with: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPTAINERENV_LEAKED", "x")
    monkeypatch.setenv("APPTAINER_BIND", str(tmp_path))
    (tmp_path / "of-this-machine").write_text("x")
    source = """
import json, os, pathlib
seen = {
    "environ": dict(os.environ),
    "io": sorted(os.listdir("/ewms-pilot-data/task-io")),
    "data": sorted(os.listdir("/ewms-pilot-data")),
    "tmp": os.listdir("/tmp"),
    "mounts": [line.split()[1] for line in open("/proc/mounts")],
    "processes": [name for name in os.listdir("/proc") if name.isdigit()],
}
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(seen))
"""
    own, args = put(image, tmp_path, source)
    with FakeService(image=str(own), args=f"{args} {{{{INFILE}}}} {{{{DATA_HUB}}}}", env=MINE, n_cores=3) as service:
        (event,) = service.publish({"n": 1})
        worker = start_with(service)
        service.wait_for(done=1, deadline_s=20)
        (seen,) = service.results()

    environ = seen["environ"]
    assert environ["EWMS_TASK_INFILE"].startswith("/ewms-pilot-data/task-io/infile-")
    assert environ["EWMS_TASK_OUTFILE"].startswith("/ewms-pilot-data/task-io/outfile-")
    assert environ["EWMS_TASK_DATA_HUB_DIR"] == "/ewms-pilot-data/data-hub"
    assert {name: environ[name] for name in MINE} == MINE
    assert environ["OMP_NUM_THREADS"] == "3"
    assert environ["MUSTER_ATTEMPT"] == f"{event.name}/1"
    assert seen["io"] == [Path(environ["EWMS_TASK_INFILE"]).name]
    assert seen["data"] == ["data-hub", "task-io"]
    assert seen["tmp"] == []
    assert len(seen["processes"]) < 10
    ours = sorted(one for one in seen["mounts"] if one.startswith("/ewms"))
    assert ours == ["/ewms-pilot-data/data-hub", "/ewms-pilot-data/task-io"]
    assert not [one for one in seen["mounts"] if one.startswith(str(tmp_path))]
    told = {name: value for name, value in environ.items() if name != "MUSTER_ATTEMPT_FOLDER"}
    assert "LEAKED" not in told
    assert str(worker.folder) not in json.dumps(told)
    assert "not for tasks" not in json.dumps(environ)


@pytest.mark.parametrize(
    ("args", "body", "result"),
    [
        ("cp {{INFILE}} {{OUTFILE}}", "two words", "two words"),
        ("cp {{IN_FILE}} {{OUT_FILE}}", b"\x00\xff\x80", b"\x00\xff\x80"),
        ("sh -c 'test {{DATA_HUB}} = {{DATAHUB}} && test -w $EWMS_TASK_DATA_HUB_DIR'", 1, None),
        ("sh -c 'cat $EWMS_TASK_INFILE > $EWMS_TASK_OUTFILE'", "by variables", "by variables"),
        ("echo 'not > {{OUTFILE}}; $HOME'", 1, None),
    ],
)
def test_placeholders_and_bodies(start_with: Run, image: Path, args: str, body: Any, result: Any) -> None:
    with FakeService(image=str(image), args=args, infile_ext="in", outfile_ext="out") as service:
        service.publish(body)
        start_with(service)
        service.wait_for(done=1, deadline_s=20)
        assert service.results() == ([] if result is None else [result])


def test_what_a_failed_one_said_is_told_with_its_status(start_with: Run, image: Path, tmp_path: Path) -> None:
    own, args = put(image, tmp_path, "raise ValueError('no point 17 in /data/file-42')")
    with FakeService(image=str(own), args=args, attempts=1) as service:
        [event] = service.publish(1)
        start_with(service)
        service.wait_for(dead=1, deadline_s=20)
        [failure] = event.errors

    assert failure["exit_code"] == 1
    assert failure["text"].startswith("task failed (exit code 1): Traceback (most recent call last):")
    assert failure["fingerprint"] == "exit 1: ValueError: no point # in <path>"


HIDES = """
import os, subprocess, sys, time
subprocess.Popen(["setsid", "sleep", "3600"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        os.execve("/usr/bin/env", ["env", "-i", "sleep", "3600"], {})
    os._exit(0)
open(os.environ["EWMS_TASK_DATA_HUB_DIR"] + "/begun", "w").close()
time.sleep(3600)
"""


@pytest.mark.parametrize("how", ["timeout", "abort", "eviction"])
def test_nothing_of_it_is_left_when_it_is_stopped(start_with: Run, image: Path, tmp_path: Path, how: str) -> None:
    own, args = put(image, tmp_path, HIDES)
    timeout_s = 2.0 if how == "timeout" else None
    before = count_sleepers()
    with FakeService(image=str(own), args=args, timeout_s=timeout_s, attempts=1) as service:
        [event] = service.publish(1)
        worker = start_with(service, GRACE_S=0)
        wait_for((worker.folder / "ewms-pilot-data/data-hub/begun").exists, "the task has begun", deadline_s=20)
        if how == "timeout":
            service.wait_for(dead=1, deadline_s=20)
            assert event.errors[0]["fingerprint"] == "timeout"
        elif how == "abort":
            service.tell_to("abort")
            assert worker.wait() == 0
        else:
            worker.terminate()
            assert worker.wait() == 0
        assert worker.left() == []
        wait_for(lambda: count_sleepers() == before, "those that hid are gone, too", deadline_s=10)


def count_sleepers() -> int:
    found = subprocess.run(["ps", "-eo", "args,stat"], capture_output=True, text=True, check=True).stdout.splitlines()
    return sum(line.startswith("sleep 3600") and " Z" not in line for line in found)


def test_a_worker_that_was_killed_leaves_what_its_next_start_clears_up(
    start: Run, start_with: Run, image: Path, tmp_path: Path
) -> None:
    own, args = put(image, tmp_path, HIDES)
    with FakeService(image=str(own), args=args) as service:
        service.publish(1)
        first = start_with(service)
        wait_for((first.folder / "ewms-pilot-data/data-hub/begun").exists, "the task has begun", deadline_s=20)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
        before = first.left()
        service.tell_to("finish")
        second = start_with(service, DIR=first.folder)
        second.wait()

        assert before
        wait_for(lambda: first.left() == [], "nothing is left of the first", deadline_s=10)


def test_an_init_container_runs_once_before_the_first_event_and_lends_its_files(
    start_with: Run, image: Path, tmp_path: Path
) -> None:
    with FakeService(
        image=str(image),
        args="cp {{DATA_HUB}}/calibration {{OUTFILE}}",
        outfile_ext="out",
        init_image=str(image),
        init_args="sh -c 'echo 1 >> {{DATA_HUB}}/runs; env > {{DATA_HUB}}/env; printf $X > {{DATA_HUB}}/calibration'",
        init_env={"X": "42"},
        slots=2,
    ) as service:
        service.publish(1, 2, 3)
        worker = start_with(service)
        service.wait_for(done=3, deadline_s=20)

        assert service.results() == ["42"] * 3
        hub = worker.folder / "ewms-pilot-data/data-hub"
        assert (hub / "runs").read_text() == "1\n"
        told = (hub / "env").read_text()
        assert "EWMS_TASK_DATA_HUB_DIR=/ewms-pilot-data/data-hub" in told
        assert "EWMS_TASK_INFILE" not in told


def test_an_image_that_is_not_there_costs_no_event_anything(start_with: Run) -> None:
    with FakeService(image="/cvmfs/not-there", args="true") as service:
        [event] = service.publish(1)
        worker = start_with(service)

        assert worker.wait(60) == 1
        assert "image /cvmfs/not-there: no such folder or file on this execution point" in worker.ended["why"]
        assert event.leased_at == []


@pytest.mark.parametrize("image", ["/", "{parent}"])
def test_the_machine_is_no_image(start_with: Run, tmp_path: Path, image: str) -> None:
    with FakeService(image=image.format(parent=tmp_path), args="cat /etc/passwd") as service:
        [event] = service.publish(1)
        worker = start_with(service)

        assert worker.wait(30) == 1
        assert "this worker's own folder is in it" in worker.ended["why"]
        assert event.leased_at == []


def test_without_a_tool_it_is_said_which_were_looked_for(
    start: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bare"))
    with FakeService(image="img:1", args="true") as service:
        worker = start(service)

        assert worker.wait(30) == 3
        assert "none of apptainer, podman, docker is on PATH" in worker.ended["why"]


DOCKER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/said"
case "$1" in
run) exec sleep 600 ;;
esac
"""


def put_docker(tmp_path: Path, source: str) -> Path:
    """A program in Docker's place; what it is told stands in `said` beside it."""
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(source)
    docker.chmod(0o755)
    return docker


def test_dockers_container_is_ended_with_its_attempt(start: Run, tmp_path: Path) -> None:
    """There is no daemon to test with: what its client is told must do."""
    docker = put_docker(tmp_path, DOCKER)
    settings = {"CONTAINERS": docker, "IMAGE_DIR": tmp_path / "images"}
    with FakeService(image="img:1", args="a b", timeout_s=1.0, attempts=1) as service:
        service.publish(1)
        start(service, **settings)
        service.wait_for(dead=1)
        said = (tmp_path / "bin" / "said").read_text().splitlines()
    inspect, run, kill = said
    assert inspect.startswith("image inspect")
    assert run.startswith("run --rm --name muster-")
    assert run.endswith(" img:1 a b")
    assert kill == f"kill {run.split()[3]}"


LIKE_DOCKER = """#!{python}
import os, signal, sys

here = os.path.dirname(__file__)
words = sys.argv[1:]
with open(f"{{here}}/said", "a") as file:
    file.write(" ".join(words) + chr(10))
if words[0] == "kill":
    os.kill(int(open(f"{{here}}/{{words[1]}}").read()), signal.SIGKILL)
if words[0] == "ps":
    print(*(name for name in os.listdir(here) if name.startswith("muster-")), sep=chr(10))
if words[0] != "run":
    sys.exit(0)
os.closerange(3, 1000)  # the client hands nothing on: its container belongs to a daemon
name, told = words[words.index("--name") + 1], {{}}
more = ["--mount=" + words[place + 1] for place, word in enumerate(words) if word == "--mount"]
for place, word in enumerate(words):
    if word == "--env":
        key, _, value = words[place + 1].partition("=")
        told["APPTAINERENV_" + key] = value
        last = place + 1
pid = os.fork()
if pid == 0:
    os.setsid()
    for key in list(os.environ):
        if key.startswith("MUSTER_"):
            del os.environ[key]
    os.environ.update(told)
    os.execv({apptainer!r}, ["apptainer", "run", "--containall", "--no-eval", *more, *words[last + 1:]])
with open(f"{{here}}/{{name}}", "w") as file:
    file.write(str(pid))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
"""
CRASHES = """
import os
from muster import task

def handle(event):
    if event == "crash":
        os._exit(3)
    return [os.getpid(), event]

task.run(handle)
"""


def test_a_warm_task_gets_its_events_by_named_pipes_where_a_container_has_no_descriptors(
    start: Run, apptainer: Path, image: Path, tmp_path: Path
) -> None:
    """A client that hands nothing on, as Docker's, in front of a real container."""
    docker = put_docker(tmp_path, LIKE_DOCKER.format(python=sys.executable, apptainer=str(apptainer)))
    own, args = put(image, tmp_path, CRASHES)
    with FakeService(image=str(own), args=args, warm=True, attempts=1) as service:
        service.publish("a", "b", "crash", "c")
        worker = start(service, CONTAINERS=docker, IMAGE_DIR=tmp_path / "images")
        service.wait_for(done=3, dead=1, deadline_s=30)
        service.tell_to("finish")

        assert worker.wait() == 0
        first, second, _, third = [service.events[name].results for name in service.events]
        assert [one["body"][1] for one in (*first, *second, *third)] == ["a", "b", "c"]
        assert first[0]["body"][0] == second[0]["body"][0]
        assert worker.left() == []


def test_a_warm_container_of_a_daemon_is_ended_by_its_name(
    start: Run, apptainer: Path, image: Path, tmp_path: Path
) -> None:
    docker = put_docker(tmp_path, LIKE_DOCKER.format(python=sys.executable, apptainer=str(apptainer)))
    own, args = put(image, tmp_path, "from muster import task\nimport time\ntask.run(lambda event: time.sleep(600))")
    with FakeService(image=str(own), args=args, warm=True, attempts=1, timeout_s=1.0) as service:
        service.publish(1)
        start(service, CONTAINERS=docker, IMAGE_DIR=tmp_path / "images")
        service.wait_for(dead=1, deadline_s=30)

        run, kill = (tmp_path / "bin" / "said").read_text().splitlines()[-2:]
        assert kill == f"kill {run.split()[3]}"


def test_containers_that_a_killed_worker_leaves_to_a_daemon_are_ended_by_its_next_start(
    start: Run, apptainer: Path, image: Path, tmp_path: Path
) -> None:
    docker = put_docker(tmp_path, LIKE_DOCKER.format(python=sys.executable, apptainer=str(apptainer)))
    own, args = put(image, tmp_path, "import time\ntime.sleep(600)")
    settings = {"CONTAINERS": docker, "IMAGE_DIR": tmp_path / "images"}
    with FakeService(image=str(own), args=args) as service:
        service.publish(1)
        worker = start(service, **settings)
        [pid] = wait_for(lambda: list((tmp_path / "bin").glob("muster-*")), "a container runs")
        name, container = pid.name, find_process(int(wait_for(pid.read_text, "it has a number")))
        worker.process.kill()
        worker.wait()
        assert container is not None
        start(service, again=worker, **settings)

        wait_for(lambda: f"kill {name}" in (tmp_path / "bin" / "said").read_text(), "it is ended by its name")
        wait_for(lambda: find_process(container.pid) != container, "it is gone")


def test_a_worker_that_ends_does_not_wait_for_its_image(
    start_with: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "apptainer").write_text("#!/bin/sh\nsleep 600\n")
    (slow / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}{os.pathsep}{os.environ['PATH']}")
    with FakeService(image=str(image), args="true") as service:
        worker = start_with(service)
        wait_for(lambda: bool(worker.left()), "the image is being prepared", deadline_s=30)
        began = time.monotonic()
        worker.terminate()

        worker.wait(15)
        assert worker.left() == []
        assert time.monotonic() - began < 15
