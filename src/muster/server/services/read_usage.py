"""What did a workflow's tasks take of machines, and what could they ask for instead?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muster.domain.queue import Counts
from muster.domain.size import parse_size
from muster.domain.usage import NO_SUMS, UsageSums
from muster.domain.usage_advice import Asked
from muster.domain.workflow import TaskDirective, Taskforce, Workflow
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts


@dataclass(frozen=True)
class TaskUsage:
    """One task. `asked`: by its newest workers."""

    directive: TaskDirective
    asked: Asked
    counts: Counts
    sums: UsageSums


@dataclass(frozen=True)
class WorkflowUsage:
    """A workflow's tasks, in one snapshot. The sums are those of the queues that they read: two tasks that read the same one share
    them, and in the total they are once.
    """

    workflow: Workflow
    tasks: Sequence[TaskUsage]
    counts: Counts
    sums: UsageSums


async def get_usage(parts: Parts, workflow_id: str) -> WorkflowUsage:
    """Raises NotFoundError."""

    def look(tx: Transaction) -> WorkflowUsage:
        workflow = tx.workflows.get(workflow_id)
        numbers = {queue.queue_id: queue.number for queue in tx.queues.list_of_workflow(workflow_id) if queue.is_input}
        counts = tx.queues.counts(list(numbers.values())) if numbers else {}
        usage = tx.queues.usage(list(numbers.values())) if numbers else {}
        newest = {one.task_id: one for one in tx.taskforces.list_of_workflow(workflow_id)}
        tasks = [
            _make(one, newest.get(one.task_id), [numbers[queue_id] for queue_id in one.input_queues], counts, usage)
            for one in tx.workflows.list_directives(workflow_id)
        ]
        return WorkflowUsage(workflow, tasks, sum(counts.values(), Counts()), sum(usage.values(), NO_SUMS))

    return await parts.store.read(look)


def _make(
    directive: TaskDirective,
    taskforce: Taskforce | None,
    numbers: Sequence[int],
    counts: Mapping[int, Counts],
    usage: Mapping[int, UsageSums],
) -> TaskUsage:
    return TaskUsage(
        directive,
        Asked(slots=directive.slots) if taskforce is None else read_asked(taskforce, slots=directive.slots),
        sum((counts[number] for number in numbers), Counts()),
        sum((usage[number] for number in numbers), NO_SUMS),
    )


def read_asked(taskforce: Taskforce, *, slots: int) -> Asked:
    """What its workers ask for, as far as it can be read: requests of before were not judged."""
    n_cores = taskforce.worker_config.get("n_cores", 1)
    try:
        memory_bytes = parse_size(str(taskforce.worker_config.get("worker_memory", "")))
    except ValueError:
        memory_bytes = 0
    return Asked(n_cores if isinstance(n_cores, int) and n_cores >= 1 else 1, memory_bytes, slots)
