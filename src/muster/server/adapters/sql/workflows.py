"""Rows of workflows and task directives."""

import json
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields
from typing import Any

from sqlalchemy import Row, bindparam, case, exists, func, select, update

from muster.domain.admission import Waiting
from muster.domain.brake import Brake, BrakeState
from muster.domain.errors import NotFoundError
from muster.domain.location import Location
from muster.domain.occupancy import Occupant
from muster.domain.revision import Revision
from muster.domain.room import InUse, Resource, Wants
from muster.domain.standing import Standings
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import TaskDirective, Workflow, WorkflowState
from muster.server.adapters.sql.admission import (
    list_occupants,
    list_standing,
    list_waiting,
    measure_use,
    measure_wants,
)
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import LookUp, Session
from muster.server.adapters.sql.schema import counter, delta, queue, task_directive, workflow
from muster.server.ports.store import Drained

_IN_COLUMNS = ("task_id", "workflow_id", "created_at", "position")
_OF_REVISIONS = frozenset({"revision", "revisions"})
_FIELDS = frozenset(field.name for field in fields(TaskDirective)) - _OF_REVISIONS
_SEQUENCES = ("cluster_locations", "input_queues", "output_queues")
# Statements that every workflow needs are built once: building one takes four times as long as carrying it out.
_NEW, _NEW_DIRECTIVES = NewRows(workflow), NewRows(task_directive)
_GET = LookUp(select(workflow).where(workflow.c.workflow_id == bindparam("workflow_id")))
_GET_LOCKED = LookUp(_GET.statement.with_for_update())
_GET_FREE = (
    select(workflow)
    .where(workflow.c.workflow_id.in_(bindparam("workflow_ids", expanding=True)))
    .with_for_update(skip_locked=True)
)
_BRAKED = select(workflow.c.workflow_id).where(
    workflow.c.workflow_id.in_(bindparam("workflow_ids", expanding=True)), workflow.c.brake.is_not(None)
)
_GET_DIRECTIVE = select(task_directive).where(task_directive.c.task_id == bindparam("task_id"))
_DIRECTIVES = (
    select(task_directive)
    .where(task_directive.c.workflow_id == bindparam("workflow_id"))
    .order_by(task_directive.c.position)
)


class SqlWorkflows:
    """See `muster.server.ports.store.Workflows`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, new: Workflow, directives: Sequence[TaskDirective]) -> None:
        values = vars(new) | {"number": self._session.take_number(), "brake": _write_brake(new.brake)}
        self._session.insert(_NEW, [values])
        rows = [_write_directive(one) | {"number": self._session.take_number()} for one in directives]
        self._session.insert(_NEW_DIRECTIVES, rows)

    def get(self, workflow_id: str, *, lock: bool = False) -> Workflow:
        row = self._session.look_up(_GET_LOCKED if lock else _GET, {"workflow_id": workflow_id}).one_or_none()
        if row is None:
            raise NotFoundError(f"no workflow found with id: {workflow_id}")
        return read_workflow(row)

    def find_free(self, workflow_ids: Sequence[str]) -> Mapping[str, Workflow]:
        rows = self._session.execute(_GET_FREE, {"workflow_ids": workflow_ids})
        return {one.workflow_id: one for one in map(read_workflow, rows)}

    def list_waiting(
        self, phase: Phase, *, limit: int, of_each: int, without: Collection[str] = ()
    ) -> Sequence[Waiting]:
        return list_waiting(self._session, phase, limit=limit, of_each=of_each, without=without)

    def measure_use(self, *, with_events: bool) -> Sequence[InUse]:
        return measure_use(self._session, with_events=with_events)

    def measure_wants(self, workflow_ids: Collection[str], *, with_events: bool) -> Wants:
        return measure_wants(self._session, workflow_ids, with_events=with_events)

    def list_occupants(self, what: Resource, *, owner: str, limit: int) -> Sequence[Occupant]:
        return list_occupants(self._session, what, owner=owner, limit=limit)

    def list_standing(
        self, what: Resource, *, known: Mapping[str, Location], owner: str | None, of_each: int
    ) -> Standings:
        return list_standing(self._session, what, known=known, owner=owner, of_each=of_each)

    def update(self, changed: Workflow) -> None:
        self._session.execute(
            update(workflow)
            .where(workflow.c.workflow_id == changed.workflow_id)
            .values(
                state=changed.state,
                ended_at=changed.ended_at,
                ended_by=changed.ended_by,
                brake=_write_brake(changed.brake),
            )
        )

    def find_braked(self, workflow_ids: Collection[str]) -> AbstractSet[str]:
        return set(self._session.execute(_BRAKED, {"workflow_ids": list(workflow_ids)}).scalars())

    def list_page(self, *, owner: str | None, active: bool | None, after: str | None, limit: int) -> Sequence[Workflow]:
        query = select(workflow).order_by(workflow.c.number.desc()).limit(limit)
        if owner is not None:
            query = query.where(workflow.c.owner == owner)
        if active is not None:
            is_active = workflow.c.state == WorkflowState.ACTIVE
            query = query.where(is_active if active else ~is_active)
        if after is not None:
            number = self._session.connection.scalar(select(workflow.c.number).where(workflow.c.workflow_id == after))
            if number is None:
                raise NotFoundError(f"no workflow found with id: {after}")
            query = query.where(workflow.c.number < number)
        return [read_workflow(row) for row in self._session.execute(query)]

    def get_directive(self, task_id: str) -> TaskDirective:
        row = self._session.execute(_GET_DIRECTIVE, {"task_id": task_id}).one_or_none()
        if row is None:
            raise NotFoundError(f"no task found with id: {task_id}")
        return read_directive(row)

    def find_directives(self, task_ids: Collection[str]) -> Mapping[str, TaskDirective]:
        if not task_ids:
            return {}
        query = select(task_directive).where(task_directive.c.task_id.in_(task_ids))
        return {one.task_id: one for one in map(read_directive, self._session.execute(query))}

    def list_directives(self, workflow_id: str) -> Sequence[TaskDirective]:
        return [read_directive(row) for row in self._session.execute(_DIRECTIVES, {"workflow_id": workflow_id})]

    def update_revisions(self, changed: TaskDirective) -> None:
        revisions = json.dumps([vars(one) for one in changed.revisions])
        self._session.execute(
            update(task_directive).where(task_directive.c.task_id == changed.task_id).values(revisions=revisions)
        )

    def find_drained(self, *, limit: int) -> Drained:
        entrance = queue.alias("entrance")
        open_entrances = exists().where(
            entrance.c.workflow_id == workflow.c.workflow_id,
            entrance.c.is_public,
            entrance.c.is_input,
            entrance.c.closed_at.is_(None),
        )
        # The changes are added up once, and not looked through for each queue: they have no index.
        changes = (
            select(delta.c.queue, func.sum(delta.c.waiting + delta.c.in_work).label("left"))
            .group_by(delta.c.queue)
            .subquery()
        )
        left = func.coalesce(counter.c.waiting + counter.c.in_work, 0) + func.coalesce(changes.c.left, 0)
        closed = (
            select(workflow.c.workflow_id, func.sum(left).label("left"))
            .join(queue, (queue.c.workflow_id == workflow.c.workflow_id) & queue.c.is_input)
            .outerjoin(counter, counter.c.queue == queue.c.number)
            .outerjoin(changes, changes.c.queue == queue.c.number)
            .where(workflow.c.state == WorkflowState.ACTIVE, workflow.c.finish_when_done, ~open_entrances)
            .group_by(workflow.c.workflow_id)
            .subquery()
        )
        drained = case((closed.c.left == 0, closed.c.workflow_id), else_=None)
        query = (
            select(drained.label("workflow_id"), func.count().label("workflows"))
            .group_by(drained)
            .order_by(drained.is_not(None), drained)
            .limit(limit + 1)  # those that have work left are one row, the first
        )
        found = {row.workflow_id: row.workflows for row in self._session.execute(query)}
        draining = found.pop(None, 0)
        return Drained(list(found)[:limit], draining)


def read_workflow(row: Row[Any]) -> Workflow:
    """The object of a row."""
    return Workflow(
        workflow_id=row.workflow_id,
        created_at=row.created_at,
        priority=row.priority,
        owner=row.owner,
        name=row.name,
        finish_when_done=bool(row.finish_when_done),
        state=WorkflowState(row.state),
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        owner_group=row.owner_group,
        brake=_read_brake(row.brake),
    )


def _write_brake(brake: Brake | None) -> str | None:
    return None if brake is None else json.dumps(vars(brake))


def _read_brake(text: str | None) -> Brake | None:
    if text is None:
        return None
    values = json.loads(text)
    return Brake(**values | {"state": BrakeState(values["state"])})


def _write_directive(directive: TaskDirective) -> dict[str, Any]:
    values = {name: value for name, value in vars(directive).items() if name not in _OF_REVISIONS}
    columns = {name: values.pop(name) for name in _IN_COLUMNS}
    return columns | {"spec": json.dumps(values)}


def read_directive(row: Row[Any]) -> TaskDirective:
    """The object of a row. Fields that this version does not know are passed over: two versions may run on one database."""
    spec = {name: value for name, value in json.loads(row.spec).items() if name in _FIELDS}
    for name in _SEQUENCES:
        spec[name] = tuple(spec[name])
    revisions = tuple(Revision(**one) for one in json.loads(row.revisions)) if row.revisions else ()
    return TaskDirective(**{name: getattr(row, name) for name in _IN_COLUMNS}, **spec, revisions=revisions)
