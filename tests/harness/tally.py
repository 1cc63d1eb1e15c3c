"""What does the world outside Muster say happened? Two tallies that Muster knows nothing of, and what must be true after any fault.

One is the list of ids that publishing answered. The other is an append-only file to which each run of a task adds a line.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from harness.processes import attempts_alive, workers_alive
from harness.stack import Stack
from harness.waiting import wait_for
from muster.client.shapes.account import Account
from muster.client.shapes.events import EventSummary, PublishedView
from muster.client.shapes.new_workflow import NewTask
from muster.client.shapes.workflows import TaskforceView
from muster.client.synchronous import Client

TASKS = Path(__file__).parents[1] / "faults" / "tasks"
PAGE = 1000


@dataclass
class Tally:
    """Both tallies of the events of one queue. Each event's body is a JSON object with a number `n` of its own.

    Args:
        path: the append-only file: one JSON line a run, with the `n` that the task was given.
        published: `n` → the id that publishing answered. What was sent and refused is not in it.
    """

    path: Path
    published: dict[int, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a task needs to keep its part of the tally."""
        return {"TALLY": str(self.path)}

    def make_task(self, **changes: Any) -> NewTask:
        """A task that keeps its part of the tally, and squares what it reads from `in` into `out`; two warm workers."""
        return msgspec.structs.replace(
            NewTask(
                cluster_locations=["local"],
                task_image="",
                task_args="python tally.py",
                task_env=self.environment,
                input_queue_aliases=["in"],
                output_queue_aliases=["out"],
                input_files=[str(TASKS / "tally.py")],
                infile_ext="json",
                outfile_ext="json",
                n_workers=2,
                warm=True,
            ),
            **changes,
        )

    def publish(
        self,
        client: Client,
        workflow_id: str,
        bodies: Iterable[dict[str, Any]],
        *,
        alias: str = "in",
        batch: int = 10,
        close: bool = False,
    ) -> None:
        """Publish, and keep the ids that were answered, also of the batches before one that is refused."""
        bodies = list(bodies)
        numbers = iter([body["n"] for body in bodies])

        def note(answer: PublishedView) -> None:
            self.published.update(zip(islice(numbers, len(answer.events)), answer.events, strict=True))

        client.publish(workflow_id, alias, bodies, batch=batch, close=close, on_batch=note)

    def runs(self) -> Counter[int]:
        """How often each event's task was run, by the `n` of its body."""
        if not self.path.exists():
            return Counter()
        return Counter(json.loads(line)["n"] for line in self.path.read_text().splitlines())


def check_after_fault(
    stack: Stack,
    client: Client,
    workflow_id: str,
    tally: Tally,
    *,
    done: int,
    dead: int = 0,
    silent: Collection[int] = (),
) -> Account:
    """The rule after any fault, checked whole, of a workflow that is over and whose task reads `in` and writes squares to `out`.

    The account adds up and equals its recount and both tallies; nothing is counted twice; each done event has one result; and once
    Muster says that its workers are gone, /proc shows none, nor anything that carries the mark of an attempt.

    Args:
        done, dead: how many events came to that; the others that were published wait.
        silent: `n` of the events whose task writes no result.
    """
    wait_for_end_of_workers(client, workflow_id)
    assert workers_alive(stack.root) == {}, "Muster says that they are gone"
    assert attempts_alive(stack.root) == {}, "Muster says that they are gone"
    account = check_account(client, workflow_id, published=len(tally.published), done=done, dead=dead)
    assert (account.waiting, account.in_work) == (len(tally.published) - done - dead, 0), account
    states = _check_published(client, workflow_id, tally, account)
    _check_runs(client, tally, states)
    results = sorted(consume_values(client, workflow_id, "out"), key=lambda value: value["n"])
    expected = sorted(n for n, state in states.items() if state == "done" and n not in silent)
    assert results == [{"n": n, "squared": n**2} for n in expected]
    return account


def wait_for_end_of_workers(client: Client, workflow_id: str) -> None:
    """Wait until Muster says of each of a workflow's taskforces that no worker is left, or that none could be placed, or was to be."""

    def are_gone() -> bool:
        return all(
            one.phase == "condor-complete"
            or (one.cluster_id is None and one.submit_failures > 0)
            or (one.phase == "pending-stopper" and one.claim_fence == 0)  # called off before any agent had it
            for one in client.get_workflow(workflow_id).taskforces
        )

    wait_for(are_gone, "every taskforce is complete")


def _check_published(client: Client, workflow_id: str, tally: Tally, account: Account) -> dict[int, str]:
    """The ids that publishing answered are the events there are, no more and no fewer. Returns `n` → state."""
    numbers = {event: n for n, event in tally.published.items()}
    assert len(numbers) == len(tally.published), "no id was answered twice"
    listed = list(list_events(client, workflow_id, "in"))
    assert sorted(one.event for one in listed) == sorted(numbers)
    states = Counter(one.state for one in listed)
    assert states == +Counter(waiting=account.waiting, done=account.done, dead=account.dead), (
        "the lists and the account agree"
    )
    return {numbers[one.event]: one.state for one in listed}


def _check_runs(client: Client, tally: Tally, states: dict[int, str]) -> None:
    """What ended was run, nothing else was run, and no event was run more often than there are attempts written down."""
    runs = tally.runs()
    assert runs.keys() <= states.keys(), "only what was published is run"
    assert {n for n, state in states.items() if state in {"done", "dead"}} <= runs.keys(), "what has ended was run"
    for n, count in runs.items():
        if count > 1 or states[n] == "waiting":
            view = client.get_event(tally.published[n])
            assert count <= len(view.history), f"event {n} was run {count} times: {view}"


def check_cause_is_shown(stack: Stack, workflow_id: str, cause: str) -> None:
    """A user sees why attempts failed, or workers could not be placed, in one command."""
    shown = stack.run("workflow", "errors", workflow_id)
    assert shown.returncode == 0, shown.stderr
    assert cause in shown.stdout


def check_account(
    client: Client, workflow_id: str, *, published: int, done: int | None = None, dead: int = 0
) -> Account:
    """The account adds up, agrees with a recount, and says what the test knows."""
    account = client.get_account(workflow_id, recount=True)
    assert account.adds_up, account
    assert (account.lost, account.counted_twice) == (0, 0), account
    assert all(queue.recount is not None and queue.recount.agrees for queue in account.queues), account
    assert account.published == published, account
    if done is not None:
        assert (account.done, account.dead) == (done, dead), account
    return account


def list_events(client: Client, workflow_id: str, alias: str) -> Iterator[EventSummary]:
    """Every event of a queue, oldest first."""
    after: str | None = None
    while True:
        page = client.list_events(workflow_id, queue=alias, after=after, limit=PAGE)
        yield from page.events
        after = page.next_after
        if after is None:
            return


def consume_values(client: Client, workflow_id: str, alias: str) -> list[Any]:
    """What is in a queue until it is drained, as JSON values."""
    return [json.loads(bytes(event.body)) for event in client.consume(workflow_id, alias)]


def count_states(taskforce: TaskforceView, *, whole: bool = True) -> dict[str, int]:
    """How many procs are in which state, as the service was told. `whole`: with what stands behind the word, why one is held."""
    counts: Counter[str] = Counter()
    for state, pilots in taskforce.compound_statuses.items():
        counts[state if whole else state.partition(":")[0]] += sum(pilots.values())
    return dict(counts)
