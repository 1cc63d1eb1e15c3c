"""Who goes round for what need not be kept any longer, and how far has each rule come?"""

from sqlalchemy import ColumnElement, delete, insert, select, update

from muster.domain.retention import Kept
from muster.server.adapters.sql.retention_schema import purge_round, purge_walk
from muster.server.adapters.sql.rows import Session
from muster.server.ports.retention import Walk


class SqlRounds:
    """See `muster.server.ports.retention.Rounds`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take_round(self, keeper: str, *, for_s: float) -> bool:
        now = self._session.now()
        row = self._session.execute(select(purge_round)).one_or_none()
        if row is None:
            self._session.execute(insert(purge_round), {"number": 1, "keeper": keeper, "until": now + for_s})
        elif row.keeper != keeper and row.until > now:
            return False
        elif row.keeper != keeper or row.until < now + for_s / 2:
            self._session.execute(update(purge_round).values(keeper=keeper, until=now + for_s))
        return True

    def end_round(self, keeper: str) -> None:
        self._session.execute(delete(purge_round).where(purge_round.c.keeper == keeper))

    def find_walk(self, kept: Kept) -> Walk | None:
        query = select(purge_walk.c.settled, purge_walk.c.whole_at).where(purge_walk.c.kept == kept.value)
        row = self._session.execute(query).one_or_none()
        return None if row is None else Walk(*row)

    def begin_walk(self, kept: Kept) -> None:
        now = self._session.now()
        if self._change_walk(kept, whole_at=now) == 0:
            self._session.execute(insert(purge_walk), {"kept": kept.value, "settled": 0, "whole_at": now})

    def note_settled(self, kept: Kept, number: int) -> None:
        self._change_walk(kept, purge_walk.c.settled < number, settled=number)

    def _change_walk(self, kept: Kept, *conditions: ColumnElement[bool], **values: float) -> int:
        of_this = update(purge_walk).where(purge_walk.c.kept == kept.value, *conditions)
        return int(self._session.execute(of_this.values(**values)).rowcount)
