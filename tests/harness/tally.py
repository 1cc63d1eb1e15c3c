"""What does the world outside Muster say happened? Two tallies that Muster knows nothing of.

One is the list of ids that publishing answered. The other is an append-only file to which each run of a task adds a line.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muster.client.shapes.account import Account
from muster.client.synchronous import Client

TASKS = Path(__file__).parents[1] / "faults" / "tasks"


@dataclass
class Tally:
    """The append-only file of one test's task runs: one JSON line a run, with what the task was given."""

    path: Path

    def runs(self) -> Counter[int]:
        """How often each event's task was run, by the `n` of its body."""
        if not self.path.exists():
            return Counter()
        return Counter(json.loads(line)["n"] for line in self.path.read_text().splitlines())


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


def consume_values(client: Client, workflow_id: str, alias: str) -> list[Any]:
    """What is in a queue until it is drained, as JSON values."""
    return [json.loads(bytes(event.body)) for event in client.consume(workflow_id, alias)]


def publish_ids(
    client: Client, workflow_id: str, alias: str, values: Iterable[Any], *, close: bool = False
) -> list[str]:
    """Publish, and return the ids that the answers gave."""
    ids: list[str] = []
    client.publish(workflow_id, alias, values, batch=10, close=close, on_batch=lambda answer: ids.extend(answer.events))
    return ids
