"""How long from the POST of a workflow to its taskforce in `pending-starter`, that is, offered to the site?

Goals: at most 0.3 s at the median where nothing else happens; 100 workflows that come together within 5 s. On one service with SQLite,
one with PostgreSQL, and two on one PostgreSQL, where one takes the POSTs and the site asks the other. Seen from outside: by an agent's
parked claim.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.sites import Claim
from muster.client.synchronous import Client

ROUNDS = 5
ALONE = 40
"""One after another, a round."""
TOGETHER = 100
CONNECTIONS = 16
GOAL_P50_S, GOAL_TOGETHER_S = 0.3, 5.0
DEADLINE_S = 60.0
NEW = NewWorkflow(
    tasks=[
        NewTask(
            cluster_locations=["local"],
            task_image="",
            task_args="true",
            input_queue_aliases=["in"],
            output_queue_aliases=["out"],
        )
    ],
    public_queue_aliases=["in", "out"],
)


@dataclass
class Agent:
    """A site's agent that notes when each taskforce is offered, and has its workflow ended, so that it is not offered again."""

    client: Client
    offered: dict[str, float] = field(default_factory=dict)
    is_over: bool = False

    def run(self) -> None:
        """Until it is over; one round more than that, at most `wait_s`."""
        while not self.is_over:
            claims = self.client.claim(Claim(agent="bench", locations=["local"], limit=256, wait_s=2, lease_s=60))
            at = time.monotonic()
            for order in claims.start:
                if self.offered.setdefault(order.workflow_id, at) == at:
                    self.client.abort_workflow(order.workflow_id)


def main() -> None:
    """Each kind of service in turn, one workflow after another and then many together."""
    series: list[Series] = []
    with ExitStack() as stack:
        server = stack.enter_context(running_postgres())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kinds = {
            "SQLite": stack.enter_context(staged(folder / "1", "127.0.1", None)),
            "PostgreSQL": stack.enter_context(staged(folder / "2", "127.0.2", fresh_database(server))),
            "two on PostgreSQL": stack.enter_context(
                staged(folder / "3", "127.0.3", fresh_database(server), replicas=2)
            ),
        }
        alone = {name: Series(f"{name}, alone", "s") for name in kinds}
        together = {name: Series(f"{name}, the last of {TOGETHER} together", "s") for name in kinds}
        for number in range(ROUNDS):
            for name, (poster, agent) in kinds.items():
                alone[name].runs += [one for _ in range(ALONE) for one in measure(poster, agent, 1)]
                together[name].runs.append(max(measure(poster, agent, TOGETHER)))
                p50 = sorted(alone[name].runs)[len(alone[name].runs) // 2]
                print(
                    f"  round {number + 1}: {name}: p50 {p50:.3g} s, {TOGETHER} in {together[name].runs[-1]:.3g} s",
                    flush=True,
                )
        series = [*alone.values(), *together.values()]
    p99s = {name: sorted(one.runs)[int(len(one.runs) * 0.99) - 1] for name, one in alone.items()}
    keep(
        Record(
            name="launch",
            claim="from the POST of a workflow of one task to pending-starter, as a site's agent sees it",
            command="PYTHONPATH=tests python -m benchmarks.launch",
            settings=(
                f"SQLite synchronous=FULL, PostgreSQL fsync on; together: over {CONNECTIONS} connections, from the first POST; of the two "
                "services one takes the POSTs and the agent asks the other"
            ),
            series=[*series, *(Series(f"{name}, alone, p99", "s", [value]) for name, value in p99s.items())],
            ratios={
                **{f"{name}: p50 / goal of 0.3 s": one.median / GOAL_P50_S for name, one in alone.items()},
                **{
                    f"{name}: {TOGETHER} together / goal of 5 s": one.median / GOAL_TOGETHER_S
                    for name, one in together.items()
                },
            },
            goal="p50 at most 0.3 s; 100 together at most 5 s",
            limit="all services, the database and the callers share two cores",
        )
    )


@contextmanager
def staged(folder: Path, network: str, url: str | None, *, replicas: int = 1) -> Iterator[tuple[Stage, Agent]]:
    """Who takes the POSTs, and an agent that asks the last of the services."""
    with ExitStack() as stack:
        stages = []
        for number in range(1, replicas + 1):
            own = folder / str(number)
            own.mkdir(parents=True)
            stages.append(stack.enter_context(Stage(own, database_url=url, site=False, host=f"{network}.{number}")))
        # Each service made a token of its own, which its own agent signs in with.
        agent = Agent(stack.enter_context(Client(stages[-1].url, token=stages[-1].token)))
        thread = threading.Thread(target=agent.run)
        thread.start()
        try:
            yield stages[0], agent
        finally:
            agent.is_over = True
            thread.join()


def measure(poster: Stage, agent: Agent, count: int) -> Sequence[float]:
    """Seconds from the first POST to each offer."""
    began = time.monotonic()
    if count == 1:
        made = [poster.client.submit_workflow(NEW).workflow_id]
    else:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            made = list(pool.map(lambda _: poster.client.submit_workflow(NEW).workflow_id, range(count)))
    while any(one not in agent.offered for one in made):
        assert time.monotonic() < began + DEADLINE_S, "not all were offered"
        time.sleep(0.001)
    return [agent.offered[one] - began for one in made]


if __name__ == "__main__":
    main()
