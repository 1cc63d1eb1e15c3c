"""Can single workers of a real HTCondor pool be held, released, removed and read about, with nothing lost, by who never learnt HTCondor?"""

import pytest

from harness.stack import Stack
from harness.tally import check_account, count_states
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from services.condor import Condor

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(240)]


def make_task(**changes: object) -> NewTask:
    fields: dict[str, object] = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": "cp {{INFILE}} {{OUTFILE}}",
        "input_queue_aliases": ["in"],
        "n_workers": 3,
        "worker_config": WorkerConfig(worker_memory="100M", worker_disk="50M", condor_requirements="Cpus >= 1"),
    }
    return NewTask(**fields | changes)  # type: ignore[arg-type]


@pytest.fixture
def on_condor(stack: Stack, condor: Condor) -> Stack:
    """A stack whose agent stands beside the pool."""
    stack.environment |= {**condor.environment, "MUSTER_SITE_CONDOR_REQUIREMENTS": "true"}
    stack.start_serve()
    stack.start_site(f"site-{stack.host}")
    return stack


def test_workers_are_held_released_and_removed_in_the_middle_of_the_events(on_condor: Stack, condor: Condor) -> None:
    with on_condor.client() as client:
        new = NewWorkflow(tasks=[make_task()], public_queue_aliases=["in"], finish_when_done=True)
        workflow = client.submit_workflow(new)
        uuid = workflow.taskforces[0].taskforce_uuid
        wait_for(lambda: client.get_taskforce(uuid).workers == 3, "all are up", deadline_s=90)
        client.publish(workflow.workflow_id, "in", [{"n": n} for n in range(100)])
        cluster = client.get_taskforce(uuid).cluster_id

        held = on_condor.run("worker", "hold", uuid, "0", "1", "--reason", "a look inside")

        assert (held.returncode, held.stdout) == (0, f"2 workers of {uuid} held\n"), held.stderr
        wait_for(
            lambda: count_states(client.get_taskforce(uuid), whole=False) == {"HELD": 2, "RUNNING": 1},
            "two are held",
            deadline_s=90,
        )
        wait_for(lambda: client.get_taskforce(uuid).workers == 1, "their sessions have ended", deadline_s=90)
        reason = condor.run("condor_q", f"{cluster}.0", "-af", "HoldReason").strip()
        assert reason.startswith("asked for by")
        assert ": a look inside" in reason
        wait_for(lambda: client.get_taskforce(uuid).reasons, "why they wait is told", deadline_s=60)
        assert "a look inside" in client.get_taskforce(uuid).reasons[0]

        removed = on_condor.run("worker", "remove", uuid, "1")
        released = on_condor.run("worker", "release", uuid, "--all")

        assert [one.returncode for one in (removed, released)] == [0, 0], (removed.stderr, released.stderr)
        wait_for(
            lambda: count_states(client.get_taskforce(uuid), whole=False) == {"REMOVED": 1, "RUNNING": 2},
            "one is gone for good",
            deadline_s=90,
        )
        client.publish(workflow.workflow_id, "in", [{"n": n} for n in range(100)], close=True)
        wait_for(lambda: client.get_workflow(workflow.workflow_id).state == "finished", "it finishes", deadline_s=90)
        check_account(client, workflow.workflow_id, published=200, done=200, dead=0)
        wait_for(lambda: client.get_taskforce(uuid).phase == "condor-complete", "it is over", deadline_s=90)
    assert condor.run("condor_q", str(cluster), "-af", "ProcId").strip() == ""


def test_what_htcondor_says_of_a_worker_is_read_by_one_command_also_when_all_is_over(
    on_condor: Stack, condor: Condor
) -> None:
    with on_condor.client() as client:
        task = make_task(n_workers=2)
        workflow = client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=["in"]))
        uuid = workflow.taskforces[0].taskforce_uuid
        wait_for(lambda: client.get_taskforce(uuid).workers == 2, "both are up", deadline_s=90)
        cluster = client.get_taskforce(uuid).cluster_id

        running = on_condor.run("worker", "logs", uuid, "1")

        assert running.returncode == 0, running.stderr
        assert f"({cluster:03}.001.000)" in running.stdout
        assert f"({cluster:03}.000.000)" not in running.stdout
        assert '"what": "started"' in running.stdout  # its own words, from the machine where it runs
        client.abort_workflow(workflow.workflow_id)
        wait_for(lambda: client.get_taskforce(uuid).phase == "condor-complete", "it is over", deadline_s=90)
        over = on_condor.run("worker", "logs", uuid, "1", "--stream", "events")
        assert (over.returncode, "Job was aborted" in over.stdout) == (0, True), over.stderr
