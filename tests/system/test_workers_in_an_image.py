"""Does a workflow run where HTCondor itself runs the workers inside an image, as MUSTER_SITE_CONDOR_WORKER_IMAGE says, on a real pool?"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.stack import Stack
from harness.tally import check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from services.condor import Condor, find_condor, run_condor
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(300)]

MARK = "of the image, and of nothing else"


@pytest.fixture
def pool_with_apptainer(apptainer: Path) -> Iterator[Condor]:
    try:
        find_condor()
    except NotFetchedError as error:
        pytest.skip(str(error))
    with run_condor(CONDOR_APPTAINER=str(apptainer)) as condor:
        yield condor


def test_workers_run_inside_the_image(stack: Stack, pool_with_apptainer: Condor, image: Path, tmp_path: Path) -> None:
    own = tmp_path / "own-image"
    subprocess.run(["cp", "-al", image, own], check=True)
    (own / "mark").write_text(MARK)
    tested = own / ".singularity.d" / "actions" / "test"  # an image in the cache may be of before it was made with one
    tested.parent.mkdir(exist_ok=True)
    tested.unlink(missing_ok=True)
    tested.write_text("#!/bin/sh\nexit 0\n")
    tested.chmod(0o755)
    stack.environment |= {**pool_with_apptainer.environment, "MUSTER_SITE_CONDOR_WORKER_IMAGE": str(own)}
    stack.start_serve()
    stack.start_site()
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args='sh -c \'printf "\\"%s\\"" "$(cat /mark)" > {{OUTFILE}}\'',
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        outfile_ext="json",
        n_workers=2,
        attempts=1,
        worker_config=WorkerConfig(worker_memory="200M", worker_disk="100M"),
    )
    with stack.client() as client:
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", [{"n": n} for n in range(10)], close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=120)

        assert consume_values(client, workflow, "out") == [MARK] * 10
        check_account(client, workflow, published=10, done=10)
        [taskforce] = client.get_workflow(workflow).taskforces
        wait_for(
            lambda: client.get_taskforce(taskforce.taskforce_uuid).phase == "condor-complete", "the cluster is over"
        )
        wanted = ("WantContainer", "ContainerImage")
        told = pool_with_apptainer.run(
            "condor_history", str(taskforce.cluster_id), "-json", "-attributes", ",".join(wanted)
        )
        assert [tuple(one[name] for name in wanted) for one in json.loads(told)] == [(True, str(own))] * 2
