"""Where is what documents are made of? Attributes of objects, in columns and in places of columns of JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from muster.domain.filter import Path
from muster.server.adapters.sql.schema import task_directive, taskforce, workflow
from muster.server.adapters.sql.taskforces import JSON_COLUMNS

DIRECTIVE_SPEC = (
    "cluster_locations",
    "task_image",
    "task_args",
    "task_env",
    "init_image",
    "init_args",
    "init_env",
    "input_queues",
    "output_queues",
)
"""Those of the attributes in `spec` that every version has written."""


@dataclass(frozen=True)
class Stored:
    """How objects of one kind are kept.

    Args:
        columns: attribute → its column, where it has one.
        json: attribute → the column of JSON text, and the path to it in there.
        unique: attributes of which no two objects share a value.
        parents: attributes that few objects share a value of, so that some values are not many objects either.
        routes: attributes whose values an index leads from, to the objects in order of their numbers; the narrowest first.
    """

    table: Table
    columns: Mapping[str, Column[Any]]
    json: Mapping[str, tuple[Column[Any], Path]]
    unique: Sequence[str]
    parents: Sequence[str]
    routes: Sequence[Sequence[str]]


WORKFLOWS = Stored(
    workflow,
    columns={column.name: column for column in workflow.c if column.name != "number"},
    json={},
    unique=("workflow_id",),
    parents=(),
    routes=(("state",),),
)
DIRECTIVES = Stored(
    task_directive,
    columns={name: task_directive.c[name] for name in ("task_id", "workflow_id", "created_at", "position")},
    json={name: (task_directive.c.spec, (name,)) for name in DIRECTIVE_SPEC},
    unique=("task_id",),
    parents=("workflow_id",),
    routes=(("workflow_id",),),
)
TASKFORCES = Stored(
    taskforce,
    columns={column.name: column for column in taskforce.c if column.name not in ("number", *JSON_COLUMNS)},
    json={name: (taskforce.c[name], ()) for name in JSON_COLUMNS},
    unique=("taskforce_uuid",),
    parents=("task_id", "cluster_id", "workflow_id"),
    routes=(
        ("task_id",),
        ("cluster_id",),
        ("workflow_id",),
        ("schedd", "job_event_log_fpath"),
        ("phase",),
        ("schedd",),
    ),
)
