"""Who goes round for what need not be kept any longer, and how far has each rule come?"""

from sqlalchemy import delete, insert, select, update

from muster.domain.retention import Kept
from muster.server.adapters.sql.retention_schema import purge_round, purge_walk
from muster.server.adapters.sql.rows import Session
from muster.server.ports.retention import Walk, Way


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

    def note_settled(self, kept: Kept, number: int) -> None:
        self._note(kept, Walk(number, 0.0))

    def note_whole(self, kept: Kept, *, began_at: float) -> None:
        self._note(kept, Walk(0, began_at))

    def find_way(self, name: str) -> Way | None:
        query = select(purge_walk.c.settled, purge_walk.c.whole_at).where(purge_walk.c.kept == _render_way(name))
        row = self._session.execute(query).one_or_none()
        return None if row is None else Way(*row)

    def note_way(self, name: str, way: Way) -> None:
        values = {"settled": way.number, "whole_at": way.began_at}
        of_this = update(purge_walk).where(purge_walk.c.kept == _render_way(name))
        if self._session.execute(of_this.values(**values)).rowcount == 0:
            self._session.execute(insert(purge_walk), {"kept": _render_way(name), **values})

    def forget_way(self, name: str) -> None:
        self._session.execute(delete(purge_walk).where(purge_walk.c.kept == _render_way(name)))

    def _note(self, kept: Kept, noted: Walk) -> None:
        """Of each the later. Rounds take turns, so nobody writes between the two statements."""
        before = self.find_walk(kept)
        if before is None:
            row = {"kept": kept.value, "settled": noted.settled, "whole_at": noted.whole_at}
            self._session.execute(insert(purge_walk), row)
            return
        latest = Walk(max(before.settled, noted.settled), max(before.whole_at, noted.whole_at))
        if latest != before:
            of_this = update(purge_walk).where(purge_walk.c.kept == kept.value)
            self._session.execute(of_this.values(settled=latest.settled, whole_at=latest.whole_at))


def _render_way(name: str) -> str:
    """The row of a look at all beside those of the rules: no rule is called so, and a service of before passes it over."""
    return f"way of {name}"
