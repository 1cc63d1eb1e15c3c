"""Is anything lost or doubled when a process is killed with SIGKILL while it works?"""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from harness.processes import attempts_alive, find_with, workers_alive
from harness.stack import Stack
from harness.tally import Tally, check_after_fault, check_cause_is_shown
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.synchronous import Client

pytestmark = pytest.mark.system

EVENTS = 60
ATTEMPTS = 5
CAUSES = {"worker": "worker lost", "warm task": "signal", "task": "signal"}
"""What the user is told of attempts that were killed, by who was. The death of service or agent costs nobody an attempt."""


def submit(
    client: Client, tally: Tally, *, warm: bool, workers: int = 2, slots: int = 1, killer: int | None = None
) -> str:
    task = tally.make_task(
        n_workers=workers,
        warm=warm,
        lease_s=2.0,
        retry_s=0.3,
        slots=slots,
    )
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
    workflow = client.submit_workflow(new).workflow_id
    tally.publish(client, workflow, (an_event(n, killer) for n in range(EVENTS)), close=True)
    return workflow


def an_event(n: int, killer: int | None) -> dict[str, object]:
    """Slow enough for somebody to be killed meanwhile; as fast as can be where one of them is to kill its worker."""
    return {"n": n, "sleep_s": 0.05} if killer is None else {"n": n, "kills_worker": n == killer}


def check_end(client: Client, stack: Stack, workflow: str, tally: Tally) -> None:
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "the workflow finishes itself", deadline_s=90)
    check_after_fault(stack, client, workflow, tally, done=EVENTS)


@pytest.mark.parametrize("victim", ["worker", "warm task", "task", "service", "agent", "service and agent"])
def test_a_kill_in_the_middle_of_work(stack: Stack, victim: str, tmp_path: Path) -> None:
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = submit(client, tally, warm=victim != "task")
        wait_for(lambda: client.get_progress(workflow).input.done >= 5, "work is going on")

        match victim:
            case "worker":
                os.kill(min(workers_alive(stack.root)), signal.SIGKILL)
            case "warm task" | "task":
                # One that was seen at work may have ended before the signal came.
                wait_for(lambda: kill_a_task(stack.root) and client.get_progress(workflow).failures, "one was killed")
            case "service":
                stack.kill("serve")
                told = stack.run("workflow", "show", workflow)
                assert (told.returncode, "does not answer" in told.stderr) == (5, True), told.stderr
                stack.start_serve()
            case "agent":
                stack.kill("site")
                stack.start_site()
            case _:
                stack.kill("serve")
                stack.kill("site")
                stack.start_serve()
                stack.start_site()

        check_end(client, stack, workflow, tally)
        if victim in CAUSES:
            check_cause_is_shown(stack, workflow, CAUSES[victim])


@pytest.mark.parametrize("slots", [1, 3])
def test_an_event_that_kills_its_worker_answers_for_itself(stack: Stack, slots: int, tmp_path: Path) -> None:
    """Its fast neighbours are done and not handed in, or at work beside it, when the worker dies; and they go back with it."""
    stack.start_serve()
    stack.start_site(MUSTER_SITE_WORKER_RESTART_S="0.05", MUSTER_SITE_WORKER_RESTART_S_MAX="0.2")
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = submit(client, tally, warm=True, workers=1, slots=slots, killer=40)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)

        check_after_fault(stack, client, workflow, tally, done=EVENTS - 1, dead=1)
        [letter] = stack.run_json("dead-letter", "list", workflow)["dead_letters"]
        assert (letter["event"], letter["attempts"]) == (tally.published[40], ATTEMPTS)
        deaths_together = 1 if slots == 1 else 2
        assert ATTEMPTS <= tally.runs()[40] <= ATTEMPTS + deaths_together
        failed_beside_it = client.get_progress(workflow).failures - ATTEMPTS
        assert failed_beside_it <= slots * deaths_together, "its neighbours lose next to nothing"


def test_ten_thousand_events_of_which_each_hundredth_kills_its_worker(stack: Stack, tmp_path: Path) -> None:
    """Once each: a worker dies a hundred times, with whatever it had in hand, and the account is right to the event."""
    events, ruins = 10_000, tmp_path / "ruins"
    ruins.mkdir()
    stack.start_serve()
    stack.start_site(MUSTER_SITE_WORKER_RESTART_S="0.05", MUSTER_SITE_WORKER_RESTART_S_MAX="0.2")
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        task = tally.make_task(n_workers=2, lease_s=5.0, retry_s=0.2, attempts=20)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        bodies = ({"n": n} | ({} if n % 100 else {"kills_worker_once": str(ruins / str(n))}) for n in range(events))
        tally.publish(client, workflow, bodies, batch=1000, close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=240)

        assert len(list(ruins.iterdir())) == events // 100
        check_after_fault(stack, client, workflow, tally, done=events)
        failures = client.get_progress(workflow).failures
        assert events // 100 <= failures <= events // 50, "their neighbours lose next to nothing"


def kill_a_task(root: Path) -> bool:
    """Kill the oldest task there is; was there one?"""
    tasks = attempts_or_tasks(root)
    if tasks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(min(tasks), signal.SIGKILL)
    return bool(tasks)


def attempts_or_tasks(root: Path) -> dict[int, str]:
    """Processes of tasks, warm ones included."""
    return {
        pid: command
        for pid, command in find_with("TALLY").items()
        if "tally.py" in command and str(root) in str(_cwd(pid))
    }


def _cwd(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")


def test_muster_up_is_killed_whole_and_goes_on(stack: Stack, tmp_path: Path) -> None:
    stack.start_up()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = submit(client, tally, warm=True)
        wait_for(lambda: client.get_progress(workflow).input.done >= 5, "work is going on")

        stack.kill("up")
        for pid in workers_alive(stack.root):
            os.kill(pid, signal.SIGKILL)
        stack.start_up()

        check_end(client, stack, workflow, tally)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_muster_up_stops_with_no_worker_left_and_the_next_start_goes_on(
    stack: Stack, how: signal.Signals, tmp_path: Path
) -> None:
    stack.start_up()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        workflow = submit(client, tally, warm=True)
        wait_for(lambda: client.get_progress(workflow).input.done >= 5, "work is going on")

        assert stack.stop("up", how=how) == 0

        assert workers_alive(stack.root) == {}
        assert attempts_alive(stack.root) == {}
        assert "Traceback" not in stack.parts["up"].log.read_text()
        stack.start_up()
        check_end(client, stack, workflow, tally)
