"""Who is to blame when the worker's disk is full? The task whose write fails, for that; for a write of the worker's own no event is.

The disks are real: a small tmpfs in a mount namespace of the worker's own.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.namespaces import on_small_disk
from muster.worker.log_lines import LogLines
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]
Script = Callable[[str], str]

FILLS = """
import json, os
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    event = json.load(file)
if event == "fill":
    with open("ballast", "wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
with open(os.environ["EWMS_TASK_OUTFILE"], "w") as file:
    json.dump(event, file)
"""

FILLS_WARM = """
from muster import task
def handle(event):
    if event == "fill":
        with open("ballast", "wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    return event
task.run(handle)
"""


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
def test_a_task_that_fills_the_disk_fails_of_it_and_the_worker_goes_on(
    start: Start, script: Script, *, warm: bool
) -> None:
    with FakeService(args=script(FILLS_WARM if warm else FILLS), warm=warm, attempts=1) as service:
        bad, *_ = service.publish("fill", 1, 2)
        worker = start(service, wrapper=lambda folder: on_small_disk(str(folder), "size=2m"))
        service.wait_for(dead=1, done=2)
        service.tell_to("finish")

        assert worker.wait() == 0
    assert "No space left on device" in bad.errors[0]["text"]


def fill(ballast: Path) -> None:
    """Until nothing more fits."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:  # ends with the disk
            file.write(bytes(4096))


@pytest.mark.system
def test_where_there_is_no_room_for_an_events_file_it_is_given_back(start: Start, script: Script) -> None:
    with FakeService(args=script(FILLS)) as service:
        service.publish(1)
        worker = start(service, wrapper=lambda folder: on_small_disk(str(folder), "size=2m"))
        service.wait_for(done=1)
        fill(Path(f"/proc/{worker.process.pid}/root{worker.folder}/ballast"))
        event, *_ = service.publish(2)

        assert worker.wait() == 1
    assert (event.history, event.attempts) == (["requeued"], 0)
    assert worker.said.splitlines()[-1].endswith(": No space left on device")
    assert "exit.json was not written" in worker.said


@pytest.mark.system
def test_what_is_kept_of_failed_attempts_makes_room_for_others(start: Start, script: Script) -> None:
    source = """
import json, os, sys
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    event = json.load(file)
if event == "fill":
    with open("ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - 65536)
    sys.exit(1)
"""
    with FakeService(args=script(source), attempts=1) as service:
        service.publish("fill", "x" * 100_000)
        worker = start(service, wrapper=lambda folder: on_small_disk(str(folder), "size=2m"))
        service.wait_for(dead=1, done=1)
        service.tell_to("finish")
        assert worker.wait() == 0


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        log = LogLines(io.TextIOWrapper(full, write_through=True))
        log.tell("something")
        log.tell("something else")
