"""Is anything lost, doubled or left behind on an HTCondor pool, whatever dies, is damaged or is done by hand there?

A workflow is in the middle of its events on a real pool of the test's own; something happens; the rest of the events follow. In the end
there was one cluster, nothing of it is in the queue, what the agent told of its procs is what HTCondor's history says, and the account
adds up.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from harness.scene import EVENTS, WORKERS, Scene, begin, check_pool, make_task, publish_the_rest, submit
from harness.stack import Stack
from harness.tally import Tally, check_after_fault
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from muster.client.shapes.workflows import TaskforceView
from services.condor import Condor, make_condor
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(300)]

Fault = Callable[[Scene], None]


def the_agent_is_killed(scene: Scene) -> None:
    for _ in range(2):
        scene.stack.kill("site")
        scene.stack.start_site("site")
        wait_for(lambda: "ready" in scene.stack.parts["site"].log.read_text(), "the agent is back")


def the_schedd_is_killed(scene: Scene) -> None:
    scene.condor.kill("condor_schedd")


def the_startd_is_killed(scene: Scene) -> None:
    scene.condor.kill("condor_startd")


def the_shadows_are_killed(scene: Scene) -> None:
    assert scene.condor.find_daemons("condor_shadow")
    scene.condor.kill("condor_shadow")


def the_log_is_rotated(scene: Scene) -> None:
    scene.log.rename(scene.log.with_name("events.log.1"))


def the_log_is_truncated(scene: Scene) -> None:
    os.truncate(scene.log, 0)


def the_log_is_deleted(scene: Scene) -> None:
    scene.log.unlink()


def the_log_is_replaced(scene: Scene) -> None:
    """By another one of the same size, as an editor does it."""
    content = scene.log.read_bytes()
    scene.log.with_name("new").write_bytes(content.swapcase())
    scene.log.with_name("new").replace(scene.log)


def the_log_has_nuls_in_the_middle(scene: Scene) -> None:
    with scene.log.open("ab") as file:
        file.write(b"\0" * 1024)


def the_service_is_away(scene: Scene) -> None:
    """Meanwhile the workers are held and released; the agent tells where they are by then."""
    cluster = scene.cluster
    scene.stack.kill("serve")
    scene.condor.run("condor_hold", cluster)
    wait_for(lambda: scene.list_states() == {"5": WORKERS}, "they are held")
    wait_for(lambda: not scene.condor.find_daemons("condor_shadow"), "they are off their machines")
    scene.condor.run("condor_release", cluster)
    scene.stack.start_serve()
    wait_for(lambda: scene.statuses() == {"RUNNING": WORKERS}, "where they are is told")


def they_are_held_and_released_by_hand(scene: Scene) -> None:
    """As the pool's operator does; nobody but the operator releases them."""
    scene.condor.run("condor_hold", scene.cluster)
    wait_for(lambda: scene.statuses() == {"HELD: The user put the job on hold with condor_hold": WORKERS}, "it is told")
    wait_for(lambda: not scene.condor.find_daemons("condor_shadow"), "they are off their machines")
    scene.condor.run("condor_release", scene.cluster)


def the_job_is_edited(scene: Scene) -> None:
    scene.condor.run("condor_qedit", scene.cluster, "RequestMemory", "120")
    scene.condor.run("condor_qedit", scene.cluster, "MusterFence", "77")


FAULTS: list[Fault] = [
    the_agent_is_killed,
    the_schedd_is_killed,
    the_startd_is_killed,
    the_shadows_are_killed,
    the_log_is_rotated,
    the_log_is_truncated,
    the_log_is_deleted,
    the_log_is_replaced,
    the_log_has_nuls_in_the_middle,
    they_are_held_and_released_by_hand,
    the_job_is_edited,
    the_service_is_away,
]


@pytest.fixture
def beside_the_pool(stack: Stack, own_condor: Condor) -> Stack:
    stack.environment |= own_condor.environment | {
        "MUSTER_SITE_CONDOR_LEASE_S": "20",
        "MUSTER_SITE_CONDOR_TRUTH_S": "3",
        "MUSTER_SITE_WORKER_RESTART_S": "0.2",
    }
    stack.start_serve()
    stack.start_site()
    return stack


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_or_doubled_when(
    fault: Fault, beside_the_pool: Stack, own_condor: Condor, tmp_path: Path
) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with beside_the_pool.client() as client:
        scene = begin(own_condor, beside_the_pool, client, tally)

        fault(scene)

        publish_the_rest(scene, tally)
        wait_for(lambda: client.get_workflow(scene.workflow).state == "finished", "it finishes itself", deadline_s=120)
        check_after_fault(beside_the_pool, client, scene.workflow, tally, done=EVENTS)
        check_pool(scene)


def test_the_workers_of_a_machine_that_dies_go_on_at_another(stack: Stack, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    with ExitStack() as open_until_the_end:
        condor = open_until_the_end.enter_context(make_pool())
        stack.environment |= condor.environment | {"MUSTER_SITE_CONDOR_LEASE_S": "20"}
        stack.start_serve()
        stack.start_site()
        client = open_until_the_end.enter_context(stack.client())
        workflow = submit(client, make_task(tally))
        scene = Scene(condor, stack, client, workflow, "site")
        wait_for(lambda: scene.statuses() == {"RUNNING": WORKERS}, "all workers run")
        hosts = wait_for(scene.hosts, "where they run is told")
        assert set(hosts) <= {"one", "other"}
        victim = max(hosts, key=lambda host: hosts[host])
        tally.publish(client, workflow, ({"n": n, "sleep_s": 0.5} for n in range(EVENTS // 2)))
        wait_for(scene.is_at_work, "some events are in work")

        condor.kill_node(victim)

        publish_the_rest(scene, tally)
        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=150)
        check_after_fault(stack, client, workflow, tally, done=EVENTS)
        check_pool(scene)


@contextmanager
def make_pool() -> Iterator[Condor]:
    """A schedd, and two machines that can each run all workers."""
    try:
        with make_condor() as condor:
            condor.leave_work_to_nodes()
            condor.start()
            network = condor.address.rpartition(".")[2]
            condor.add_node("one", f"127.0.1.{network}", cpus=WORKERS)
            condor.add_node("other", f"127.0.2.{network}", cpus=WORKERS)
            yield condor
    except NotFetchedError as error:
        pytest.skip(str(error))


def test_a_schedd_that_hangs_in_a_submission_and_a_removal_has_one_cluster_then_none(
    beside_the_pool: Stack, own_condor: Condor, tmp_path: Path
) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    task = tally.make_task(n_workers=1, worker_config=WorkerConfig(worker_memory="100M", worker_disk="100M"))
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"])
    site_log = beside_the_pool.parts["site"].log
    with beside_the_pool.client() as client:

        def tell() -> TaskforceView:
            [taskforce] = client.get_workflow(workflow).taskforces
            return taskforce

        with own_condor.hung("condor_schedd"):
            workflow = client.submit_workflow(new).workflow_id
            wait_for(lambda: '"stage": "intended"' in site_log.read_text(), "the agent is about to submit it")
            wait_for(lambda: "trying again" in site_log.read_text(), "it is told that the schedd does not answer")
            assert tell().cluster_id is None
        wait_for(lambda: tell().cluster_id is not None, "it is submitted")
        wait_for(lambda: set(tell().compound_statuses) == {"RUNNING"}, "it runs")

        with own_condor.hung("condor_schedd"):
            client.abort_workflow(workflow)
            wait_for(lambda: '"stage": "stopping"' in site_log.read_text(), "the agent is about to remove it")
        wait_for(lambda: tell().phase == "condor-complete", "it is gone")

        cluster = tell().cluster_id
    assert own_condor.run("condor_q", "-allusers", "-af", "ClusterId").split() == []
    assert own_condor.run("condor_history", "-af", "ClusterId").split() == [str(cluster)]


def test_a_thousand_taskforces_at_once_are_a_thousand_clusters_then_none(
    beside_the_pool: Stack, own_condor: Condor
) -> None:
    config = WorkerConfig(worker_memory="100M", worker_disk="100M", condor_requirements="false")
    task = NewTask(["local"], "", "true", ["in"], ["out"], worker_config=config)
    tasks = [
        msgspec.structs.replace(task, input_queue_aliases=[f"in{n}"], output_queue_aliases=["out"]) for n in range(100)
    ]
    new = NewWorkflow(tasks=tasks, public_queue_aliases=[*(f"in{n}" for n in range(100)), "out"])
    with beside_the_pool.client() as client:
        workflows = [client.submit_workflow(new).workflow_id for _ in range(10)]

        def list_taskforces() -> list[TaskforceView]:
            return [one for workflow in workflows for one in client.get_workflow(workflow).taskforces]

        wait_for(
            lambda: all(one.cluster_id is not None for one in list_taskforces()),
            "all are submitted",
            deadline_s=120,
            interval_s=1.0,
        )
        clusters = {one.cluster_id for one in list_taskforces()}
        queued = set(map(int, own_condor.run("condor_q", "-allusers", "-af", "ClusterId").split()))
        assert len(clusters) == 1000
        assert queued == clusters

        for workflow in workflows:
            client.abort_workflow(workflow)
        wait_for(
            lambda: all(one.phase == "condor-complete" for one in list_taskforces()),
            "all are gone",
            deadline_s=120,
            interval_s=1.0,
        )
    assert own_condor.run("condor_q", "-allusers", "-af", "ClusterId").split() == []
    ended = set(map(int, own_condor.run("condor_history", "-af", "ClusterId").split()))
    assert ended == clusters
