"""Which objects may fit a filter? Those that SQL finds, in order of their numbers or against it, over a stretch that is bounded.

A stretch is what one index leads to, so many entries at most; where it ends is asked first. So a filter that almost nothing
fits is looked for piece by piece. SQLite, which knows nothing of how many rows there are, is shown that index alone.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Row, Select, select
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
            return Found([], None)
        approach = find_approach(look.filter, look.sources, stored, is_postgres=self._session.is_postgres)
        number = stored.table.c.number
        order = number.desc() if look.newest_first else number.asc()
        ahead = (*approach.conditions, number < look.after if look.newest_first else number > look.after)
        end = None
        if not approach.is_short and not isinstance(told.upper, True_):
            end = self._find_end(select(number).where(*ahead).order_by(order), look.scan)
        if end is not None:
            ahead = (*ahead, number >= end if look.newest_first else number <= end)
        query = select(stored.table).where(*ahead, told.upper).order_by(order).limit(look.limit)
        rows = self._session.execute(query).all()
        objects = [(row.number, read(row)) for row in rows]
        return Found(objects, objects[-1][0] if len(objects) == look.limit else end)

    def _find_end(self, stretch: Select[tuple[int]], scan: int) -> int | None:
        """The number at which so many have been passed; None: there are not so many."""
        row = self._session.execute(stretch.offset(scan - 1).limit(1)).first()
        return None if row is None else row.number
