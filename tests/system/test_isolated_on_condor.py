"""Are plain tasks kept apart on an HTCondor pool, too: from the worker's files, other processes, and what other slots work at?"""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.stack import Stack
from harness.tally import check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from services.condor import Condor, make_condor
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(300)]

LOOK = r"""
import json, os, sys
from pathlib import Path

execute, out = Path(sys.argv[1]), Path(sys.argv[2])
seen = sorted(str(one.relative_to(execute)) for one in execute.rglob("*") if one.is_file())
with out.open("w") as file:
    json.dump({"seen": seen, "processes": sum(name.isdigit() for name in os.listdir("/proc"))}, file)
"""


@pytest.fixture
def pool_with_bwrap(bubblewrap: Path) -> Iterator[Condor]:
    """A pool whose machines have it on the jobs' PATH."""
    try:
        with make_condor() as condor:
            programs = os.pathsep.join([str(bubblewrap.parent), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
            condor.configure(STARTER_JOB_ENVIRONMENT=f'"PATH={programs}"')
            condor.start()
            yield condor
    except NotFetchedError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("isolation", ["bwrap", "none"])
def test_a_task_sees_nothing_of_what_the_machine_s_slots_work_at(
    stack: Stack, pool_with_bwrap: Condor, tmp_path: Path, isolation: str
) -> None:
    execute = pool_with_bwrap.folder / "execute"
    stack.environment |= {**pool_with_bwrap.environment, "MUSTER_SITE_ISOLATION": isolation}
    stack.start_serve()
    stack.start_site()
    (tmp_path / "look.py").write_text(LOOK)
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args=f"python3 look.py {shlex.quote(str(execute))} {{{{OUTFILE}}}}",
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        input_files=[str(tmp_path / "look.py")],
        outfile_ext="json",
        n_workers=2,
        attempts=1,
        worker_config=WorkerConfig(worker_memory="200M", worker_disk="100M"),
    )
    with stack.client() as client:
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"])
        workflow = client.submit_workflow(new).workflow_id

        def list_isolations() -> list[str]:
            return [one.isolation for one in client.list_workers(workflow).workers]

        wait_for(lambda: len([one for one in list_isolations() if one]) == 2, "both are up, and say it")
        assert [one.partition(":")[0] for one in list_isolations()] == [isolation] * 2
        client.publish(workflow, "in", [{"n": n} for n in range(6)], close=True)
        wait_for(lambda: client.get_progress(workflow).input.done == 6, "all is done")

        shown = stack.run("worker", "list", workflow)
        assert shown.stdout.count(f"  {isolation}") == 2, shown.stdout
        for told in consume_values(client, workflow, "out"):
            secrets = [path for path in told["seen"] if path.endswith(("muster-enrol.json", "muster-settings.json"))]
            if isolation == "bwrap":
                assert secrets == []
                assert len({path.split("/")[0] for path in told["seen"]}) == 1, "its own files only"
                assert told["processes"] < 10
            else:
                assert len({path.split("/")[0] for path in secrets}) == 2, "else both could be read"
        check_account(client, workflow, published=6, done=6)
        client.abort_workflow(workflow)
