"""Are plain tasks kept from each other and from what is the worker's, and is it said where they are not? With the real bwrap."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Start = Callable[..., Worker]
Script = Callable[[str], str]

isolated = pytest.mark.parametrize("start", ["bwrap"], indirect=True)

HEAD = """
import json, os, pathlib, sys
event = json.loads(pathlib.Path(os.environ["EWMS_TASK_INFILE"]).read_text())

def tell(value):
    pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(value))

def attempt(do):
    try:
        return str(do())
    except OSError as error:
        return type(error).__name__
"""


def find_log(worker: Worker, what: str) -> dict[str, Any]:
    return next(line for line in map(json.loads, worker.said.splitlines()) if line["what"] == what)


def put_program(folder: Path, name: str, source: str) -> Path:
    """A program of this name, in front of the others on the PATH that is returned."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\n{source}")
    (folder / name).chmod(0o755)
    return folder


@isolated
def test_a_task_that_writes_to_another_tasks_directory_does_not_find_it(
    start: Start, script: Script, tmp_path: Path
) -> None:
    """The first waits until the second has tried, wherever it could: by its path, and by looking around."""
    source = f"""
{HEAD}
import time
data = pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"]).parent
if event["who"] == "first":
    pathlib.Path("mine").write_text("as I left it")
    pathlib.Path(event["meeting"] + ".new").write_text(os.getcwd())
    os.replace(event["meeting"] + ".new", event["meeting"])
    deadline = time.monotonic() + 60
    while not os.path.exists(event["meeting"] + ".tried") and time.monotonic() < deadline:
        time.sleep(0.01)
    tell({{"mine": pathlib.Path("mine").read_text(), "around": sorted(os.listdir("."))}})
else:
    deadline = time.monotonic() + 60
    while not os.path.exists(event["meeting"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    other = pathlib.Path(pathlib.Path(event["meeting"]).read_text())
    said = {{
        "overwrite": attempt(lambda: (other / "mine").write_text("overwritten")),
        "add": attempt(lambda: (other / "of-mine").write_text("x")),
        "make": attempt(lambda: os.makedirs(other)),
        "delete": attempt(lambda: os.rmdir(other.parent)),
        "spoil": attempt(lambda: (data / "of-mine").write_text("x")),
        "attempts": sorted(name for name in os.listdir(data) if name.isdigit() and name != pathlib.Path.cwd().parent.name),
        "worker": sorted(os.listdir(data.parent)),
    }}
    pathlib.Path(event["meeting"] + ".tried").touch()
    tell(said)
"""
    with FakeService(args=script(source), slots=2) as service:
        service.publish(*({"who": who, "meeting": str(tmp_path / "meeting")} for who in ("first", "second")))
        worker = start(service)
        service.wait_for(done=2, deadline_s=60)
        service.tell_to("finish")
        assert worker.wait() == 0
        first, second = sorted(service.results(), key=lambda result: "mine" not in result)

    assert first == {"mine": "as I left it", "around": ["mine"]}
    assert [second.pop(name) for name in ("make", "spoil", "delete")] == ["OSError"] * 3  # read-only
    assert second == {
        "overwrite": "FileNotFoundError",
        "add": "FileNotFoundError",
        "attempts": [],
        "worker": ["ewms-pilot-data", "helper"],
    }


@isolated
@pytest.mark.parametrize("warm", [False, True])
def test_a_task_finds_no_secret_of_its_worker_or_of_others(
    start: Start,
    script: Script,
    tmp_path: Path,
    bundle: Path,
    warm: bool,  # noqa: FBT001
) -> None:
    """Not by path, not by processes, not in the folder that the site has named."""
    others = tmp_path / "site"
    (others / "clusters").mkdir(parents=True)
    for place in (others / "clusters" / "enrol.json", tmp_path / "token"):
        place.write_text("canary")
    source = """
import os, pathlib
from muster import task

def read(path):
    try:
        return pathlib.Path(path).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        return type(error).__name__

def handle(event):
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    return {
        "files": [read(path) for path in event],
        "processes": len(pids),
        "workers": [pid for pid in pids if "MUSTER_WORKER_URL" in read(f"/proc/{pid}/environ")],
        "isolation": os.environ["MUSTER_TASK_ISOLATION"],
    }

task.run(handle)
"""
    with FakeService(args=script(source), warm=warm) as service:
        worker_folder = tmp_path / "worker-0"
        service.publish(
            [
                str(path)
                for path in (
                    tmp_path / "enrol.json",
                    tmp_path / "token",
                    others / "clusters" / "enrol.json",
                    worker_folder / "worker.lock",
                    worker_folder / "stderr",
                    bundle,
                )
            ]
        )
        (tmp_path / "by another name").symlink_to(others)
        again = f"{others}/,{others / 'clusters'},{tmp_path / 'by another name'},{others / 'clusters' / 'enrol.json'}"
        worker = start(service, HIDDEN=f"{others},{again},{tmp_path / 'token'},{tmp_path / 'never-there'}")
        service.wait_for(done=1, deadline_s=60)
        [seen] = service.results()
        assert worker.folder == worker_folder

    assert set(seen["files"]) <= {"", "PermissionError", "FileNotFoundError"}
    assert seen["processes"] < 5
    assert seen["workers"] == []
    assert seen["isolation"] == "bwrap"
    assert find_log(worker, "tasks are isolated")["by"] == "bwrap"
    assert service.sessions[-1].isolation == "bwrap"
    assert not (tmp_path / "never-there").exists()


@isolated
def test_a_task_sees_its_machine_and_writes_where_its_user_may(start: Start, script: Script, tmp_path: Path) -> None:
    """As without isolation: results in a shared folder, caches in $HOME, programs beside the inputs."""
    (tmp_path / "beside.py").write_text("VALUE = 17\n")
    (tmp_path / "shared").mkdir()
    source = f"""
{HEAD}
import beside
tell({{
    "shared": attempt(lambda: pathlib.Path(event, "result").write_text("kept")),
    "home": attempt(lambda: pathlib.Path.home().joinpath("cache").write_text("kept")),
    "hub": attempt(lambda: pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"], "fetched").write_text("kept")),
    "tmp": os.environ["TMPDIR"] == os.getcwd(),
    "beside": beside.VALUE,
    "null": attempt(lambda: pathlib.Path("/dev/null").write_text("x")),
}})
"""
    with FakeService(args=script(source)) as service:
        service.publish(str(tmp_path / "shared"))
        worker = start(service)
        service.wait_for(done=1)
        [seen] = service.results()

    assert seen == {"shared": "4", "home": "4", "hub": "4", "tmp": True, "beside": 17, "null": "1"}
    assert (tmp_path / "shared" / "result").read_text() == "kept"
    assert (worker.folder / "ewms-pilot-data" / "data-hub" / "fetched").read_text() == "kept"


@isolated
def test_where_a_site_says_so_a_task_writes_there_alone(start: Start, script: Script, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    source = f"""
{HEAD}
tell([attempt(lambda: pathlib.Path(place, "x").write_text("x")) for place in (*event, ".", os.environ["XDG_CACHE_HOME"] + "/..")])
"""
    with FakeService(args=script(source)) as service:
        service.publish([str(tmp_path), str(tmp_path / "shared")])
        start(service, WRITABLE=tmp_path / "shared")
        service.wait_for(done=1)
        assert service.results() == [["OSError", "1", "1", "FileNotFoundError"]]


@isolated
def test_input_files_that_lie_where_nothing_is_seen_are_seen_themselves(
    start: Start, script: Script, tmp_path: Path
) -> None:
    """As on an access point that keeps them in the worker's own folder."""
    inputs = tmp_path / "worker-0" / "inputs"
    source = f"""
{HEAD}
tell([pathlib.Path("table.txt").read_text(), attempt(lambda: pathlib.Path("table.txt").write_text("x")), os.environ["HOME"]])
"""
    with FakeService(args=script(source)) as service:
        service.publish(1)
        worker = start(service, again=_make_inputs(inputs), INPUT_DIR=inputs, environment={"HOME": str(inputs)})
        service.wait_for(done=1)
        assert service.results() == [["a table", "OSError", f"{worker.folder}/ewms-pilot-data/data-hub"]]


class _Folder:
    """What `start` needs of a worker that was there before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def _make_inputs(inputs: Path) -> _Folder:
    inputs.mkdir(parents=True)
    (inputs / "table.txt").write_text("a table")
    return _Folder(inputs.parent)


def test_without_bwrap_tasks_run_and_it_is_said_that_they_are_not_isolated(start: Start, script: Script) -> None:
    with FakeService(args=script(HEAD + 'tell(os.environ["MUSTER_TASK_ISOLATION"])')) as service:
        service.publish(1)
        worker = start(service, ISOLATION="auto", environment={"PATH": "/nowhere"})
        service.wait_for(done=1)
        assert service.results() == ["none"]
    assert find_log(worker, "tasks are not isolated")["why"] == "bwrap (bubblewrap) is not on PATH"
    assert service.sessions[-1].isolation == "none: bwrap (bubblewrap) is not on PATH"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "import sys; sys.exit('bwrap: No permissions to create new namespace')",
            "bwrap: No permissions to create new namespace",
        ),
        ("", "bwrap does not hide what it is told to hide"),
        ("import os, sys; os.execv('/bin/sh', sys.argv[sys.argv.index('--') + 1:])", "bwrap does not hide what it is"),
    ],
    ids=["forbidden", "lies", "only starts it"],
)
def test_a_bwrap_that_does_not_work_here_is_not_used(
    start: Start, script: Script, tmp_path: Path, source: str, why: str
) -> None:
    path = put_program(tmp_path / "bin", "bwrap", source)
    with FakeService(args=script(HEAD + 'tell(os.environ["MUSTER_TASK_ISOLATION"])')) as service:
        service.publish(1)
        worker = start(service, ISOLATION="auto", environment={"PATH": f"{path}:/usr/bin:/bin"})
        service.wait_for(done=1)
        assert service.results() == ["none"]
    assert why in find_log(worker, "tasks are not isolated")["why"]


def test_a_worker_that_must_isolate_and_cannot_ends_before_any_event(start: Start) -> None:
    with FakeService(args="true") as service:
        [event] = service.publish(1)
        worker = start(service, ISOLATION="bwrap", environment={"PATH": "/nowhere"})
        assert worker.wait() == 3
        assert (event.state, event.attempts) == ("waiting", 0)
    assert worker.ended["why"] == "not isolated: bwrap (bubblewrap) is not on PATH (MUSTER_WORKER_ISOLATION is bwrap)"


@isolated
def test_a_task_of_the_machines_user_cannot_undo_it(start: Start, script: Script) -> None:
    """Taking the cover away needs rights that it has not, nor gets in a namespace of its own."""
    source = f"""
{HEAD}
import subprocess
folder = str(pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"]).parent.parent)
tell([
    subprocess.run(words + ["umount", folder], capture_output=True).returncode != 0 for words in ([], ["unshare", "-Urm"])
] + sorted(os.listdir(folder)))
"""
    with FakeService(args=script(source)) as service:
        service.publish(1)
        start(service)
        service.wait_for(done=1)
        assert service.results() == [[True, True, "ewms-pilot-data", "helper"]]


@isolated
def test_no_secret_stands_on_a_command_line(start: Start, script: Script, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with FakeService(
        args=script(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    ) as service:
        [event] = service.publish(1)
        worker = start(service, secret="canary-of-the-enrolment")
        service.secret = "canary-of-the-enrolment"
        service.wait(lambda: event.state == "in work" and len(worker.left()) >= 3, "its processes are there")
        words = b" ".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in worker.left())
        gate.touch()
        service.wait_for(done=1)
    assert b"bwrap" in words
    assert b"canary" not in words


def test_the_home_folder_is_no_workers_folder_to_hide(bubblewrap: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from muster.worker import bubblewrap
from muster.worker.folders import Folders
from muster.worker.settings import Settings
bubblewrap.find_home = lambda: sys.argv[1] + "/home"
folders = Folders(Path(sys.argv[1]), input_dir=None, failures_kept=0)
settings = Settings("", "", "", "0", 0, 0, "", "", Path(sys.argv[1]))
try:
    bubblewrap.Sandbox("bwrap", settings, folders, {})
except bubblewrap.IsolationError as error:
    print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert ran.stdout.strip().endswith("holds the home folder: give it one of its own (MUSTER_WORKER_DIR)")
