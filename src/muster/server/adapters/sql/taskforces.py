"""Rows of taskforces and their phase logs."""

import json
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, exists, func, insert, literal, or_, select, update

from muster.domain.errors import NotFoundError
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Origin, PhaseLogEntry, Taskforce
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.pool_told import read_told, write_told
from muster.server.adapters.sql.rows import Session, keepable
from muster.server.adapters.sql.schema import phase_log, task_directive, taskforce
from muster.server.ports.store import OurAgent, TaskforceState, UpstreamAgent

JSON_COLUMNS = ("worker_config", "pilot_config", "submit_dict", "compound_statuses", "top_task_errors")
_STATES: Select[Any] = select(*(taskforce.c[field.name] for field in fields(TaskforceState)))
_FIXED = (
    "taskforce_uuid",
    "task_id",
    "workflow_id",
    "created_at",
    "priority",
    "location",
    "schedd",
    "collector",
    "origin",
    "revision",
)
# Statements that every taskforce needs are built once: building one takes four times as long as carrying it out.
_FIND = select(taskforce).where(taskforce.c.taskforce_uuid.in_(bindparam("taskforce_uuids", expanding=True)))
_OF_WORKFLOWS = (
    select(taskforce)
    .join(task_directive, task_directive.c.task_id == taskforce.c.task_id)
    .where(taskforce.c.workflow_id.in_(bindparam("workflow_ids", expanding=True)))
    .order_by(task_directive.c.position, taskforce.c.number)
)
_NEW, _NEW_LOG = NewRows(taskforce), NewRows(phase_log)
_UPDATE = update(taskforce).where(taskforce.c.taskforce_uuid == bindparam("changed"))
_UNTOLD = (
    select(taskforce.c.workflow_id)
    .distinct()
    .where(
        taskforce.c.workflow_id.in_(bindparam("workflow_ids", expanding=True)),
        taskforce.c.phase == bindparam("phase"),
        ~exists().where(
            phase_log.c.taskforce_uuid == taskforce.c.taskforce_uuid, phase_log.c.context == bindparam("context")
        ),
    )
)
_LOGS = (
    select(phase_log)
    .where(phase_log.c.taskforce_uuid.in_(bindparam("taskforce_uuids", expanding=True)))
    .order_by(phase_log.c.taskforce_uuid, phase_log.c.number)
)
_ENTRY = tuple(field.name for field in fields(PhaseLogEntry))
_LAST = select(func.coalesce(func.max(phase_log.c.number), 0)).where(phase_log.c.taskforce_uuid == bindparam("of"))
_APPEND_LOG = insert(phase_log).from_select(
    ("taskforce_uuid", "number", *_ENTRY),
    select(
        bindparam("of", type_=phase_log.c.taskforce_uuid.type),
        _LAST.scalar_subquery() + literal(1),
        *(bindparam(name, type_=phase_log.c[name].type) for name in _ENTRY),
    ),
)


class SqlTaskforces:
    """See `muster.server.ports.store.Taskforces`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, new: Taskforce, entry: PhaseLogEntry) -> None:
        self.insert_all([new], entry)

    def insert_all(self, new: Sequence[Taskforce], entry: PhaseLogEntry) -> None:
        self._session.insert(_NEW, [_write(one) | {"number": self._session.take_number()} for one in new])
        first = vars(entry) | {"number": 1}
        self._session.insert(_NEW_LOG, [first | {"taskforce_uuid": one.taskforce_uuid} for one in new])

    def get(self, taskforce_uuid: str) -> Taskforce:
        found = self.find([taskforce_uuid])
        if not found:
            raise NotFoundError(f"no taskforce found with uuid: {taskforce_uuid}")
        return found[taskforce_uuid]

    def find(self, taskforce_uuids: Sequence[str]) -> Mapping[str, Taskforce]:
        found = self._session.execute(_FIND, {"taskforce_uuids": keepable(taskforce_uuids)})
        return {one.taskforce_uuid: one for one in map(read_taskforce, found)}

    def update(self, *changed: Taskforce) -> None:
        self._session.execute(_UPDATE, [_write_changes(one) for one in changed])

    def find_untold(self, workflow_ids: Collection[str], *, phase: Phase, context: str) -> AbstractSet[str]:
        if not workflow_ids:
            return set()
        values = {"workflow_ids": list(workflow_ids), "phase": phase, "context": context}
        return set(self._session.execute(_UNTOLD, values).scalars())

    def append_log(self, taskforce_uuid: str, entry: PhaseLogEntry) -> None:
        self.append_logs([(taskforce_uuid, entry)])

    def append_logs(self, entries: Sequence[tuple[str, PhaseLogEntry]]) -> None:
        self._session.execute(_APPEND_LOG, [vars(entry) | {"of": uuid} for uuid, entry in entries])

    def list_log(self, taskforce_uuids: Sequence[str]) -> Mapping[str, Sequence[PhaseLogEntry]]:
        logs: dict[str, list[PhaseLogEntry]] = {uuid: [] for uuid in taskforce_uuids}
        for row in self._session.execute(_LOGS, {"taskforce_uuids": list(taskforce_uuids)}):
            logs[row.taskforce_uuid].append(
                PhaseLogEntry(
                    target_phase=Phase(row.target_phase),
                    at=row.at,
                    was_successful=bool(row.was_successful),
                    source_event_time=row.source_event_time,
                    source_entity=row.source_entity,
                    context=row.context,
                )
            )
        return logs

    def list_of_workflow(self, workflow_id: str) -> Sequence[Taskforce]:
        return self.list_of_workflows([workflow_id])[workflow_id]

    def list_of_workflows(self, workflow_ids: Sequence[str]) -> Mapping[str, Sequence[Taskforce]]:
        found: dict[str, list[Taskforce]] = {one: [] for one in workflow_ids}
        for row in self._session.execute(_OF_WORKFLOWS, {"workflow_ids": list(workflow_ids)}):
            found[row.workflow_id].append(read_taskforce(row))
        return found

    def count_phases(self, workflow_id: str) -> Mapping[Phase, int]:
        query = (
            select(taskforce.c.phase, func.count())
            .where(taskforce.c.workflow_id == workflow_id)
            .group_by(taskforce.c.phase)
        )
        return {Phase(phase): count for phase, count in self._session.execute(query)}

    def has_clusters(self, workflow_id: str) -> bool:
        is_there = taskforce.c.cluster_id.is_not(None) & (taskforce.c.phase != Phase.CONDOR_COMPLETE)
        query = select(exists().where(taskforce.c.workflow_id == workflow_id, is_there))
        return bool(self._session.connection.scalar(query))

    def list_of_task(self, task_id: str) -> Sequence[Taskforce]:
        query = (
            select(taskforce)
            .where(taskforce.c.task_id == task_id)
            .order_by(taskforce.c.created_at, taskforce.c.taskforce_uuid)
        )
        return self._list(query)

    def find_startable(self, agent: OurAgent | UpstreamAgent, *, now: float, limit: int) -> Sequence[Taskforce]:
        query = (
            select(taskforce)
            .where(taskforce.c.phase == Phase.PENDING_STARTER, *_is_for(agent, now))
            .order_by(taskforce.c.priority.desc(), taskforce.c.submit_failures, taskforce.c.created_at)
            .limit(limit)
        )
        return self._list(query)

    def find_stoppable(
        self, agent: OurAgent | UpstreamAgent, *, now: float, limit: int, kept_s: float = 0.0
    ) -> Sequence[Taskforce]:
        query = (
            select(taskforce)
            .where(
                taskforce.c.phase == Phase.PENDING_STOPPER,
                taskforce.c.cluster_id.is_not(None),
                *_is_for(agent, now),
            )
            .order_by(taskforce.c.created_at)
            .limit(limit)
        )
        if isinstance(agent, OurAgent) and kept_s > 0:
            # By its own log: its workflow may have been reopened since.
            ended_lately = exists().where(
                phase_log.c.taskforce_uuid == taskforce.c.taskforce_uuid,
                phase_log.c.target_phase == Phase.PENDING_STOPPER,
                phase_log.c.was_successful,
                phase_log.c.at > now - kept_s,
            )
            query = query.where(
                or_(taskforce.c.claim_agent.is_(None), taskforce.c.claim_agent == agent.name, ~ended_lately)
            )
        return self._list(query)

    def find_claimed(self, agent: str) -> Sequence[TaskforceState]:
        query = _STATES.where(taskforce.c.claim_agent == agent, taskforce.c.phase != Phase.CONDOR_COMPLETE).order_by(
            taskforce.c.created_at
        )
        return self._list_states(query)

    def find_states(self, taskforce_uuids: Sequence[str]) -> Mapping[str, TaskforceState]:
        query = _STATES.where(taskforce.c.taskforce_uuid.in_(keepable(taskforce_uuids)))
        return {one.taskforce_uuid: one for one in self._list_states(query)}

    def _list_states(self, query: Select[Any]) -> list[TaskforceState]:
        return [
            TaskforceState(uuid, workflow_id, location, schedd, Phase(phase), *rest)
            for uuid, workflow_id, location, schedd, phase, *rest in self._session.execute(query)
        ]

    def _list(self, query: Select[Any]) -> list[Taskforce]:
        return [read_taskforce(row) for row in self._session.execute(query)]


def _is_for(agent: OurAgent | UpstreamAgent, now: float) -> Sequence[ColumnElement[bool]]:
    """May this agent try it? By SQL alone, so that no others stand in front of what is its own."""
    is_tried = taskforce.c.held_reason.is_(None)
    if isinstance(agent, UpstreamAgent):
        return (
            is_tried,
            taskforce.c.schedd == agent.schedd,
            taskforce.c.location.not_in(agent.other_locations),
            taskforce.c.claim_agent.is_(None),
        )
    return (
        is_tried,
        taskforce.c.schedd.in_(agent.schedds),
        taskforce.c.location.in_(agent.locations),
        or_(taskforce.c.claim_until.is_(None), taskforce.c.claim_until <= now, taskforce.c.claim_agent == agent.name),
    )


def _write(one: Taskforce) -> dict[str, Any]:
    values = dict(vars(one))
    for name in JSON_COLUMNS:
        values[name] = json.dumps(values[name])
    values["pool_told"] = write_told(values.pop("facts"), values.pop("reasons"))
    return values


def _write_changes(one: Taskforce) -> dict[str, Any]:
    values = _write(one)
    for name in _FIXED:
        del values[name]
    return values | {"changed": one.taskforce_uuid}


def read_taskforce(row: Row[Any]) -> Taskforce:
    """The object of a row."""
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    del values["number"]
    for name in JSON_COLUMNS:
        values[name] = json.loads(values[name])
    values["facts"], values["reasons"] = read_told(values.pop("pool_told"))
    values["phase"], values["origin"] = Phase(values["phase"]), Origin(values["origin"])
    return Taskforce(**values)
