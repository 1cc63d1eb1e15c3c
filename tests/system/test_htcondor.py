"""Does a workflow run on a real HTCondor pool, from one POST to the results and the account, with every attempt found in its history?"""

from pathlib import Path

import pytest

from harness.stack import Stack
from harness.tally import check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.events import EventView
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from muster.client.synchronous import Client
from services.condor import Condor

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(240)]

SQUARE = """
import os
from pathlib import Path

def square(event):
    offset = int(Path("offset").read_text())
    if event["n"] == 13:
        raise ValueError(f"no square of {event['n']} today")
    return {"n": event["n"], "squared": event["n"] ** 2 + offset, "where": os.environ["WHERE"]}

from muster import task
task.run(square)
"""


@pytest.fixture
def on_condor(stack: Stack, condor: Condor) -> Stack:
    """A stack whose agent stands beside the pool."""
    stack.environment |= {**condor.environment, "MUSTER_SITE_CONDOR_REQUIREMENTS": "true"}
    stack.start_serve()
    stack.start_site(f"site-{stack.host}")
    return stack


def test_every_event_is_done_once_on_the_pool(on_condor: Stack, condor: Condor, tmp_path: Path) -> None:
    (tmp_path / "square.py").write_text(SQUARE)
    (tmp_path / "offset").write_text("7")
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="python3 square.py",
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        infile_ext="json",
        outfile_ext="json",
        n_workers=3,
        warm=True,
        attempts=1,
        task_env={"WHERE": "a pool, it's said"},
        worker_config=WorkerConfig(worker_memory="200M", worker_disk="100M", condor_requirements="Cpus >= 1"),
        input_files=[str(tmp_path / "square.py"), str(tmp_path / "offset")],
    )
    with on_condor.client() as client:
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", [{"n": n} for n in range(20)], close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)

        values = consume_values(client, workflow, "out")
        assert sorted((one["n"], one["squared"]) for one in values) == [(n, n * n + 7) for n in range(20) if n != 13]
        assert {one["where"] for one in values} == {"a pool, it's said"}
        check_account(client, workflow, published=20, done=19, dead=1)
        [taskforce] = client.get_workflow(workflow).taskforces
        assert taskforce.cluster_id is not None
        attempts = [attempt for event in list_events(client, workflow) for attempt in event.history]
        assert len(attempts) == 20
        ran = {attempt.worker.partition("@")[0] for attempt in attempts}
        assert ran <= {f"{taskforce.cluster_id}.{proc}" for proc in range(3)}
        wait_for(lambda: is_over(client, taskforce.taskforce_uuid), "the cluster is over")
        assert ran <= find_in_history(condor, taskforce.cluster_id)


def list_events(client: Client, workflow: str) -> list[EventView]:
    page = client.list_events(workflow, queue="in", limit=100)
    return [client.get_event(one.event) for one in page.events]


def is_over(client: Client, taskforce: str) -> bool:
    return client.get_taskforce(taskforce).phase in ("condor-rm", "condor-complete")


def find_in_history(condor: Condor, cluster: int) -> set[str]:
    """Its procs that have left the queue."""
    told = condor.run("condor_history", str(cluster), "-af", "ProcId")
    return {f"{cluster}.{proc}" for proc in told.split()}
