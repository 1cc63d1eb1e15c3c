"""Does the account of a workflow add up, and what went wrong in it?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muster.domain.queue import Counts, Queue, sum_inputs
from muster.domain.taskforce_reason import explain_ended_workers
from muster.domain.workflow import Taskforce, Workflow
from muster.server.ports.events import ErrorGroup
from muster.server.ports.store import Recount, Transaction
from muster.server.services.parts import Parts

GROUPS_MAX = 100


@dataclass(frozen=True)
class WorkflowAccount:
    """A workflow's queues with their accounts, in one snapshot.

    Args:
        recounts: by number of the queue; empty unless asked for.
    """

    workflow: Workflow
    queues: Sequence[Queue]
    counts: Mapping[int, Counts]
    recounts: Mapping[int, Recount]

    @property
    def total(self) -> Counts:
        """The sum over the queues that tasks read."""
        return sum_inputs(self.queues, self.counts)

    @property
    def duplicates(self) -> int:
        """Second results, consumers' too, recorded and sent nowhere."""
        return sum(one.duplicates for one in self.counts.values())

    @property
    def lost(self) -> int:
        """Events that are in no state: by the rows where they were counted afresh, else by the counters."""
        counted = {number: one.counted for number, one in self.recounts.items()}
        total = sum_inputs(self.queues, {**self.counts, **counted})
        return total.published - (total.waiting + total.in_work + total.done + total.dead)

    @property
    def counted_twice(self) -> int:
        """Events with more than one result that counted."""
        return sum(self.recounts[queue.number].counted_twice for queue in self.queues if queue.number in self.recounts)

    @property
    def adds_up(self) -> bool:
        """Every queue adds up, and agrees with its recount where there is one."""
        return (
            all(self.counts[queue.number].adds_up for queue in self.queues)
            and all(one.kept == one.counted for one in self.recounts.values())
            and self.counted_twice == 0
        )


async def get_account(parts: Parts, workflow_id: str, *, recount: bool) -> WorkflowAccount:
    """The account of a workflow. `recount` reads every row of its queues. Raises NotFoundError."""

    def look(tx: Transaction) -> WorkflowAccount:
        workflow = tx.workflows.get(workflow_id)
        queues = tx.queues.list_of_workflow(workflow_id)
        numbers = [queue.number for queue in queues]
        if not numbers:
            return WorkflowAccount(workflow, queues, {}, {})
        return WorkflowAccount(
            workflow,
            queues,
            tx.queues.counts(numbers),
            tx.queues.recount(numbers) if recount else {},
        )

    return await parts.store.read(look)


@dataclass(frozen=True)
class Trouble:
    """A taskforce that could not be started or stopped, with the last reason; or whose workers ended, with why most of them did."""

    taskforce: Taskforce
    text: str


@dataclass(frozen=True)
class WorkflowErrors:
    """What went wrong: failed attempts by cause, and taskforces in trouble."""

    workflow: Workflow
    groups: Sequence[ErrorGroup]
    troubles: Sequence[Trouble]


async def get_errors(parts: Parts, workflow_id: str) -> WorkflowErrors:
    """What went wrong in a workflow. Raises NotFoundError."""

    def look(tx: Transaction) -> WorkflowErrors:
        workflow = tx.workflows.get(workflow_id)
        numbers = [queue.number for queue in tx.queues.list_of_workflow(workflow_id)]
        groups = tx.events.list_errors(numbers, limit=GROUPS_MAX) if numbers else ()
        return WorkflowErrors(workflow, groups, find_troubles(tx, tx.taskforces.list_of_workflow(workflow_id)))

    return await parts.store.read(look)


def find_troubles(tx: Transaction, taskforces: Sequence[Taskforce]) -> list[Trouble]:
    """Those with failures since the last success, with the last reason of each, and those whose workers ended in errors."""
    failing = [one for one in taskforces if one.submit_failures or one.remove_failures]
    logs = tx.taskforces.list_log([one.taskforce_uuid for one in failing]) if failing else {}
    failed = [
        Trouble(
            one,
            next(
                (entry.context for entry in reversed(logs[one.taskforce_uuid]) if not entry.was_successful),
                "no reason was given",
            ),
        )
        for one in failing
    ]
    return [*failed, *(Trouble(one, text) for one in taskforces if (text := explain_ended_workers(one)) is not None)]
