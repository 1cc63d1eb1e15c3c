"""Is what tasks print told while they are at work, of the events that somebody looks at and of no others?"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import wait_for
from muster.worker.capture import Capture
from muster.worker.live import Live
from muster.worker.protocol import TAIL_BYTES_MAX
from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = pytest.mark.timeout(120)

Start = Callable[..., Worker]
Script = Callable[[str], str]

PLAIN = """
import os, sys, time
print("begun", flush=True)
while not os.path.exists({gate!r}):
    time.sleep(0.05)
print("going on", flush=True)
print("a warning", file=sys.stderr, flush=True)
while not os.path.exists({gate!r} + "2"):
    time.sleep(0.05)
"""
WARM = """
import os, time
from muster import task

def handle(event):
    print("at", event, flush=True)
    while event == "slow" and not os.path.exists({gate!r}):
        time.sleep(0.05)

task.run(handle)
"""


def said(service: FakeService, name: str) -> dict[str, str]:
    """What was told of an event last."""
    tails = service.tails.get(name)
    return {} if not tails else {one: base64.b64decode(tails[-1][one]["data"]).decode() for one in ("stdout", "stderr")}


@pytest.mark.system
def test_of_an_event_that_is_looked_at_what_is_printed_comes_with_renewals(
    start: Start, script: Script, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with FakeService(args=script(PLAIN.format(gate=str(gate))), lease_s=3.0, slots=2) as service:
        seen, unseen = service.publish(1, 2)
        service.watched = {seen.name}
        start(service)
        wait_for(lambda: said(service, seen.name) == {"stdout": "begun\n", "stderr": ""}, "it began", deadline_s=30)
        gate.touch()
        wanted = {"stdout": "begun\ngoing on\n", "stderr": "a warning\n"}
        wait_for(lambda: said(service, seen.name) == wanted, "it went on", deadline_s=30)
        (tmp_path / "gate2").touch()
        service.wait_for(done=2, deadline_s=30)

    assert service.tails.keys() == {seen.name}
    last = service.tails[seen.name][-1]
    assert (last["fence"], last["stdout"]["size_bytes"]) == (1, len(wanted["stdout"]))
    assert unseen.state == "done"


@pytest.mark.system
def test_a_warm_task_tells_of_its_event_alone(start: Start, script: Script, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with FakeService(args=script(WARM.format(gate=str(gate))), lease_s=3.0, warm=True) as service:
        _, slow = service.publish("fast", "slow")
        service.watched = {slow.name}
        start(service)
        wait_for(lambda: said(service, slow.name).get("stdout") == "at slow\n", "it is told", deadline_s=30)
        gate.touch()
        service.wait_for(done=2, deadline_s=30)


@pytest.mark.system
def test_one_of_before_that_refuses_tails_is_renewed_without(start: Start, script: Script, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with FakeService(args=script(PLAIN.format(gate=str(gate))), lease_s=3.0) as service:
        [event] = service.publish(1)
        service.watched, service.is_of_before = {event.name}, True
        start(service)
        wait_for(lambda: len(service.renewed) >= 3, "it renews on", deadline_s=30)
        gate.touch()
        (tmp_path / "gate2").touch()
        service.wait_for(done=1, deadline_s=30)

    assert service.tails == {}


def test_the_newest_bytes_are_told_and_how_many_there_were() -> None:
    live, stdout, stderr = Live(), Capture(100), Capture()
    live.show("EV-1", 4, stdout, stderr)
    for expected in (b"a" * 30, b"a" * 30 + b"b" * 30, b"c" * 40000):
        stdout.add(expected[-30:] if len(expected) < 100 else expected)
        [tail] = live.read(["EV-0", "EV-1"])
        newest: Any = tail["stdout"]
        data = base64.b64decode(newest["data"])
        assert data.endswith(expected[-30:])
        assert len(data) <= TAIL_BYTES_MAX
        assert newest["size_bytes"] == stdout.size_bytes
    assert (tail["event"], tail["fence"]) == ("EV-1", 4)

    live.hide("EV-1")
    live.hide("EV-1")
    assert live.read(["EV-1"]) == []


@pytest.mark.parametrize("n", [1, 10, 29, 30, 31, 60, 100])
def test_the_end_of_a_capture(n: int) -> None:
    capture, data = Capture(60), bytes(range(60))
    for place in range(0, 60, 7):
        capture.add(data[place : place + 7])

    assert capture.newest(n) == data[-n:]
