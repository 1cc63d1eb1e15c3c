"""How long from the POST of a workflow to its cluster in the schedd, and from an event in the log to the state that a user sees?

Goals: to the schedd p50 under 0.3 s, p99 under 1 s on an idle system; 100 workflows that come together within 5 s; a state within 2 s.
The original: up to 76 s, 25 minutes, up to 3 minutes (tms.md: its loops' periods, one submission after another). On a real pool, seen
from outside: by asking the schedd, and by reading the log.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import htcondor2

from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage
from muster.client.shapes.new_workflow import NewTask, NewWorkflow, WorkerConfig
from services.condor import Condor, run_condor

ROUNDS = 3
ALONE = 40
"""One after another, a round."""
TOGETHER = 100
STATES = 10
CONNECTIONS = 16
GOAL_P50_S, GOAL_P99_S, GOAL_TOGETHER_S, GOAL_STATE_S = 0.3, 1.0, 5.0, 2.0
DEADLINE_S = 120.0
NEW = NewWorkflow(
    tasks=[
        NewTask(
            cluster_locations=["local"],
            task_image="",
            task_args="true",
            input_queue_aliases=["in"],
            output_queue_aliases=["out"],
            worker_config=WorkerConfig(worker_memory="100M", worker_disk="100M", condor_requirements="false"),
        )
    ],
    public_queue_aliases=["in", "out"],
)
"""Its workers match no machine: what is measured is the submission alone."""


@dataclass
class Onlooker:
    """Asks the schedd again and again which clusters it has, and notes when each was there first."""

    seen: dict[str, float] = field(default_factory=dict)
    is_over: bool = False

    def run(self) -> None:
        """Until it is over."""
        while not self.is_over:
            ads = htcondor2.Schedd().query(
                "ProcId =?= undefined", ["EWMSTaskforceUUID"], opts=htcondor2.QueryOpt.IncludeClusterAd
            )
            at = time.monotonic()
            for ad in ads:
                self.seen.setdefault(str(ad.get("EWMSTaskforceUUID")), at)
            time.sleep(0.005)


def submit(stage: Stage, count: int) -> Sequence[str]:
    """Workflows, one after the other or over several connections; their ids."""
    if count == 1:
        return [stage.client.submit_workflow(NEW).workflow_id]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda _: stage.client.submit_workflow(NEW).workflow_id, range(count)))


def measure(stage: Stage, onlooker: Onlooker, count: int) -> list[float]:
    """Seconds from the first POST to each cluster."""
    began = time.monotonic()
    workflows = submit(stage, count)
    taskforces = [stage.client.get_workflow(one).taskforces[0].taskforce_uuid for one in workflows]
    while any(one not in onlooker.seen for one in taskforces):
        assert time.monotonic() < began + DEADLINE_S, "not all are in the schedd"
        time.sleep(0.001)
    for one in workflows:
        stage.client.abort_workflow(one)
    return [onlooker.seen[one] - began for one in taskforces]


def measure_state(stage: Stage, condor: Condor) -> float:
    """Seconds from the event that a worker is held to the state that the service tells."""
    workflow = stage.client.submit_workflow(NEW).workflow_id
    deadline = time.monotonic() + DEADLINE_S

    def statuses() -> set[str]:
        [taskforce] = stage.client.get_workflow(workflow).taskforces
        return set(taskforce.compound_statuses)

    while statuses() != {"IDLE"}:
        assert time.monotonic() < deadline, "its worker is not told to be idle"
        time.sleep(0.01)
    [taskforce] = stage.client.get_workflow(workflow).taskforces
    log = stage.folder / "site" / "htcondor" / "taskforces" / taskforce.taskforce_uuid / "events.log"
    condor.run("condor_hold", str(taskforce.cluster_id))
    while b"\n012 (" not in log.read_bytes():
        assert time.monotonic() < deadline, "it is not held"
        time.sleep(0.001)
    began = time.monotonic()
    while statuses() == {"IDLE"}:
        assert time.monotonic() < deadline, "its worker is not told to be held"
        time.sleep(0.005)
    took_s = time.monotonic() - began
    stage.client.abort_workflow(workflow)
    return took_s


def main() -> None:
    """One after another, then many together, then states."""
    alone, together = Series("alone", "s"), Series(f"the last of {TOGETHER} together", "s")
    states = Series("an event in the log, to the state over REST", "s")
    with ExitStack() as stack:
        condor = stack.enter_context(run_condor())
        condor.use()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = stack.enter_context(Stage(folder, MUSTER_SITE_POOL="htcondor", CONDOR_CONFIG=str(condor.config)))
        onlooker = Onlooker()
        thread = threading.Thread(target=onlooker.run)
        thread.start()
        try:
            measure(stage, onlooker, 1)
            for number in range(ROUNDS):
                alone.runs += [one for _ in range(ALONE) for one in measure(stage, onlooker, 1)]
                together.runs.append(max(measure(stage, onlooker, TOGETHER)))
                states.runs += [measure_state(stage, condor) for _ in range(STATES)]
                print(
                    f"  round {number + 1}: p50 {alone.median:.3g} s, {TOGETHER} in {together.runs[-1]:.3g} s, state {states.median:.3g} s",
                    flush=True,
                )
        finally:
            onlooker.is_over = True
            thread.join()
    p99 = sorted(alone.runs)[int(len(alone.runs) * 0.99) - 1]
    keep(
        Record(
            name="condor_submission",
            claim="from the POST of a workflow of one task to its cluster in HTCondor's queue, and from an event there to the user",
            command="PYTHONPATH=tests python -m benchmarks.condor_submission",
            settings=f"SQLite synchronous=FULL; a pool of its own; together: over {CONNECTIONS} connections, from the first POST",
            series=[alone, Series("alone, p99", "s", [p99]), together, states],
            ratios={
                "p50 / goal of 0.3 s": alone.median / GOAL_P50_S,
                "p99 / goal of 1 s": p99 / GOAL_P99_S,
                f"{TOGETHER} together / goal of 5 s": together.median / GOAL_TOGETHER_S,
                "the slowest state / goal of 2 s": max(states.runs) / GOAL_STATE_S,
            },
            goal="p50 under 0.3 s, p99 under 1 s; 100 together under 5 s; a state within 2 s",
            limit="schedd, service, agent and callers share two cores",
        )
    )


if __name__ == "__main__":
    main()
