"""Do `muster serve` and `muster site`, as processes, tell systemd that they work, live, and end?"""

import signal

import pytest

from harness.notified import listen_as_systemd
from harness.processes import find_with, workers_alive
from harness.stack import Stack
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow

pytestmark = [pytest.mark.system, pytest.mark.server]


def test_the_service_tells_that_it_is_ready_lives_and_stops(stack: Stack) -> None:
    with listen_as_systemd() as heard:
        stack.start_serve(NOTIFY_SOCKET=heard.address, WATCHDOG_USEC="200000")
        assert stack.url in heard.wait_for("READY=1")
        heard.wait_for("WATCHDOG=1")
        assert stack.stop("serve") == 0
        assert "STOPPING=1" in heard.drain()


def test_the_agent_tells_the_same_and_its_workers_tell_nothing(stack: Stack) -> None:
    stack.start_serve()
    with listen_as_systemd() as heard:
        stack.start_site(NOTIFY_SOCKET=heard.address, WATCHDOG_USEC="200000", MUSTER_SITE_CONTAINERS="none")
        assert "local" in heard.wait_for("READY=1")
        task = NewTask(
            cluster_locations=["local"],
            task_image="",
            task_args="cat {{INFILE}}",
            input_queue_aliases=["in"],
            infile_ext="json",
            n_workers=1,
        )
        with stack.client() as client:
            client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=["in"]))
        workers = wait_for(lambda: workers_alive(stack.root), "a worker runs")
        assert not set(find_with("NOTIFY_SOCKET")) & set(workers)
        heard.wait_for("WATCHDOG=1")
        assert stack.stop("site", how=signal.SIGTERM) == 0
        assert "STOPPING=1" in heard.drain()


def test_the_agent_lives_on_for_its_supervisor_while_the_service_is_away(stack: Stack) -> None:
    stack.start_serve()
    stack.kill("serve")
    with listen_as_systemd() as heard:
        stack.start_site(NOTIFY_SOCKET=heard.address, WATCHDOG_USEC="200000")
        heard.wait_for("READY=1")
        heard.wait_for("WATCHDOG=1")
