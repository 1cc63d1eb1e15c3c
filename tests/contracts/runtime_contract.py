"""What must hold of every way to run a task: bare, isolated, and in containers of each tool. With the worker as it travels.

A subclass says by its fixture `way` how tasks are run. Programs are words of `python -c`, so that none has to be put into an image.
"""

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import wait_for
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]

both = pytest.mark.parametrize("warm", [False, True])


@dataclass(frozen=True)
class Way:
    """How tasks are run: their image, the Python that they find, and the worker's settings and variables."""

    image: str = ""
    python: str = "python3"
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def serve(self, source: str, *, words: Sequence[str] = (), **task: Any) -> FakeService:
        """A service with a task that runs this program."""
        # Placeholders are to be filled in, so they stay as they are.
        args = f"{shlex.join([self.python, '-c', source])} {' '.join(words)}"
        return FakeService(image=self.image, args=args, **task)

    def start(self, start: Start, service: FakeService) -> Worker:
        return start(service, environment=self.environment, **self.settings)


HANDS_ON = """
from muster import task
task.run(lambda event: event)
"""
COPIES = """
import sys
open(sys.argv[2], "wb").write(open(sys.argv[1], "rb").read())
"""
FAILS = """
import sys
from muster import task

def handle(event):
    print("working on", event)
    print("a warning", file=sys.stderr)
    raise LookupError(f"no point {event} in /data/file-{event}")

task.run(handle)
"""
ESCAPES = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""
TELLS_VARIABLES = """
import os
from muster import task
task.run(lambda event: dict(os.environ))
"""
COUNTS = """
import os, pathlib
from muster import task

def handle(event):
    hub = pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"])
    (hub / f"seen-{event}").touch()
    return len(list(hub.glob("seen-*")))

task.run(handle)
"""
CRASHES = """
import os
from muster import task

def handle(event):
    if event == "crash":
        os._exit(7)
    return event

task.run(handle)
"""
NOTHING = """
from muster import task
task.run(lambda event: None)
"""
LARGE = """
from muster import task
task.run(lambda event: ["x" * 700_000] * 3)
"""
LOOKS = """
import os, pathlib
from muster import task

def handle(event):
    folder = pathlib.Path(event["worker"])
    try:
        seen = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    except OSError:
        seen = []
    return seen

task.run(handle)
"""


LINKS = """
import os, pathlib
event = pathlib.Path(os.environ["EWMS_TASK_INFILE"]).read_text()
out = os.environ["EWMS_TASK_OUTFILE"]
if event == '"output"':
    os.symlink(os.environ["SECRET"], out)
if event == '"names"':
    pathlib.Path(out).write_text("1")
    os.symlink(os.environ["SECRET"], out + ".to")
if event == '"pipe"':
    os.mkfifo(out)
"""


class RuntimeContract(ABC):
    """Subclass it, with a fixture `way`."""

    def test_a_link_in_the_place_of_a_result_is_not_followed(self, start: Start, way: Way, tmp_path: Path) -> None:
        """The worker could read what the task cannot."""
        secret = tmp_path / "secret"
        secret.write_text("17")
        with way.serve(LINKS, env={"SECRET": str(secret)}, attempts=1, outputs=["out"]) as service:
            events = service.publish("output", "names", "pipe")
            way.start(start, service)
            service.wait_for(dead=3, deadline_s=60)

            assert all("is no regular file" in event.errors[0]["text"] for event in events)

    @pytest.fixture
    @abstractmethod
    def way(self) -> Way:
        """How tasks are run."""

    @both
    def test_bodies_come_out_as_they_went_in(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        bodies = [{"a": [1, "two", None]}, "text, \u00e9 and \U0001f600", b"\0\xff bytes", 17, ""]
        with way.serve(HANDS_ON, warm=warm) as service:
            service.publish(*bodies)
            worker = way.start(start, service)
            service.wait_for(done=len(bodies), deadline_s=60)
            service.tell_to("finish")

            assert worker.wait(30) == 0
            assert service.results() == bodies
            assert worker.left() == []

    def test_the_very_text_goes_through_files_by_placeholders(self, start: Start, way: Way) -> None:
        with way.serve(COPIES, words=("{{INFILE}}", "{{OUTFILE}}")) as service:
            service.publish_text('{"n" : 1.10, "n":1e400}')
            way.start(start, service)
            service.wait_for(done=1, deadline_s=60)

            assert service.result_texts() == [b'{"n" : 1.10, "n":1e400}']

    @both
    def test_an_exception_is_told_with_what_was_printed(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        with way.serve(FAILS, warm=warm, attempts=1) as service:
            [event] = service.publish(17)
            way.start(start, service)
            service.wait_for(dead=1, deadline_s=60)

            [error] = event.errors
            assert "LookupError: no point 17 in /data/file-17" in error["text"]
            assert error["fingerprint"] == "exit 1: LookupError: no point # in <path>"
            assert "working on 17" in error["stdout_tail"]
            assert "a warning" in error["stderr_tail"]

    @both
    def test_no_result_is_fine(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        with way.serve(NOTHING, warm=warm) as service:
            service.publish(1)
            way.start(start, service)
            service.wait_for(done=1, deadline_s=60)

            assert service.results() == []

    @both
    def test_results_that_fit_into_no_message_come_by_a_file(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        with way.serve(LARGE, warm=warm, output="lines") as service:
            service.publish(1)
            way.start(start, service)
            service.wait_for(done=1, deadline_s=60)

            assert service.results() == ["x" * 700_000] * 3

    def test_after_its_time_nothing_of_a_task_is_left(self, start: Start, way: Way) -> None:
        with way.serve(ESCAPES, timeout_s=2.0, attempts=1) as service:
            [event] = service.publish(1)
            worker = way.start(start, service)
            service.wait_for(dead=1, deadline_s=60)

            assert event.errors[0]["text"] == "task failed: [Timeout-Error] timed out after 2s"
            wait_for(lambda: worker.left() == [], "nothing of it is left")

    def test_an_abort_stops_what_runs(self, start: Start, way: Way) -> None:
        with way.serve(ESCAPES, lease_s=3.0) as service:  # renewed each second: so the word is heard
            service.publish(1)
            worker = way.start(start, service)
            wait_for(lambda: len(worker.left()) >= 3, "it runs")
            service.tell_to("abort")

            assert worker.wait(30) == 0
            wait_for(lambda: worker.left() == [], "nothing of it is left")
            assert service.states() == {"waiting": 1}

    def test_a_crash_costs_one_attempt(self, start: Start, way: Way) -> None:
        with way.serve(CRASHES, warm=True, attempts=1) as service:
            service.publish("a", "crash", "b")
            way.start(start, service)
            service.wait_for(done=2, dead=1, deadline_s=60)

            assert service.results() == ["a", "b"]
            assert "exit code 7" in service.events["EV-0000000000000002"].errors[0]["text"]

    @both
    def test_variables_are_the_tasks_and_nothing_of_the_worker(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        mine = {"COLOUR": "deep, blue=1", "QUOTED": 'a "b" $HOME'}
        with way.serve(TELLS_VARIABLES, warm=warm, env=mine, n_cores=3) as service:
            service.publish(1)
            way.start(start, service)
            service.wait_for(done=1, deadline_s=60)
            [seen] = service.results()

        assert {name: seen[name] for name in mine} == mine
        assert seen["OMP_NUM_THREADS"] == "3"
        assert "not for tasks" not in json.dumps(seen)
        assert not [name for name in seen if name.startswith(("MUSTER_WORKER", "APPTAINERENV"))]

    @both
    def test_the_data_hub_is_shared_by_all_attempts_of_a_worker(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        with way.serve(COUNTS, warm=warm, max_events=1) as service:
            service.publish(1, 2, 3)
            way.start(start, service)
            service.wait_for(done=3, deadline_s=60)

            assert service.results() == [1, 2, 3]


class HidingContract(RuntimeContract):
    """Of ways that show a task nothing of the worker's folder but what is its own."""

    @both
    def test_a_task_finds_nothing_of_the_worker(self, start: Start, way: Way, warm: bool) -> None:  # noqa: FBT001
        """Neither its settings and secrets, nor its spool, nor the folders of other attempts."""
        with way.serve(LOOKS, warm=warm) as service:
            worker = way.start(start, service)
            service.publish({"worker": str(worker.folder)})
            service.wait_for(done=1, deadline_s=60)

            [seen] = service.results()
            assert not [path for path in seen if path.split("/")[0] in {"spool", "worker.lock", "stderr", "exit.json"}]
            assert len({path.split("/")[1] for path in seen if path[17:18].isdigit()}) <= 1
