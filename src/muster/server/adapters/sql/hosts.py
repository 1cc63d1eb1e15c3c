"""Rows of execution points, by task."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Row, Select, case, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from muster.domain.attempt import AttemptEnd
from muster.domain.hosts import HostRecord, Others
from muster.server.adapters.sql.hosts_schema import host_record
from muster.server.adapters.sql.rows import Session, keepable
from muster.server.adapters.sql.schema import attempt, holder, taskforce
from muster.server.ports.hosts import FailedThere

CHUNK = 400
"""Keys that one statement names."""
_KEY = ("task_id", "host")
_CHANGING = tuple(field.name for field in fields(HostRecord) if field.name not in _KEY)


class SqlHosts:
    """See `muster.server.ports.hosts.Hosts`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, keys: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], HostRecord]:
        found: dict[tuple[str, str], HostRecord] = {}
        ordered = sorted(key for key in keys if keepable(key) == list(key))
        for start in range(0, len(ordered), CHUNK):
            some = ordered[start : start + CHUNK]
            query = select(host_record).where(tuple_(host_record.c.task_id, host_record.c.host).in_(some))
            found |= {(one.task_id, one.host): one for one in self._list(query)}
        return found

    def put(self, records: Sequence[HostRecord]) -> None:
        if not records:
            return
        insert = postgresql.insert if self._session.is_postgres else sqlite.insert
        statement = insert(host_record)
        statement = statement.on_conflict_do_update(
            index_elements=[host_record.c[name] for name in _KEY],
            set_={name: statement.excluded[name] for name in _CHANGING},
        )
        self._session.execute(statement, [vars(one) for one in records])

    def list_of_tasks(self, task_ids: Collection[str]) -> Sequence[HostRecord]:
        query = select(host_record).where(host_record.c.task_id.in_(task_ids))
        return self._list(query.order_by(host_record.c.failed.desc(), host_record.c.task_id, host_record.c.host))

    def list_resting(self, *, at: float) -> Sequence[HostRecord]:
        return self._list(select(host_record).where(host_record.c.rests_until > at))

    def list_trusted(self, *, since: float) -> Sequence[HostRecord]:
        return self._list(select(host_record).where(host_record.c.trusted_at >= since))

    def list_failing(self, events: Collection[int]) -> Sequence[FailedThere]:
        found: list[FailedThere] = []
        ordered = sorted(events)
        for start in range(0, len(ordered), CHUNK):
            query = (
                select(attempt.c.event, holder.c.host, taskforce.c.revision, attempt.c.at)
                .join(holder, holder.c.number == attempt.c.holder)
                .join(taskforce, taskforce.c.taskforce_uuid == holder.c.taskforce_uuid)
                .where(attempt.c.event.in_(ordered[start : start + CHUNK]), attempt.c.end == AttemptEnd.FAILED)
            )
            found += [FailedThere(*row) for row in self._session.execute(query)]
        return found

    def add_up(self, task_ids: Collection[str], *, at: float) -> Mapping[str, Others]:
        resting = func.sum(case((host_record.c.rests_until > at, 1), else_=0))
        query = (
            select(
                host_record.c.task_id,
                func.count(),
                resting,
                func.sum(host_record.c.done),
                func.sum(host_record.c.blamed),
            )
            .where(host_record.c.task_id.in_(task_ids))
            .group_by(host_record.c.task_id)
        )
        return {task_id: Others(*map(int, sums)) for task_id, *sums in self._session.execute(query)}

    def _list(self, query: Select[Any]) -> list[HostRecord]:
        return [_read(row) for row in self._session.execute(query)]


def _read(row: Row[Any]) -> HostRecord:
    return HostRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
