"""Can a task, or who reads what a worker leaves behind, find a secret? Canaries are searched wherever it can look."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.conftest import Worker
from worker.fake_service import FakeService
from worker.test_containers import put

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

Start = Callable[..., Worker]
Script = Callable[[str], str]

SECRET, VARIABLE = "canary-of-the-enrolment-7d1f", "canary-of-the-environment-55e0"
TOKEN = "token-1"
"""What the service of the tests gives to the first session."""

SEARCH = """
import os, stat, sys
from muster import task

SKIPPED = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/sys", "/dev")

def read(path):
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                return file.read(1 << 20)
    except OSError:
        return b""
    return b""

def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            yield f"/proc/{pid}/{name}"

def files(roots):
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = [one for one in folders if os.path.join(folder, one) not in (*SKIPPED, "/proc")]
            yield from (os.path.join(folder, one) for one in names)

def handle(event):
    needles = [bytes(one) for one in event["needles"]]
    found = [name for name, value in os.environ.items() if any(one in value.encode() for one in needles)]
    for path in (*processes(), *files(event["roots"])):
        if any(one in read(path) for one in needles):
            found.append(path)
    return {"found": found, "argv": [one for one in needles if any(one in word.encode() for word in sys.argv)]}

task.run(handle)
"""


def an_event(*roots: str) -> dict[str, Any]:
    """What to search for, in a way that does not find itself, and where."""
    return {"needles": [list(one.encode()) for one in (SECRET, VARIABLE)], "roots": roots}


def find_left(worker: Worker, *needles: str) -> Iterator[str]:
    """Files of a worker's folder, its log among them, that hold one of these."""
    for folder, _, names in os.walk(worker.folder):
        for name in names:
            content = Path(folder, name).read_bytes()
            yield from (f"{name}: {one}" for one in needles if one.encode() in content)


@pytest.mark.parametrize("warm", [False, True])
def test_a_task_in_a_container_finds_no_secret_wherever_it_looks(
    start: Start,
    apptainer: Path,
    image: Path,
    tmp_path: Path,
    warm: bool,  # noqa: FBT001
) -> None:
    own, args = put(image, tmp_path, SEARCH)
    with FakeService(image=str(own), args=args, warm=warm, infile_ext="json", outfile_ext="json") as service:
        service.secret = SECRET
        [event] = service.publish(an_event("/"))
        worker = start(
            service,
            secret=SECRET,
            environment={"CANARY": VARIABLE},
            CONTAINERS=apptainer,
            IMAGE_DIR=tmp_path / "images",
        )
        service.wait_for(done=1, deadline_s=120)
        assert event.results[0]["body"] == {"found": [], "argv": []}
        service.tell_to("finish")
        assert worker.wait() == 0
        assert list(find_left(worker, SECRET, VARIABLE, TOKEN)) == []


@pytest.mark.parametrize("warm", [False, True])
def test_a_plain_task_is_handed_no_secret(start: Start, script: Script, warm: bool) -> None:  # noqa: FBT001
    """It runs as the worker's user, so it could read that one's files; but nothing brings a secret to it, and no command line shows one."""
    source = SEARCH.replace('for name in ("cmdline", "environ"):', 'for name in ("cmdline",):')
    with FakeService(args=script(source), warm=warm, infile_ext="json", outfile_ext="json") as service:
        service.secret = SECRET
        [event] = service.publish(an_event("."))
        worker = start(service, secret=SECRET, environment={"CANARY": VARIABLE})
        service.wait_for(done=1)
        assert event.results[0]["body"] == {"found": [], "argv": []}
        service.tell_to("finish")
        assert worker.wait() == 0
        assert list(find_left(worker, SECRET, VARIABLE, TOKEN)) == []


def test_the_search_finds_what_is_there(start: Start, script: Script, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "planted").write_text(f"x {SECRET} y")
    with FakeService(args=script(SEARCH), env={"GIVEN": VARIABLE}, infile_ext="json", outfile_ext="json") as service:
        service.secret = SECRET
        [event] = service.publish(an_event(str(tmp_path / "data")))
        start(service, secret=SECRET)
        service.wait_for(done=1)
        found = event.results[0]["body"]["found"]
        assert "GIVEN" in found
        assert str(tmp_path / "data" / "planted") in found
