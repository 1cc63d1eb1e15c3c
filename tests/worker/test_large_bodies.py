"""Do bodies over 1 MiB reach tasks and leave them, with a real service, and what becomes of an event whose file is not what it was?"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal

from harness.waiting import wait_for
from muster.client.shapes.consumers import LeasedEvent
from muster.client.shapes.events import NewEventBody
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.sites import Claim, Submitted
from muster.client.synchronous import Client
from server.test_files_wire import serving
from worker.conftest import Worker
from worker.frame_tasks import ECHO, FRAMES

pytestmark = pytest.mark.system

Start = Callable[..., Worker]
Script = Callable[[str], str]

REVERSES = """
import os, sys
with open(os.environ["EWMS_TASK_INFILE"], "rb") as file:
    data = file.read()
with open(os.environ["EWMS_TASK_OUTFILE"], "wb") as file:
    file.write(data[::-1])
print(os.environ["MUSTER_EVENT_KIND"], len(data), file=sys.stderr)
"""
TELLS_LENGTH = """
import json, os
with open(os.environ["EWMS_TASK_INFILE"], "rb") as file:
    data = file.read()
with open(os.environ["EWMS_TASK_OUTFILE"], "w") as file:
    json.dump([os.environ["MUSTER_EVENT_KIND"], len(data)], file)
"""
REPEATS = """
import json, os
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    times = json.load(file)
with open(os.environ["EWMS_TASK_OUTFILE"], "w") as file:
    json.dump(["0123456789"] * times, file)
"""
HANDS_ON = """
from muster import task
task.run(lambda event: event)
"""
LOOKS_ROUND = """
import os
from muster import task

folder = os.path.dirname(os.environ["EWMS_TASK_INFILE"])

def handle(event):
    return {"begins": event[0] if isinstance(event, bytes) else None, "n_files": len(os.listdir(folder)), "pid": os.getpid()}

task.run(handle)
"""
LEAVES_LINK = """
import os
from muster import task

def handle(event):
    if event == 1:
        os.symlink(os.environ["TARGET"], os.environ["EWMS_TASK_INFILE"])
        return 1
    return len(event)

task.run(handle)
"""
TOO_LARGE = """
from muster import task
task.run(lambda event: ["x" * (16 << 20)])
"""
PROMISES = f"""{FRAMES}
while (got := read()) is not None:
    say(answer(got[0], outcome="file"))
"""
LARGE = bytes(range(256)) * (20 << 10)  # 5 MiB, no UTF-8


@dataclass
class Bench:
    """A service, a workflow, and a worker of its task."""

    client: Client
    workflow_id: str
    files_dir: Path
    folder: Path
    work: Callable[[], Worker]

    def publish(self, *events: NewEventBody, close: bool = True) -> None:
        self.client.publish(self.workflow_id, "in", events, close=close)

    def send_file(self, data: bytes, content: Any) -> str:
        """Publish one, others may follow."""
        path = self.folder / "published"
        path.write_bytes(data)
        file = self.client.upload_file(self.workflow_id, path, content=content).file
        event = NewEventBody(msgspec.Raw(json.dumps(file).encode()), kind="file")
        self.client.publish(self.workflow_id, "in", [event])
        return file

    def publish_file(self, data: bytes, content: Any = "bytes") -> str:
        """Publish this one alone."""
        file = self.send_file(data, content)
        self.publish()
        return file

    def consume(self, count: int) -> list[LeasedEvent]:
        with closing(self.client.consume(self.workflow_id, "out")) as events:
            return list(islice(events, count))

    def consume_one(self) -> LeasedEvent:
        [event] = self.consume(1)
        return event

    def fetch(self, event: LeasedEvent) -> bytes:
        path = self.folder / "fetched"
        self.client.download_file(self.workflow_id, json.loads(bytes(event.body))["file"], path)
        return path.read_bytes()

    def wait_for_error(self) -> str:
        groups = wait_for(lambda: self.client.get_errors(self.workflow_id).groups, "an attempt failed")
        return groups[0].example_text


@contextmanager
def bench(tmp_path: Path, start: Start, args: str, **task: Any) -> Iterator[Bench]:
    database_url = f"sqlite:///{tmp_path / 'muster.db'}"
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(tmp_path, database_url)) as (url, token, files_dir),
        Client(url, token) as client,
    ):
        new = NewTask(
            cluster_locations=["local"],
            task_image="",
            task_args=args,
            input_queue_aliases=["in"],
            output_queue_aliases=["out"],
            **task,
        )
        workflow = client.submit_workflow(NewWorkflow(tasks=[new], public_queue_aliases=["in", "out"]))
        [order] = client.claim(Claim(agent="a", locations=["local"], wait_s=20.0)).start
        client.submitted(
            order.taskforce_uuid, Submitted(agent="a", fence=order.fence, cluster_id=7, n_workers=order.n_workers)
        )

        def work() -> Worker:
            service = SimpleNamespace(url=url)
            return start(service, taskforce=order.taskforce_uuid, secret=order.secret, cluster="7")

        yield Bench(client, workflow.workflow_id, files_dir, tmp_path, work)


def test_a_large_body_is_the_tasks_input_file_and_its_large_output_the_result(
    tmp_path: Path, start: Start, script: Script
) -> None:
    with bench(tmp_path, start, script(REVERSES)) as on:
        on.publish_file(LARGE)
        on.work()
        event = on.consume_one()

        assert event.kind == "file"
        assert json.loads(bytes(event.body))["content"] == "bytes"
        assert on.fetch(event) == LARGE[::-1]


def test_a_small_event_may_have_a_large_json_result(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(REPEATS), outfile_ext="json") as on:
        on.publish(NewEventBody(msgspec.Raw(b"200000")))
        on.work()
        event = on.consume_one()

        assert json.loads(bytes(event.body))["content"] == "json"
        assert json.loads(on.fetch(event)) == ["0123456789"] * 200_000


@pytest.mark.parametrize("content", ["json", "text", "bytes"])
def test_a_task_is_told_what_its_large_body_is(tmp_path: Path, start: Start, script: Script, content: str) -> None:
    data = b'"' + b"x" * (2 << 20) + b'"'
    with bench(tmp_path, start, script(TELLS_LENGTH), outfile_ext="json") as on:
        on.publish_file(data, content)
        on.work()

        assert json.loads(bytes(on.consume_one().body)) == [content, len(data)]


def test_a_damaged_body_is_the_error_of_its_attempt(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(REVERSES)) as on:
        file = on.publish_file(LARGE)
        [place] = on.files_dir.rglob(file)
        place.write_bytes(LARGE[:-1] + b"\0")
        on.work()

        # The first look finds it out; from then on the service says so before it gives out a byte.
        error = on.wait_for_error()
        assert "its body is not there: " in error
        assert "was damaged" in error


def test_a_body_that_is_gone_is_the_error_of_its_attempt(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(REVERSES)) as on:
        file = on.publish_file(LARGE)
        [place] = on.files_dir.rglob(file)
        place.unlink()
        on.work()

        assert "its body is not there" in on.wait_for_error()


@pytest.mark.parametrize("warm", [False, True])
def test_a_task_with_the_helper_gets_large_bodies_and_gives_them(
    tmp_path: Path,
    start: Start,
    script: Script,
    warm: bool,  # noqa: FBT001
) -> None:
    text = json.dumps(["0123456789"] * 200_000).encode()
    with bench(tmp_path, start, script(HANDS_ON), warm=warm, outfile_ext="json") as on:
        for data, content in ((LARGE, "bytes"), (text, "json"), (b"small", "text")):
            on.send_file(data, content)
        on.publish(NewEventBody(msgspec.Raw(b'{"a": 1.10}')))
        on.work()
        large, larger, small, own = on.consume(4)

        assert (on.fetch(large), json.loads(bytes(large.body))["content"]) == (LARGE, "bytes")
        assert json.loads(on.fetch(larger)) == json.loads(text)
        assert json.loads(bytes(larger.body))["content"] == "json"
        assert json.loads(bytes(small.body)) == "small"
        assert json.loads(bytes(own.body)) == {"a": 1.1}


def test_one_process_gets_each_large_body_and_nothing_of_it_stays(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(LOOKS_ROUND), warm=True) as on:
        for number in range(3):
            on.send_file(bytes([number]) * (2 << 20), "bytes")
        on.publish(NewEventBody(msgspec.Raw(b"1")))
        on.work()
        seen = [json.loads(bytes(event.body)) for event in on.consume(4)]

        assert [one["begins"] for one in seen] == [0, 1, 2, None]
        assert [one["n_files"] for one in seen] == [1, 1, 1, 0]
        assert len({one["pid"] for one in seen}) == 1


def test_a_body_is_not_written_through_a_link_that_the_task_has_left(
    tmp_path: Path, start: Start, script: Script
) -> None:
    target = tmp_path / "of-the-worker"
    target.write_text("as it was")
    with bench(tmp_path, start, script(LEAVES_LINK), warm=True, task_env={"TARGET": str(target)}) as on:
        on.publish(NewEventBody(msgspec.Raw(b"1")), close=False)
        on.send_file(LARGE, "bytes")
        on.work()
        _, event = on.consume(2)

        assert json.loads(bytes(event.body)) == len(LARGE)
        assert target.read_text() == "as it was"


def test_a_result_over_what_is_taken_is_the_error_of_its_attempt(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(TOO_LARGE), warm=True, output="lines") as on:
        on.publish(NewEventBody(msgspec.Raw(b"1")))
        on.work()

        assert "the result is 16777220 bytes; at most 16777216 are allowed" in on.wait_for_error()


def test_a_task_of_before_large_bodies_is_told_so(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(ECHO), warm=True) as on:
        on.publish_file(LARGE)
        on.work()

        assert "this task's copy of muster.task is of before such bodies" in on.wait_for_error()


def test_a_task_that_promises_a_file_and_leaves_none_is_told_so(tmp_path: Path, start: Start, script: Script) -> None:
    with bench(tmp_path, start, script(PROMISES), warm=True) as on:
        on.publish(NewEventBody(msgspec.Raw(b"1")))
        on.work()

        assert "its result is in the output file, and there is none" in on.wait_for_error()
