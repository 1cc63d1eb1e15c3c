"""How does it look what a workflow's tasks took of machines?"""

from muster.client.shapes.message import Answer


class UsageSumsView(Answer):
    """Of the attempts that the service knows anything of: not those of workers that died, nor those from before it was measured.

    `wall_s`: how long tasks ran in all; `lost_s` of it in attempts that did not end their event (failed, given back, come second);
    `measured_s` of it in attempts whose CPU time is known. `cpu_s`: user and system together. `bytes_in`: of events' bodies;
    `bytes_out`: of results.
    """

    wall_s: float
    lost_s: float
    measured_s: float
    cpu_s: float
    bytes_in: int
    bytes_out: int


class UsageView(UsageSumsView):
    """The same with how many attempts were `done` and `failed`, and `memory_bytes` of the largest one; null: not known."""

    done: int
    failed: int
    memory_bytes: int | None


class TaskUsageView(UsageView):
    """One task. `n_cores`, `worker_memory_bytes` (null: not known): what its newest workers ask for; `slots`: events at once of each.

    `cpu_efficiency`: cpu_s / (measured_s * n_cores / slots); null: not known. `advice`: sentences, where something is plain.
    """

    task_id: str
    slots: int
    n_cores: int
    worker_memory_bytes: int | None
    cpu_efficiency: float | None
    advice: list[str]


class WorkflowUsageView(Answer):
    """GET /muster/v1/workflows/{id}/usage"""

    workflow_id: str
    state: str
    tasks: list[TaskUsageView]
    total: UsageView
