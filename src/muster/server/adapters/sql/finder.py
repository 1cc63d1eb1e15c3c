"""Which objects may fit a filter? Those that SQL finds, in order of their numbers, over a stretch that is bounded.

A stretch is what the best index leads to, so many entries at most; where it ends is asked first. So a filter that almost nothing
fits is looked for piece by piece, whatever the planner thinks of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.sql.elements import False_, True_

from muster.domain.workflow import TaskDirective, Workflow
from muster.server.adapters.sql.filters.compile import compile_filter, find_approach
from muster.server.adapters.sql.filters.stored import DIRECTIVES, TASKFORCES, WORKFLOWS, Stored
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.taskforces import SqlTaskforces, read_taskforce
from muster.server.adapters.sql.workflows import read_directive, read_workflow
from muster.server.ports.finder import Found, LoggedTaskforce, Look

T = TypeVar("T")


class SqlFinder:
    """See `muster.server.ports.finder.Finder`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_workflows(self, look: Look) -> Found[Workflow]:
        return self._find(look, WORKFLOWS, read_workflow)

    def find_directives(self, look: Look) -> Found[TaskDirective]:
        return self._find(look, DIRECTIVES, read_directive)

    def find_taskforces(self, look: Look) -> Found[LoggedTaskforce]:
        found = self._find(look, TASKFORCES, read_taskforce)
        uuids = [one.taskforce_uuid for _, one in found.objects]
        logs = SqlTaskforces(self._session).list_log(uuids) if look.with_log and uuids else {}
        logged = [(number, LoggedTaskforce(one, logs.get(one.taskforce_uuid, ()))) for number, one in found.objects]
        return Found(logged, found.reached)

    def _find(self, look: Look, stored: Stored, read: Callable[[Row[Any]], T]) -> Found[T]:
        told = compile_filter(look.filter, look.sources, stored, is_postgres=self._session.is_postgres)
        if isinstance(told.upper, False_):
            return Found((), None)
        number = stored.table.c.number
        query = select(stored.table).where(told.upper, number > look.after).order_by(number).limit(look.limit)
        end = None if isinstance(told.upper, True_) else self._find_end(look, stored)
        if end is not None:
            query = query.where(number <= end)
        rows = self._session.execute(query).all()
        objects = [(row.number, read(row)) for row in rows]
        return Found(objects, objects[-1][0] if len(objects) == look.limit else end)

    def _find_end(self, look: Look, stored: Stored) -> int | None:
        """Up to which number the stretch goes; None: there is no more than that."""
        approach = find_approach(look.filter, look.sources, stored, is_postgres=self._session.is_postgres)
        return None if approach is None else self._skip(look, stored, approach)

    def _skip(self, look: Look, stored: Stored, approach: Sequence[ColumnElement[bool]]) -> int | None:
        number = stored.table.c.number
        query = select(number).where(*approach, number > look.after).order_by(number).offset(look.scan - 1).limit(1)
        end: int | None = self._session.connection.scalar(query)
        return end
