"""Rows of agents that asked for work."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from muster.domain.asking import KEPT_S, Ask
from muster.domain.location import Agent
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import asking


class SqlAskings:
    """See `muster.server.ports.store.Askings`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def note(self, asks: Sequence[Ask]) -> None:
        insert = postgresql.insert if self._session.is_postgres else sqlite.insert
        statement = insert(asking)
        statement = statement.on_conflict_do_update(
            index_elements=[asking.c.kind, asking.c.place, asking.c.agent], set_={"at": statement.excluded.at}
        )
        # In one order, so that two services that write of the same agents wait for each other, and never both.
        for one in sorted(asks, key=lambda one: (one.kind, one.place, one.agent)):
            self._session.execute(statement, {"kind": one.kind, "place": one.place, "agent": one.agent, "at": one.at})
        self._session.execute(delete(asking).where(asking.c.at < self._session.now() - KEPT_S))

    def find(self, *, locations: Collection[str], schedds: Collection[str]) -> Sequence[Ask]:
        query = (
            select(asking)
            .where(
                or_(
                    (asking.c.kind == Agent.MUSTER) & asking.c.place.in_(locations),
                    (asking.c.kind == Agent.UPSTREAM) & asking.c.place.in_(schedds),
                )
            )
            .order_by(asking.c.at.desc(), asking.c.agent)
        )
        return [Ask(Agent(row.kind), row.place, row.agent, row.at) for row in self._session.execute(query)]
