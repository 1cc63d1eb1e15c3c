"""Is anything lost, doubled or left behind, wherever a process is killed between a write, an act and its confirmation?

Every crash point of the registry is walked, twice each: the process that reaches it kills itself, is started again as systemd would,
reaches it again and kills itself again. Meanwhile a user goes on: submits, publishes, waits, consumes, aborts, mends and replays.
"""

import json
import os
import signal
from pathlib import Path

import pytest
from msgspec import Raw

from harness.processes import workers_alive
from harness.stack import Stack
from harness.tally import Tally, check_account, check_after_fault, consume_values
from harness.waiting import wait_for
from muster.client.shapes.events import NewEventBody
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.workflows import ReviseTask
from muster.client.synchronous import Client
from muster.worker.crash_points import CRASH_POINTS

pytestmark = pytest.mark.system

EVENTS = 30


def a_workflow(tally: Tally, *, warm: bool, finish_when_done: bool) -> NewWorkflow:
    task = tally.make_task(
        warm=warm,
        lease_s=2.0,
        retry_s=0.3,
    )
    return NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=finish_when_done)


@pytest.mark.parametrize("point", sorted(CRASH_POINTS))
def test_twice_at_every_crash_point_nothing_is_lost_or_doubled(
    stack: Stack, point: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    part = point.split(".", maxsplit=1)[0]
    if part == "condor":
        stack.environment |= request.getfixturevalue("condor").environment
    crash = {"crash": point, "times": 2}
    stack.start_serve(**(crash if part == "server" else {}))  # type: ignore[arg-type]
    stack.start_site(**(crash if part in {"site", "pool", "condor", "worker"} else {}))  # type: ignore[arg-type]
    finishing, aborted = Tally(tmp_path / "finishing.jsonl"), Tally(tmp_path / "aborted.jsonl")

    with stack.keep_running("serve", "site"), stack.client() as client:
        _finish_by_itself(client, stack, finishing)
        _abort_in_the_middle(client, stack, aborted)
        if point == "site.stop.intended":
            # Passed once a taskforce, and not by one whose workers have ended by themselves before the order to stop comes.
            _abort_in_the_middle(client, stack, Tally(tmp_path / "aborted-too.jsonl"))
        if part == "server":
            _mend_and_replay(client, tmp_path / "needed.txt")
            workflow = _stop_for_a_while(client, stack, Tally(tmp_path / "stopped.jsonl"))
            if (
                point == "server.trust.committed"
            ):  # at others it may be killed before it has written down how the host does
                _trust(client, workflow)
        if ".file." in point:
            _carry_files(client, tmp_path)
        # asking is not enough: the walk must have come through the point, twice
        crashes = stack.root / f"crashes-{point}"
        wait_for(lambda: crashes.read_text() == "0", f"{point} is reached twice (left: {crashes.read_text()})")


def _finish_by_itself(client: Client, stack: Stack, tally: Tally) -> None:
    """Half of the events, a worker killed with work in hand, the other half; then everything must be done once."""
    workflow = client.submit_workflow(a_workflow(tally, warm=True, finish_when_done=True)).workflow_id
    tally.publish(client, workflow, ({"n": n, "sleep_s": 0.02} for n in range(EVENTS // 2)))
    wait_for(lambda: client.get_progress(workflow).input.done > 2, "some events are done")
    victims = workers_alive(stack.root)
    if victims:
        os.kill(min(victims), signal.SIGKILL)
    tally.publish(client, workflow, ({"n": n} for n in range(EVENTS // 2, EVENTS)), close=True)

    wait_for(lambda: client.get_workflow(workflow).state == "finished", "the workflow finishes itself", deadline_s=90)

    account = check_after_fault(stack, client, workflow, tally, done=EVENTS)
    assert account.state == "finished"
    assert len(client.get_workflow(workflow).taskforces) == 1


def _abort_in_the_middle(client: Client, stack: Stack, tally: Tally) -> None:
    """Abort with work in hand: what ran is stopped, what was done stays done, the rest waits."""
    workflow = client.submit_workflow(a_workflow(tally, warm=False, finish_when_done=False)).workflow_id
    tally.publish(client, workflow, ({"n": n, "sleep_s": 0 if n < 4 else 60} for n in range(10)))
    wait_for(lambda: client.get_progress(workflow).input.done >= 4, "the short events are done")
    wait_for(lambda: client.get_progress(workflow).input.in_work > 0, "a long event is in work")

    client.abort_workflow(workflow)

    account = check_after_fault(stack, client, workflow, tally, done=4)
    assert account.state == "aborted"


def _trust(client: Client, workflow: str) -> None:
    """Trust the workflow's host twice: it is trusted, and its record is what it was."""
    [before] = wait_for(lambda: client.list_hosts(workflow).hosts, "how its host does is written down")
    for _ in range(2):
        [after] = client.trust_host(workflow, before.host).hosts
        assert after.trusted_by
        assert (after.done >= before.done, after.rests_until) == (True, None)


def _stop_for_a_while(client: Client, stack: Stack, tally: Tally) -> str:
    """Paused, drained, resumed and mended with work in hand: everything is done once, by the old workers or by new ones."""
    workflow = client.submit_workflow(a_workflow(tally, warm=True, finish_when_done=True)).workflow_id
    tally.publish(client, workflow, ({"n": n, "sleep_s": 0.02} for n in range(EVENTS)), close=True)
    wait_for(lambda: client.get_progress(workflow).input.done > 2, "some events are done")

    client.pause_workflow(workflow)
    client.drain_workflow(workflow)
    client.resume_workflow(workflow)
    for timeout_s in (60, 61):
        client.revise_task(client.get_workflow(workflow).tasks[0].task_id, ReviseTask(timeout_s=timeout_s))

    wait_for(lambda: client.get_workflow(workflow).state == "finished", "the workflow finishes itself", deadline_s=90)
    check_after_fault(stack, client, workflow, tally, done=EVENTS)
    [task] = client.get_workflow(workflow).tasks
    assert [one.changes for one in task.revisions] == [{"timeout_s": 60}, {"timeout_s": 61}]
    return workflow


def _carry_files(client: Client, folder: Path) -> None:
    """Large bodies go in, through a task and out again: each is one event, whole."""
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="cp {{INFILE}} {{OUTFILE}}",
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        lease_s=2.0,
        retry_s=0.1,
        n_workers=1,
    )
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
    workflow = client.submit_workflow(new).workflow_id
    bodies = [bytes([number]) + b"\xff" * (2 << 20) for number in range(3)]
    for body in bodies:
        path = folder / "sent"
        path.write_bytes(body)
        file = client.upload_file(workflow, path).file
        client.publish(workflow, "in", [NewEventBody(Raw(f'"{file}"'.encode()), kind="file")])
    client.close_queue(workflow, "in")
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "the workflow finishes itself", deadline_s=90)

    check_account(client, workflow, published=3, done=3)
    fetched = []
    for event in client.consume(workflow, "out"):
        client.download_file(workflow, json.loads(bytes(event.body))["file"], folder / "fetched")
        fetched.append((folder / "fetched").read_bytes())
    assert sorted(fetched) == bodies


def _mend_and_replay(client: Client, needed: Path) -> None:
    """Every event fails, the workflow finishes itself, the cause is mended, the dead letters go on."""
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args=f"cp {needed} {{{{OUTFILE}}}}",
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        attempts=1,
        n_workers=1,
    )
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
    view = client.submit_workflow(new)
    workflow = view.workflow_id
    client.add_workers(view.tasks[0].task_id, location="local", n_workers=1)
    client.publish(workflow, "in", range(4))
    wait_for(lambda: client.get_progress(workflow).input.dead == 4, "all events are dead letters")
    client.close_queue(workflow, "in")
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "the workflow finishes itself")
    check_account(client, workflow, published=4, done=0, dead=4)

    needed.write_text("found")
    replayed = client.replay_dead_letters(workflow)

    assert (len(replayed.replayed), replayed.reopened) == (4, True)
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "the workflow finishes itself again")
    check_account(client, workflow, published=4, done=4)
    assert consume_values(client, workflow, "out") == ["found"] * 4
    made = [one.phase_change_log[0].context for one in client.get_workflow(workflow).taskforces]
    assert sorted(context.partition(" when ")[2][:12] for context in made) == ["", "adding more ", "dead letters"]
