"""Is anything lost or doubled when the service goes away, forgets us, or answers what we did not hope for?"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = pytest.mark.system

Start = Callable[..., Worker]
Script = Callable[[str], str]

GATED = """
import json, os, pathlib, time
event = json.loads(pathlib.Path(os.environ["EWMS_TASK_INFILE"]).read_text())
with open(event["tally"], "a") as tally:
    tally.write(f"{event['n']}\\n")
deadline = time.monotonic() + 30
while not pathlib.Path(event["gate"]).exists() and time.monotonic() < deadline:
    time.sleep(0.005)
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(event["n"]))
"""


def gated(tmp_path: Path, n: int) -> dict[str, object]:
    return {"n": n, "gate": str(tmp_path / "gate"), "tally": str(tmp_path / "tally")}


@pytest.mark.parametrize("trouble", [503, 500, 429, -1])
def test_every_call_may_fail_now_and_then(start: Start, script: Script, trouble: int) -> None:
    numbers = iter(range(1_000_000))
    with FakeService(args="true") as service:
        service.fail_with = lambda _: trouble if next(numbers) % 2 else None
        service.publish(*range(40))
        worker = start(service)
        service.wait_for(done=40)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert service.verdicts == {"done": 40}


def test_answers_may_be_lost(start: Start, script: Script) -> None:
    numbers = iter(range(1_000_000))
    with FakeService(args="true") as service:
        service.drop_answer = lambda _: next(numbers) % 3 == 1
        service.publish(*range(60))
        worker = start(service)
        service.wait_for(done=60)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert set(service.verdicts) == {"done"}
        assert all(event.attempts == 0 and len(event.leased_at) == 1 for event in service.events.values())


def test_a_task_goes_on_while_the_service_is_away(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        start(service)
        service.wait((tmp_path / "tally").exists, "the task is at work")
        service.fail_with = lambda _: -1
        (tmp_path / "gate").touch()
        before = service.requests["step"]
        service.wait(lambda: service.requests["step"] > before + 3, "the worker tries again and again")
        service.fail_with = lambda _: None
        service.wait(lambda: event.state == "done", "the result is handed in")
        assert (event.history, (tmp_path / "tally").read_text()) == (["done"], "1\n")


def test_a_worker_that_is_forgotten_ends_at_last(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        service.publish(gated(tmp_path, 1))
        worker = start(service, OFFLINE_S=1)
        service.wait((tmp_path / "tally").exists, "the task is at work")
        service.fail_with = lambda _: -1
        (tmp_path / "gate").touch()
        assert worker.wait() == 1
        assert "no service for 1 s" in worker.ended["why"]
        assert worker.left() == []


def test_a_session_that_ends_is_begun_again_and_work_at_hand_counts(
    start: Start, script: Script, tmp_path: Path
) -> None:
    """The event was leased again to us meanwhile: the same work goes on, nothing is run twice."""
    with FakeService(args=script(GATED), lease_s=0.3) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        worker = start(service)
        service.wait((tmp_path / "tally").exists, "the task is at work")
        service.end_session()
        service.wait(lambda: len(service.sessions) == 2, "the worker enrols again")
        (tmp_path / "gate").touch()
        service.wait(lambda: event.state == "done", "the result is handed in")
        assert service.verdicts["late"] + service.verdicts["done"] == 1
        assert (tmp_path / "tally").read_text() == "1\n"
        service.tell_to("finish")
        assert worker.wait() == 0
    assert service.results() == [1]


def test_a_late_result_is_handed_in_under_the_new_session(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED), lease_s=0.3) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        start(service)
        service.wait((tmp_path / "tally").exists, "the task is at work")
        with service.changed:
            service.end_session()
            service.waiting.clear()  # nobody else takes it meanwhile
        service.wait(lambda: len(service.sessions) == 2, "the worker enrols again")
        with service.changed:
            service.waiting.append(event)
        (tmp_path / "gate").touch()
        service.wait(lambda: event.state == "done", "the result is handed in")
        assert event.results == [{"kind": "json", "body": 1}]


def test_a_lost_lease_stops_its_task_and_only_that(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED), slots=2, lease_s=0.3) as service:
        first, second = service.publish(gated(tmp_path, 1), gated(tmp_path, 2))
        worker = start(service)
        service.wait((tmp_path / "tally").exists, "one is at work")
        service.wait(lambda: len((tmp_path / "tally").read_text().split()) == 2, "both are at work")
        with service.changed:
            service.lost.add(first.name)
        service.wait(lambda: len(worker.left()) == 1, "the first one's task is stopped")
        (tmp_path / "gate").touch()
        service.wait(lambda: second.state == "done", "the second one is done")
        assert first.history == []
        service.tell_to("finish")
        assert worker.wait() == 0
        assert worker.ended["counts"] == {"done": 1, "lost": 1}


def test_renewals_go_on_while_a_step_is_parked(start: Start) -> None:
    with FakeService(lease_s=0.3) as service:
        start(service)
        service.wait(lambda: service.parked == 1, "a step is parked")
        steps, before = service.requests["step"], service.requests["renew"]
        service.wait(lambda: service.requests["renew"] >= before + 3, "renewals go on")
        assert service.requests["step"] == steps


def test_an_idle_worker_is_told_when_to_come_back(start: Start) -> None:
    with FakeService() as service:
        service.come_back_s = 0.4
        start(service)
        service.wait(lambda: service.requests["step"] >= 3, "it comes back")
        began, before = time.monotonic(), service.requests["step"]
        service.wait(lambda: service.requests["step"] >= before + 3, "and again")
        assert time.monotonic() - began > 0.7
        service.publish(1)
        service.wait_for(done=1)


def test_steps_renew_a_worker_that_holds_nothing(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED), lease_s=6.0) as service:
        service.come_back_s = 0.05
        start(service)
        service.wait(lambda: service.requests["step"] >= 90, "two thirds of a lease are over")
        assert service.requests["renew"] == 0
        (event,) = service.publish(gated(tmp_path, 1))
        service.wait(lambda: service.renewed == [[[event.name, 1]]], "what it holds is renewed")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_result_that_is_refused_spoils_no_other(start: Start, script: Script, status: int, tmp_path: Path) -> None:
    source = """
from muster import task
task.run(lambda event: "poison" if event == 7 else event)
"""
    with FakeService(args=script(source), warm=True, attempts=1) as service:
        judge = service.step

        def step(session, asked):  # type: ignore[no-untyped-def]
            if any(result["body"] == "poison" for one in asked["finished"] for result in one["results"]):
                return status, {"code": "invalid", "error": "a body that we do not like"}
            return judge(session, asked)

        service.step = step  # type: ignore[method-assign]
        events = service.publish(*range(20))
        start(service)
        service.wait_for(done=19, dead=1)
        assert "the result was refused" in events[7].errors[0]["text"]
        assert "a body that we do not like" in events[7].errors[0]["text"]


def test_a_taskforce_that_has_ended(start: Start) -> None:
    with FakeService() as service:
        service.is_ended = True
        worker = start(service)
        assert worker.wait() == 0
        assert worker.ended["why"] == "the taskforce has ended"


def test_a_wrong_secret(start: Start) -> None:
    with FakeService() as service:
        worker = start(service, secret="not the right one")
        assert worker.wait() == 1
        assert "is not that of the taskforce" in worker.ended["why"]
        assert "not the right one" not in worker.said


def test_an_image_is_refused_in_words(start: Start) -> None:
    with FakeService(image="docker.io/library/debian:12") as service:
        worker = start(service, CONTAINERS="none")
        assert worker.wait() == 3
        assert worker.said.splitlines()[-1].startswith("no container runtime here")
        assert service.sessions[0].left is not None


def test_the_service_may_come_later_than_the_worker(start: Start) -> None:
    with FakeService() as service:
        service.fail_with = lambda _: -1
        start(service)
        service.wait(lambda: service.requests["enrol"] >= 3, "it tries again")
        service.fail_with = lambda _: None
        service.publish(1)
        service.wait_for(done=1)


def test_two_workers_of_a_crowd_do_not_share_an_event(start: Start, script: Script, tmp_path: Path) -> None:
    source = f"""
import os
from muster import task
def handle(event):
    with open({str(tmp_path / "tally")!r}, "a") as tally:
        tally.write(f"{{event}}\\n")
    return event
task.run(handle)
"""
    with FakeService(args=script(source), warm=True) as service:
        service.publish(*range(400))
        workers = [start(service, proc=number) for number in range(2)]
        service.wait_for(done=400)
        service.tell_to("finish")
        assert [worker.wait() for worker in workers] == [0, 0]
    assert sorted(map(int, (tmp_path / "tally").read_text().split())) == list(range(400))
    assert threading.active_count() < 50
    assert json.dumps(service.results()) == json.dumps(list(range(400)))
