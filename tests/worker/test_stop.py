"""Does a worker end when it is told to, by whomever, and is nothing left of it then?"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.conftest import Worker, bare_and_isolated
from worker.fake_service import FakeService
from worker.test_service_trouble import GATED, gated

pytestmark = pytest.mark.system

Start = Callable[..., Worker]
Script = Callable[[str], str]


def at_work(service: FakeService, tmp_path: Path, count: int) -> None:
    tally = tmp_path / "tally"
    service.wait(lambda: tally.exists() and len(tally.read_text().split()) == count, f"{count} at work")


@pytest.mark.parametrize("how", ["finish", "SIGTERM", "SIGINT"])
def test_what_is_at_work_may_end_and_the_rest_goes_back(start: Start, script: Script, tmp_path: Path, how: str) -> None:
    with FakeService(args=script(GATED), slots=2, lease_s=0.6) as service:
        events = service.publish(*(gated(tmp_path, n) for n in range(4)))
        worker = start(service)
        at_work(service, tmp_path, 2)
        if how == "finish":
            service.tell_to("finish")
        else:
            worker.process.send_signal(getattr(signal, how))
        _wait(lambda: "stopping" in worker.said, "the worker has heard it")
        (tmp_path / "gate").touch()
        assert worker.wait() == 0
        assert [event.state for event in events] == ["done", "done", "waiting", "waiting"]
        assert [event.attempts for event in events] == [0, 0, 0, 0]
        assert service.sessions[-1].left is not None
        assert worker.left() == []
        assert how in worker.ended["why"]


@bare_and_isolated
def test_what_takes_longer_than_the_grace_is_given_back(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        worker = start(service, GRACE_S=0.5)
        at_work(service, tmp_path, 1)
        worker.terminate()
        assert worker.wait() == 0
        assert (event.state, event.attempts, event.history) == ("waiting", 0, ["requeued"])
        assert worker.left() == []


def test_tasks_of_a_finished_workflow_have_the_services_grace(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED), slots=2) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        worker = start(service, GRACE_S=0)
        at_work(service, tmp_path, 1)
        service.tell_to("finish", grace_s=60)
        _wait(lambda: "stopping" in worker.said, "the worker has heard it")
        worker.terminate()  # as the pool does
        service.wait(lambda: service.renewed, "the worker has heard that, too: its own grace would be over")
        (tmp_path / "gate").touch()
        assert worker.wait() == 0
        assert (event.state, event.history) == ("done", ["done"])


@pytest.mark.parametrize("is_signalled", [False, True])
def test_tasks_of_a_finished_workflow_are_stopped_after_the_services_grace(
    start: Start,
    script: Script,
    tmp_path: Path,
    is_signalled: bool,  # noqa: FBT001
) -> None:
    # With one slot nothing is parked, and no renewal is due for 20 s: only the signal makes the worker ask, and ask again.
    with FakeService(args=script(GATED), slots=1 if is_signalled else 2, lease_s=60) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        worker = start(service, GRACE_S=600)
        at_work(service, tmp_path, 1)
        began = time.monotonic()
        if is_signalled:
            worker.terminate()
            service.wait(lambda: service.renewed, "it has asked in vain")
        service.tell_to("finish", grace_s=0.7)
        assert worker.wait() == 0
        assert 0.7 <= time.monotonic() - began < 10
        assert (event.state, event.attempts, event.history) == ("waiting", 0, ["requeued"])
        assert worker.left() == []


@bare_and_isolated
@pytest.mark.parametrize("how", ["abort", "second SIGTERM"])
@pytest.mark.parametrize("warm", [False, True])
def test_an_abort_kills_at_once(start: Start, script: Script, tmp_path: Path, how: str, warm: bool) -> None:  # noqa: FBT001
    source = f"""
import pathlib, subprocess, time
from muster import task
def handle(event):
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    pathlib.Path({str(tmp_path / "tally")!r}).write_text("1")
    time.sleep(3600)
task.run(handle)
"""
    with FakeService(args=script(source), warm=warm, lease_s=0.6) as service:
        (event,) = service.publish(1)
        worker = start(service, GRACE_S=60)
        at_work(service, tmp_path, 1)
        began = time.monotonic()
        if how == "abort":
            service.tell_to("abort")
        else:
            worker.terminate()
            _wait(lambda: "stopping" in worker.said, "the first was heard")
            worker.terminate()
        assert worker.wait() == 0
        assert time.monotonic() - began < 10
        assert worker.left() == []
        assert (event.state, event.attempts) == ("waiting", 0)


def test_a_worker_whose_workflow_is_stopped_for_a_while_gives_back_what_waits_and_stays(
    start: Start, script: Script, tmp_path: Path
) -> None:
    with FakeService(args=script(GATED), slots=1) as service:
        events = service.publish(*(gated(tmp_path, n) for n in range(12)))
        worker = start(service)
        at_work(service, tmp_path, 1)
        service.hold(is_held=True)
        (tmp_path / "gate").touch()
        service.wait(lambda: not service.at_work and service.parked == 1, "it waits, with nothing in hand")
        # One that had been taken between the first one's end and the word is done as well.
        assert [event.state for event in events].count("done") <= 3
        assert all(event.state in ("done", "waiting") and event.attempts == 0 for event in events)
        service.hold(is_held=False)
        service.wait_for(done=12)
        service.tell_to("finish")
        assert worker.wait() == 0


def test_an_idle_worker_that_was_at_work_ends_at_once(start: Start, script: Script) -> None:
    """Its last results went with the call that is parked."""
    with FakeService(args="true") as service:
        service.publish(*range(5))
        worker = start(service)
        service.wait_for(done=5)
        service.wait(lambda: service.parked == 1, "it is parked")
        worker.terminate()
        assert worker.wait(5) == 0
        assert worker.ended["why"] == "asked to end by SIGTERM"
        assert worker.ended["counts"] == {"done": 5}


def test_a_worker_without_an_event_for_as_long_as_it_may_be_ends_by_itself(start: Start, script: Script) -> None:
    with FakeService(args="true") as service:
        service.publish(*range(5))
        worker = start(service, IDLE_S=0.5)
        assert worker.wait() == 0
        assert [event.state for event in service.events.values()] == ["done"] * 5
        assert worker.ended["why"] == "no event for 0.5 s (MUSTER_WORKER_IDLE_S)"
        assert service.sessions[0].left == worker.ended["why"]


def test_a_long_task_is_not_idle(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        (event,) = service.publish(gated(tmp_path, 1))
        worker = start(service, IDLE_S=0.1)
        at_work(service, tmp_path, 1)
        service.wait(lambda: time.monotonic() - event.leased_at[0] > 0.5, "it goes on for longer than it may be idle")
        (tmp_path / "gate").touch()
        assert worker.wait() == 0
        assert event.state == "done"


def test_an_idle_worker_ends_at_once(start: Start, script: Script) -> None:
    with FakeService() as service:
        worker = start(service)
        service.wait(lambda: service.parked == 1, "it is parked")
        worker.terminate()
        assert worker.wait(5) == 0
        assert service.sessions[0].left == "asked to end by SIGTERM"


def test_a_worker_whose_service_is_away_ends_nevertheless(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        service.publish(gated(tmp_path, 1))
        worker = start(service, GRACE_S=0.2)
        at_work(service, tmp_path, 1)
        service.fail_with = lambda _: -1
        worker.terminate()
        assert worker.wait(15) == 0
        assert worker.left() == []


def test_a_worker_that_cannot_enrol_ends_when_asked(start: Start) -> None:
    with FakeService() as service:
        service.fail_with = lambda _: 503
        worker = start(service)
        service.wait(lambda: service.requests["enrol"] >= 2, "it tries")
        worker.terminate()
        assert worker.wait(5) == 0


def test_a_killed_worker_leaves_tasks_that_its_next_start_stops(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        service.publish(gated(tmp_path, 1))
        worker = start(service)
        at_work(service, tmp_path, 1)
        worker.process.kill()
        worker.process.wait()
        (stray,) = worker.left()
        again = Worker(worker.folder, worker.process.args, _environment(worker, service))  # type: ignore[arg-type]
        try:
            at_work(service, tmp_path, 2)
            assert stray not in worker.left()
        finally:
            again.close()


def _environment(worker: Worker, service: FakeService) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "MUSTER_WORKER_URL": service.url,
        "MUSTER_WORKER_ENROL_FILE": str(worker.folder.parent / "enrol.json"),
        "MUSTER_WORKER_DIR": str(worker.folder),
        "MUSTER_WORKER_START": "1",
    }


def _wait(look: Callable[[], object], what: str, deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.01)
