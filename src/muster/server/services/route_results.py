"""Which queue does a result go to that names one? By the aliases of its task's output queues."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from muster.domain.errors import Finding, InvalidError
from muster.server.ports.queue_engine import Finished
from muster.server.services.worker_desk import TaskPlan


def route_results(
    plan: TaskPlan, finished: Sequence[Finished], routes: Mapping[int, Sequence[str | None]]
) -> Sequence[Finished]:
    """The attempts with their results' targets.

    Args:
        routes: by the place of an attempt, the alias that each of its results names; None: it goes to every queue.

    Raises InvalidError: an alias that is no output queue of the task.
    """
    numbers = dict(zip(plan.output_names, plan.outputs, strict=True))
    findings = [
        Finding(f"finished[{place}].results[{index}].to", _tell(name, plan))
        for place, names in routes.items()
        for index, name in enumerate(names)
        if name is not None and name not in numbers
    ]
    if findings:
        raise InvalidError(findings[:20])
    routed = list(finished)
    for place, names in routes.items():
        routed[place] = replace(finished[place], targets=[None if name is None else numbers[name] for name in names])
    return routed


def _tell(name: str, plan: TaskPlan) -> str:
    known = ", ".join(plan.output_names) or "none"
    return f"is {name[:100]!r}, which is no output queue of the task; it has: {known}"
