"""A workflow at work on an HTCondor pool of the test's own, and what must be true of the pool once it is over."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.stack import Stack
from harness.tally import Tally, count_states
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from muster.client.shapes.workflows import TaskforceView
from muster.client.synchronous import Client
from services.condor import Condor

EVENTS = 60
WORKERS = 3
STATES = {3: "REMOVED", 4: "COMPLETED"}
"""Of HTCondor's JobStatus, those in the history."""


@dataclass
class Scene:
    """A workflow at work on a pool."""

    condor: Condor
    stack: Stack
    client: Client
    workflow: str
    site: str

    @property
    def taskforce(self) -> TaskforceView:
        [taskforce] = self.client.get_workflow(self.workflow).taskforces
        return taskforce

    @property
    def cluster(self) -> str:
        return str(self.taskforce.cluster_id)

    @property
    def log(self) -> Path:
        """The cluster's job event log."""
        return self.stack.state / self.site / "htcondor" / "taskforces" / self.taskforce.taskforce_uuid / "events.log"

    def is_at_work(self) -> bool:
        return self.client.get_progress(self.workflow).input.in_work > 0

    def hosts(self) -> dict[str, int]:
        """How many workers run where, as the service was told."""
        facts = self.taskforce.facts
        return {} if facts is None else dict(facts.hosts)

    def statuses(self) -> dict[str, int]:
        """How many procs are in which state, as the service was told."""
        return count_states(self.taskforce)

    def list_states(self, cluster: str = "") -> dict[str, int]:
        """JobStatus → procs in the queue; nothing while the schedd does not answer. `cluster`: asked of the service, if left out."""
        with suppress(AssertionError):
            return dict(Counter(self.condor.run("condor_q", cluster or self.cluster, "-af", "JobStatus").split()))
        return {}


def make_task(tally: Tally) -> NewTask:
    """One that keeps its part of the tally, for the workers of a scene."""
    config = WorkerConfig(worker_memory="100M", worker_disk="100M")
    return tally.make_task(n_workers=WORKERS, lease_s=3.0, retry_s=0.2, worker_config=config)


def submit(client: Client, task: NewTask) -> str:
    """A workflow of one task that finishes when all is done."""
    new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
    return client.submit_workflow(new).workflow_id


def begin(condor: Condor, stack: Stack, client: Client, tally: Tally) -> Scene:
    """All workers run, and are in the middle of the first half of the events."""
    scene = Scene(condor, stack, client, submit(client, make_task(tally)), "site")
    wait_for(lambda: scene.statuses() == {"RUNNING": WORKERS}, "all workers run")
    tally.publish(client, scene.workflow, ({"n": n, "sleep_s": 0.3} for n in range(EVENTS // 2)))
    wait_for(scene.is_at_work, "some events are in work")
    return scene


def publish_the_rest(scene: Scene, tally: Tally) -> None:
    """The other half, and none after it."""
    rest = ({"n": n, "sleep_s": 0.1} for n in range(EVENTS // 2, EVENTS))
    tally.publish(scene.client, scene.workflow, rest, close=True)


def check_pool(scene: Scene) -> None:
    """One cluster, nothing of it in the queue, and its procs ended as the agent told."""
    taskforce = scene.taskforce
    assert scene.condor.run("condor_q", "-allusers", "-af", "ClusterId").split() == []
    told = scene.condor.run("condor_history", "-af", "ClusterId", "ProcId", "JobStatus").splitlines()
    rows = [tuple(map(int, line.split())) for line in told]
    assert {cluster for cluster, _, _ in rows} == {taskforce.cluster_id}
    assert sorted(proc for _, proc, _ in rows) == list(range(WORKERS))
    seen, kept = scene.statuses(), Counter(STATES[status] for _, _, status in rows)
    assert (set(seen) <= set(STATES.values()), sum(seen.values())) == (True, WORKERS)
    # A worker that ends by itself while it is removed has TERMINATED in the log, and is kept as removed in the history.
    assert seen.get("COMPLETED", 0) >= kept["COMPLETED"]
