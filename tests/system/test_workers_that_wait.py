"""Does a user see, in the words of a real HTCondor pool, where workers run, that one was held, why, and that it is well again?"""

import os

import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from services.condor import Condor

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(240)]

TASK = NewTask(
    cluster_locations=["local"],
    task_image="",
    task_args="cp {{INFILE}} {{OUTFILE}}",
    input_queue_aliases=["in"],
    n_workers=2,
    worker_config=WorkerConfig(worker_memory="100M", worker_disk="50M", condor_requirements="Cpus >= 1"),
)


def test_a_worker_that_is_held_is_told_with_why_until_it_is_released(
    stack: Stack, condor: Condor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "CONDOR_IDS", f"{os.getuid()}.{os.getgid()}"
    )  # which its programs ask for where nobody is `condor`
    stack.environment |= {
        "CONDOR_CONFIG": str(condor.config),
        "MUSTER_SITE_POOL": "htcondor",
        "MUSTER_SITE_CONDOR_REQUIREMENTS": "true",
    }
    stack.start_serve()
    stack.start_site(f"site-{stack.host}")
    with stack.client() as client:
        workflow = client.submit_workflow(NewWorkflow(tasks=[TASK], public_queue_aliases=["in"]))
        uuid = workflow.taskforces[0].taskforce_uuid
        wait_for(lambda: client.get_taskforce(uuid).workers == 2, "both are up", deadline_s=90)
        cluster = client.get_taskforce(uuid).cluster_id

        condor.run("condor_hold", f"{cluster}.0")
        wait_for(lambda: client.get_taskforce(uuid).reasons, "why it waits is told", deadline_s=60)
        wait_for(lambda: client.get_taskforce(uuid).workers == 1, "its session has ended", deadline_s=90)
        held = client.get_taskforce(uuid)
        shown, explained = (
            stack.run(*words).stdout
            for words in (("taskforce", "show", uuid), ("workflow", "explain", workflow.workflow_id))
        )
        assert held.facts is not None
        assert (sum(held.facts.holds.values()), sum(held.facts.sites.values())) == (1, 1)
        assert "condor_hold" in held.reasons[0]
        assert held.reasons[0] in shown
        assert held.reasons[0].rstrip(".") in explained
        [up] = stack.run_json("worker", "list", uuid)["workers"]
        assert (up["cluster"], up["proc"]) == (str(cluster), 1)

        condor.run("condor_release", f"{cluster}.0")
        wait_for(lambda: client.get_taskforce(uuid).workers == 2, "it is up again", deadline_s=90)
        wait_for(lambda: not client.get_taskforce(uuid).reasons, "nothing waits any more", deadline_s=60)
        client.abort_workflow(workflow.workflow_id)
        wait_for(lambda: client.get_taskforce(uuid).phase == "condor-complete", "it is over", deadline_s=90)
        over = client.get_taskforce(uuid)
        assert over.facts is not None
        assert (over.reasons, over.facts.holds, over.facts.sites) == ([], {}, {})
