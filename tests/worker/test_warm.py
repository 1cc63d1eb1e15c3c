"""Does a warm task get its events one after another, and does what goes wrong cost one attempt only?"""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from worker.conftest import Worker, bare_and_isolated
from worker.fake_service import FakeService
from worker.frame_tasks import FRAMES

pytestmark = pytest.mark.system

Start = Callable[..., Worker]
Script = Callable[[str], str]

TASK = """
import os, signal, subprocess, sys, time
from muster import task

def handle(event):
    do = event.get("do", "well") if isinstance(event, dict) else "echo"
    print("print of", do)
    if do == "echo":
        return event
    if do == "none":
        return None
    if do == "raise":
        raise ValueError(f"point {event['n']} is outside")
    if do == "hang":
        time.sleep(3600)
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "exit":
        sys.exit(0)
    if do == "object":
        return object()
    if do == "nan":
        return float("nan")
    if do == "large":
        return "x" * (1 << 20)
    if do == "child":
        subprocess.Popen(["sleep", "3600"], start_new_session=True)
    if do == "fork":
        if os.fork() == 0:
            print("a child", task._descriptors)
            os._exit(0)
        os.wait()
    if do == "fds":
        return [os.environ.get("MUSTER_TASK_FDS"), sorted(map(int, os.listdir("/proc/self/fd")))]
    if do == "subprocess fds":
        return subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, close_fds=False).stdout.split()
    return {"n": event.get("n"), "pid": os.getpid()}

task.run(handle)
"""


@bare_and_isolated
def test_one_process_serves_many_events(start: Start, script: Script) -> None:
    with FakeService(args=script(TASK), warm=True) as service:
        service.publish(*({"n": n} for n in range(500)))
        worker = start(service)
        service.wait_for(done=500)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert worker.left() == []
    results = service.results()
    assert [result["n"] for result in results] == list(range(500))
    assert len({result["pid"] for result in results}) == 1


@pytest.mark.parametrize("body", ["text", 17, None, True, [1, {"a": "ä\n"}], b"", b"\x00\xff", "x" * 1_000_000])
@pytest.mark.parametrize("warm", [False, True])
def test_bodies_go_in_and_come_out_the_same_both_ways(start: Start, script: Script, body: Any, warm: bool) -> None:  # noqa: FBT001
    with FakeService(args=script(TASK), warm=warm, infile_ext="in", outfile_ext="out") as service:
        service.publish(body)
        start(service)
        service.wait_for(done=1)
        assert service.results() == ([] if body is None else [body])


def test_a_process_ends_after_its_number_of_events(start: Start, script: Script) -> None:
    with FakeService(args=script(TASK), warm=True, max_events=3) as service:
        service.publish(*({"n": n} for n in range(9)))
        start(service)
        service.wait_for(done=9)
    pids = [result["pid"] for result in service.results()]
    assert [len(set(pids[index : index + 3])) for index in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3


@pytest.mark.parametrize(
    ("do", "text", "fingerprint"),
    [
        ("raise", "ValueError: point 1 is outside", "exit 1: ValueError: point # is outside"),
        ("hang", "task failed: [Timeout-Error] timed out after 1s", "timeout"),
        ("crash", "task failed (killed by signal 11, SIGSEGV): <no stderr logs>", "SIGSEGV"),
        ("exit", "it ended (exit code 0) in the middle of an event", None),
        ("object", "TypeError: Object of type object is not JSON serializable", None),
        ("nan", "ValueError: Out of range float values are not JSON compliant", None),
        ("large", "the result is 1048578 bytes; at most 1048576 are allowed", None),
    ],
)
def test_what_goes_wrong_costs_one_events_attempt(
    start: Start, script: Script, do: str, text: str, fingerprint: str | None
) -> None:
    with FakeService(args=script(TASK), warm=True, attempts=1, timeout_s=1.0 if do == "hang" else None) as service:
        events = service.publish(*({"n": n, "do": do if n == 1 else "well"} for n in range(4)))
        worker = start(service)
        service.wait_for(done=3, dead=1)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert worker.left() == []
    (error,) = events[1].errors
    assert text in error["text"]
    if fingerprint:
        assert error["fingerprint"] == fingerprint
    if do != "crash":
        assert f"print of {do}" in error["stdout_tail"] or do in ("hang", "exit")
        assert "print of well" not in error["stdout_tail"]
    is_same_process = do in ("raise", "object", "nan", "large")
    assert len({result["pid"] for result in service.results()}) == (1 if is_same_process else 2)


@bare_and_isolated
def test_prints_and_children_do_not_reach_the_descriptors(start: Start, script: Script) -> None:
    with FakeService(args=script(TASK), warm=True) as service:
        service.publish({"do": "fds"}, {"do": "subprocess fds"}, {"do": "fork", "n": 3}, {"n": 4})
        start(service)
        service.wait_for(done=4)
        (named, own), childs, *rest = service.results()
    assert named is None
    assert [number for number in own if number >= 100] == [100, 101]
    assert max(map(int, childs)) < 100
    assert [result["n"] for result in rest] == [3, 4]


@pytest.mark.parametrize("together", [True, False])
def test_an_answer_given_twice_is_passed_over(start: Start, script: Script, together: bool) -> None:  # noqa: FBT001
    """In one piece with the first, or when the next event has come: the answer that is due counts, each event is tried once."""
    source = f"""{FRAMES}
last = None
while (got := read()) is not None:
    due = answer(got[0], b"[%s,%d]" % (got[1], os.getpid()))
    say(due, answer(got[0], b"0")) if {together} else say(*[last] if last else [], due)
    last = due
"""
    with FakeService(args=script(source), warm=True, attempts=1) as service:
        events = service.publish(*range(20))
        worker = start(service)
        service.wait_for(done=20)
        service.tell_to("finish")
        assert worker.wait() == 0
    assert [n for n, _ in service.results()] == list(range(20))
    assert len({pid for _, pid in service.results()}) == 1
    told = [line for line in map(json.loads, worker.said.splitlines()) if line["what"] == "answer given before"]
    assert [(line["event"], line["fence"]) for line in told] == [(events[0].name, 1)]


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ("answer(dict(got[0], event='EV-00000000000000ff'))", "the task answered another event than the one"),
        ("answer(dict(got[0], fence=7), b'1')", "the task answered another event than the one"),
        (
            "due, answer(dict(got[0], event='EV-00000000000000ff'), b'1')",
            "the task answered another event than the one",
        ),
        ("due, b'and more'", "the task did not answer in frames"),
        ("*[first] * 200, due", "the task gives answers that it has given before, again and again"),
    ],
)
def test_an_answer_to_an_event_that_was_never_given_is_an_error(
    start: Start, script: Script, answers: str, text: str
) -> None:
    source = f"""{FRAMES}
first = None
while (got := read()) is not None:
    due = answer(got[0], b"1")
    say({answers}) if got[1] == b'"bad"' else say(due)
    first = first or due
"""
    with FakeService(args=script(source), warm=True, attempts=1) as service:
        _, bad, _ = service.publish("good", "bad", "good")
        start(service)
        service.wait_for(done=2, dead=1)
    assert text in bad.errors[0]["text"]


def test_a_killed_process_costs_one_attempt(start: Start, script: Script) -> None:
    with FakeService(args=script(TASK), warm=True, attempts=2) as service:
        service.publish({"n": 0})
        start(service)
        service.wait_for(done=1)
        (event,) = service.publish({"do": "hang"})
        service.wait(lambda: event.state == "in work", "it is at work")
        os.kill(service.results()[0]["pid"], signal.SIGKILL)
        service.wait(lambda: event.errors, "the attempt has failed")
        assert "killed by signal 9, SIGKILL" in event.errors[0]["text"]


@bare_and_isolated
def test_children_of_a_warm_task_are_gone_at_the_end(start: Start, script: Script) -> None:
    with FakeService(args=script(TASK), warm=True) as service:
        service.publish({"do": "child"})
        worker = start(service)
        service.wait_for(done=1)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert worker.left() == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("print('I know nothing of events')", "it ended (exit code 0) before it asked for an event"),
        ("import time; time.sleep(3600)", "it did not ask for an event within 1 s"),
        ("import os; os.write(int(os.environ['MUSTER_TASK_FDS'].split(',')[1]), b'hello' * 4)", "in frames"),
        ("raise RuntimeError('no data')", "task failed (exit code 1): Traceback"),
    ],
)
def test_a_program_that_is_not_warm_is_told_how_to_be(start: Start, script: Script, source: str, text: str) -> None:
    with FakeService(args=script(source), warm=True, attempts=1) as service:
        (event,) = service.publish(1)
        worker = start(service, TASK_START_S=1)
        service.wait_for(dead=1)
        assert text in event.errors[0]["text"]
        assert ("muster.task.run" in event.errors[0]["text"]) == ("RuntimeError" not in source)
        assert worker.left() == []


def test_thousands_of_events_a_second(start: Start, script: Script) -> None:
    """A floor that a loaded machine keeps, far below what a quiet one does (docs/benchmarks.md)."""
    with FakeService(args=script(TASK), warm=True) as service:
        service.publish({"n": 0})
        start(service)
        service.wait_for(done=1)
        began = time.monotonic()
        service.publish(*({"n": n} for n in range(5000)))
        service.wait_for(done=5001, deadline_s=40)
        assert 5000 / (time.monotonic() - began) > 500
        assert service.requests["step"] < 1000
