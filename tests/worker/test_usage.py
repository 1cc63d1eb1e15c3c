"""Is it told of every attempt what it took: CPU and memory of all that came of it, whether it lived on, ran away or was killed?"""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.conftest import Worker, bare_and_isolated
from worker.fake_service import Event, FakeService

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Start = Callable[..., Worker]
Script = Callable[[str], str]

BURN = """
import json, os, subprocess, sys, time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def run_away(seconds, *, new_session):
    if os.fork() == 0:
        if new_session:
            os.setsid()
        if os.fork() == 0:
            burn(seconds)
            os.write(pipe[1], b"x")
            os._exit(0)
        os._exit(0)
    os.wait()

pipe = os.pipe()
"""
BURNT = 0.45
"""Seconds that are to be seen of half a one, where the kernel counts in ticks."""
PLAIN = (
    BURN
    + """
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    how = json.load(file)
if how == "itself":
    burn(0.5)
if how == "child":
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.5: pass"], check=True)
if how.startswith("away"):
    run_away(0.5, new_session=how == "away in a session")
    os.read(pipe[0], 1)
if how == "fails":
    burn(0.5)
    sys.exit(1)
if how == "hangs":
    burn(0.5)
    time.sleep(3600)
if how == "memory":
    taken = b"x" * (200 << 20)
"""
)
WARM = (
    BURN
    + """
from muster import task

def handle(how):
    if how == "itself":
        burn(0.5)
    if how == "child":
        subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.5: pass"], check=True)
    if how == "memory":
        taken = b"x" * (200 << 20)
    if how == "crash":
        burn(0.5)
        os._exit(3)
    if how == "short":
        burn(0.002)
    else:
        time.sleep(0.02)

task.run(handle)
"""
)


def usage_of(event: Event) -> dict[str, Any]:
    usage = event.usages[-1]
    assert set(usage) == {"cpu_s", "memory_bytes", "bytes_in"}
    return dict(usage)


@bare_and_isolated
@pytest.mark.parametrize("how", ["itself", "child", "away", "away in a session"])
def test_the_cpu_of_all_that_came_of_it_counts(start: Start, script: Script, how: str) -> None:
    with FakeService(args=script(PLAIN)) as service:
        [event] = service.publish(how)
        start(service)
        service.wait_for(done=1, deadline_s=60)

    usage = usage_of(event)
    assert 0.5 <= usage["cpu_s"] < 5
    assert usage["bytes_in"] == len(how) + 2


def test_runaways_are_told_apart_by_their_sessions_when_several_are_at_work(start: Start, script: Script) -> None:
    with FakeService(args=script(PLAIN), slots=2) as service:
        away, idle = service.publish("away", "not")
        start(service)
        service.wait_for(done=2, deadline_s=60)

    assert usage_of(away)["cpu_s"] >= 0.5
    assert usage_of(idle)["cpu_s"] < 0.5


def test_the_largest_size_counts_however_short_it_was(start: Start, script: Script) -> None:
    with FakeService(args=script(PLAIN)) as service:
        large, small = service.publish("memory", "not")
        start(service)
        service.wait_for(done=2, deadline_s=60)

    assert usage_of(large)["memory_bytes"] >= 200 << 20
    assert 0 < usage_of(small)["memory_bytes"] < 200 << 20


@bare_and_isolated
@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_failed_attempt_has_taken_what_it_took(start: Start, script: Script, how: str) -> None:
    with FakeService(args=script(PLAIN), attempts=1, timeout_s=3.0 if how == "hangs" else None) as service:
        [event] = service.publish(how)
        start(service)
        service.wait_for(dead=1, deadline_s=60)

    assert usage_of(event)["cpu_s"] >= 0.5


def test_a_command_that_cannot_start_has_taken_nothing(start: Start) -> None:
    with FakeService(args="/no/such/program", attempts=1) as service:
        [event] = service.publish(1)
        start(service)
        service.wait_for(dead=1, deadline_s=60)

    assert usage_of(event) == {"cpu_s": 0.0, "memory_bytes": None, "bytes_in": 1}


@bare_and_isolated
@pytest.mark.parametrize("how", ["itself", "child"])
def test_a_warm_process_is_measured_event_by_event(start: Start, script: Script, how: str) -> None:
    with FakeService(args=script(WARM), warm=True) as service:
        events = service.publish("not", how, "not")
        worker = start(service)
        service.wait_for(done=3, deadline_s=60)
        service.tell_to("finish")
        assert worker.wait() == 0

    before, at_work, after = map(usage_of, events)
    assert at_work["cpu_s"] >= BURNT
    assert max(before["cpu_s"], after["cpu_s"]) < 0.5


def test_a_warm_process_that_was_large_once_is_not_large_for_ever(start: Start, script: Script) -> None:
    with FakeService(args=script(WARM), warm=True) as service:
        events = service.publish("not", "memory", "not")
        start(service)
        service.wait_for(done=3, deadline_s=60)

    before, large, after = (usage_of(event)["memory_bytes"] for event in events)
    assert large >= 200 << 20
    assert 0 < before < 200 << 20
    assert 0 < after < 200 << 20


def test_of_many_short_events_the_sum_is_right_and_the_memory_of_some_is_known(start: Start, script: Script) -> None:
    with FakeService(args=script(WARM), warm=True) as service:
        service.publish(*["short"] * 300)
        start(service)
        service.wait_for(done=300, deadline_s=60)
        usages = [usage_of(event) for event in service.events.values()]

    assert sum(one["cpu_s"] for one in usages) >= 0.9 * 300 * 0.002
    known = [one["memory_bytes"] for one in usages if one["memory_bytes"] is not None]
    assert len(known) >= 20
    assert max(known) < 200 << 20


def test_a_warm_process_that_crashes_has_taken_what_it_took_for_this_event(start: Start, script: Script) -> None:
    with FakeService(args=script(WARM), warm=True, attempts=1) as service:
        first, crashing = service.publish("itself", "crash")
        start(service)
        service.wait_for(done=1, dead=1, deadline_s=60)

    assert usage_of(first)["cpu_s"] >= BURNT
    assert BURNT <= usage_of(crashing)["cpu_s"] < 1.0


@pytest.mark.parametrize("warm", [False, True])
def test_in_a_container_too(
    start: Start, apptainer: Path, image: Path, tmp_path: Path, script: Script, *, warm: bool
) -> None:
    own = tmp_path / "own-image"
    subprocess.run(["cp", "-al", image, own], check=True)
    (own / "task.py").write_text(WARM if warm else PLAIN)
    settings = {"CONTAINERS": apptainer, "IMAGE_DIR": tmp_path / "images"}
    with FakeService(image=str(own), args="python3 /task.py", warm=warm) as service:
        burning, large, idle = service.publish("itself", "memory", "not")
        start(service, **settings)
        service.wait_for(done=3, deadline_s=60)

    assert usage_of(burning)["cpu_s"] >= BURNT
    assert usage_of(large)["memory_bytes"] >= 200 << 20
    assert usage_of(idle)["cpu_s"] < 0.5
    assert usage_of(idle)["memory_bytes"] < 200 << 20


def test_what_a_daemons_container_takes_is_not_known(start: Start, tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 0\n")
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    with FakeService(image="an/image", args="work") as service:
        [event] = service.publish(1)
        start(service, CONTAINERS=docker)
        service.wait_for(done=1, deadline_s=60)

    assert usage_of(event) == {"cpu_s": None, "memory_bytes": None, "bytes_in": 1}


def test_a_service_of_before_is_told_nothing_that_it_does_not_know(start: Start, script: Script) -> None:
    with FakeService(args=script(PLAIN)) as service:
        service.takes_usage = False
        [event] = service.publish("itself")
        start(service)
        service.wait_for(done=1, deadline_s=60)

    assert event.usages == [None]


def test_one_of_before_beside_it_gets_the_attempts_without_what_it_refuses(start: Start, script: Script) -> None:
    with FakeService(args=script(PLAIN), attempts=1, slots=2) as service:
        service.is_of_before = True
        good, bad, other = service.publish("not", "fails", "not")
        start(service)
        service.wait_for(done=2, dead=1, deadline_s=60)

    assert good.usages + bad.usages + other.usages == [None, None, None]
    assert [one["fingerprint"] for one in bad.errors] == ["exit 1"]
