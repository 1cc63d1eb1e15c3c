"""Is anything lost, doubled or left behind when the disk of the agent's directory is full beside an HTCondor pool?

Journal, the clusters' folders and checkpoints are there, and the job event logs, which HTCondor writes: of those whose end does not fit the
beginning stands in the log, and the others are lost. The disk is real: a small tmpfs in a mount namespace that agent and pool share.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.namespaces import SmallDisk, shared_small_disk
from harness.processes import find_with
from harness.scene import EVENTS, WORKERS, Scene, begin, check_pool, make_task, publish_the_rest, submit
from harness.stack import MUSTER, Stack
from harness.tally import Tally, check_account, check_after_fault
from harness.waiting import wait_for
from services.condor import Condor, make_condor
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(300)]

FULL = "No space left on device"


@contextmanager
def beside_a_pool(stack: Stack) -> Iterator[tuple[Condor, SmallDisk]]:
    """A service, and an agent whose directory is a small disk, beside a pool."""
    stack.start_serve()
    with shared_small_disk(stack.state / "site", "size=8m,mode=700") as disk:
        try:
            with make_condor() as condor:
                condor.wrapper = disk.enter
                condor.start()
                stack.environment |= condor.environment | {
                    "MUSTER_SITE_CONDOR_LEASE_S": "20",
                    "MUSTER_SITE_CONDOR_TRUTH_S": "3",
                    "MUSTER_SITE_WORKER_RESTART_S": "0.2",
                }
                stack.wrapper = disk.enter
                stack.start_site()
                wait_for(lambda: "ready" in stack.parts["site"].log.read_text(), "the agent is ready")
                yield condor, disk
        except NotFetchedError as error:
            pytest.skip(str(error))


def test_what_was_to_be_submitted_is_one_cluster_once_there_is_room(stack: Stack, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with beside_a_pool(stack) as (condor, disk), stack.client() as client:
        disk.fill()
        scene = Scene(condor, stack, client, submit(client, make_task(tally)), "site")
        wait_until_told(scene, f"taskforce {scene.taskforce.taskforce_uuid}")
        assert scene.taskforce.cluster_id is None

        disk.make_room()

        wait_for(lambda: scene.statuses() == {"RUNNING": WORKERS}, "all workers run")
        tally.publish(client, scene.workflow, ({"n": n} for n in range(EVENTS)), close=True)
        wait_for(lambda: client.get_workflow(scene.workflow).state == "finished", "it finishes itself", deadline_s=120)
        check_after_fault(stack, client, scene.workflow, tally, done=EVENTS)
        check_pool(scene)
        check_nothing_left(disk)


def test_events_that_the_log_has_no_room_for_are_made_up_for(stack: Stack, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with beside_a_pool(stack) as (condor, disk), stack.client() as client:
        scene = begin(condor, stack, client, tally)
        log = disk.inside / scene.log.relative_to(disk.folder)
        disk.fill()

        def is_torn() -> bool:
            for pid, command in find_with("MUSTER_TASKFORCE", scene.taskforce.taskforce_uuid).items():
                if " muster-worker.pyz" in command:
                    os.kill(pid, signal.SIGKILL)  # each is some events: held, released, on a machine again
            return not log.read_bytes().endswith(b"\n...\n")

        wait_for(is_torn, "an event did not fit into the log", interval_s=2.0)
        wait_until_told(scene, "writing down how the agent stands")
        wait_for(lambda: scene.statuses().get("RUNNING") == WORKERS, "where they are is told without the log")

        stack.kill("site")
        assert stack.start_site().process.wait(60) != 0, "it cannot work there"
        assert stack.parts["site"].log.read_text().endswith(f": {FULL}\n")
        disk.make_room()
        stack.start_site()

        publish_the_rest(scene, tally)
        wait_for(lambda: client.get_workflow(scene.workflow).state == "finished", "it finishes itself", deadline_s=120)
        check_after_fault(stack, client, scene.workflow, tally, done=EVENTS)
        check_pool(scene)
        check_nothing_left(disk)


def test_what_was_to_be_stopped_is_gone_once_there_is_room(stack: Stack, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with beside_a_pool(stack) as (condor, disk), stack.client() as client:
        scene = begin(condor, stack, client, tally)
        disk.fill()
        client.abort_workflow(scene.workflow)
        wait_until_told(scene, f"taskforce {scene.taskforce.taskforce_uuid}")

        disk.make_room()

        wait_for(lambda: scene.taskforce.phase == "condor-complete", "the agent tells that it is gone")
        check_account(client, scene.workflow, published=EVENTS // 2)
        check_pool(scene)
        check_nothing_left(disk)


def wait_until_told(scene: Scene, doing: str) -> None:
    """The agent's log says what it cannot do, and why; and `muster site status`, which says too that it lives."""
    site = scene.stack.parts["site"]
    wait_for(lambda: any(doing in line and FULL in line for line in site.log.read_text().splitlines()), "it is logged")

    def shows() -> bool:
        words = [*scene.stack.wrapper, str(MUSTER), "site", "status"]
        told = subprocess.run(words, env=site.environment, capture_output=True, text=True, check=False, timeout=60)
        lines = told.stdout.splitlines()
        return told.returncode == 0 and any(line.startswith(f"cannot: {doing}") and FULL in line for line in lines)

    wait_for(shows, "it is shown", interval_s=0.5)


def check_nothing_left(disk: SmallDisk) -> None:
    """No record, no folder of a cluster, and nothing half written."""
    wait_for(lambda: not list((disk.inside / "journal").glob("*.json")), "the agent has forgotten it")
    assert list((disk.inside / "htcondor" / "taskforces").iterdir()) == []
    assert [path for path in disk.inside.rglob(".tmp-*") if path.name != ".tmp-status.json"] == []
