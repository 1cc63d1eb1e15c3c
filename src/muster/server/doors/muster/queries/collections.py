"""What do our door's queries find? Objects as its other routes show them."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from muster.domain.workflow import Workflow
from muster.server.doors.muster.queries.sources import TASK_SOURCES, TASKFORCE_SOURCES, WORKFLOW_SOURCES
from muster.server.doors.muster.taskforces.views import render_seen_taskforce
from muster.server.doors.muster.tasks.views import render_task
from muster.server.doors.muster.workflows.views import render_summary
from muster.server.ports.finder import Found, LoggedTaskforce, Look
from muster.server.ports.store import Transaction
from muster.server.services.find_objects import Collection
from muster.server.services.read_workflow import NamedTask, name_queues


@dataclass(frozen=True)
class SeenTaskforce:
    """A taskforce and how many sessions of its workers live."""

    logged: LoggedTaskforce
    workers: int


def _find_tasks(tx: Transaction, look: Look) -> Found[NamedTask]:
    found = tx.finder.find_directives(look)
    named = name_queues(tx, [one for _, one in found.objects])
    return Found([(number, one) for (number, _), one in zip(found.objects, named, strict=True)], found.reached)


def _find_taskforces(tx: Transaction, look: Look) -> Found[SeenTaskforce]:
    found = tx.finder.find_taskforces(look)
    uuids = [one.taskforce.taskforce_uuid for _, one in found.objects]
    workers = tx.holders.count_live_of(uuids) if uuids else {}
    seen = [(number, SeenTaskforce(one, workers.get(one.taskforce.taskforce_uuid, 0))) for number, one in found.objects]
    return Found(seen, found.reached)


WORKFLOWS: Final = Collection[Workflow](
    lambda tx, look: tx.finder.find_workflows(look), WORKFLOW_SOURCES, lambda one: _to_json(render_summary(one))
)
TASKS: Final = Collection[NamedTask](
    _find_tasks, TASK_SOURCES, lambda one: _to_json(render_task(one.directive, one.aliases))
)
TASKFORCES: Final = Collection[SeenTaskforce](
    _find_taskforces,
    TASKFORCE_SOURCES,
    lambda one: _to_json(render_seen_taskforce(one.logged.taskforce, one.logged.log, one.workers)),
)


def _to_json(shown: msgspec.Struct) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(shown)
    return document
