"""Rows of notices, read in the order of commit."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Text,
    cast,
    func,
    literal,
    select,
    text,
    tuple_,
)

from muster.domain.outbox import Cursor, Notice
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import era, outbox
from muster.server.ports.outbox import Horizon, Newest

# A session of another database user is shown without its name and state, and a prepared transaction has no session at all.
_HOLDER = text("""
    SELECT 'process ' || pid || coalesce(' of ' || usename, '') || coalesce(', ' || nullif(application_name, ''), '')
        || coalesce(', ' || state, '') || coalesce(', begun at ' || to_char(xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS "UTC"'), '')
    FROM pg_stat_activity WHERE backend_xid = CAST(CAST(CAST(:transaction AS text) AS xid8) AS xid)
    UNION ALL
    SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
    WHERE transaction = CAST(CAST(CAST(:transaction AS text) AS xid8) AS xid)
    LIMIT 1
""")
_PRESENT_ERA = "coalesce((SELECT max(number) FROM era), 0)"
_NEW = NewRows(
    outbox, {"era": (_PRESENT_ERA, _PRESENT_ERA), "txid": ("CAST(CAST(pg_current_xact_id() AS text) AS bigint)", "0")}
)
_NOBODY_SHOWN = "a session that this database user may not see"


class SqlOutbox:
    """See `muster.server.ports.outbox.Outbox`.

    On PostgreSQL the order of numbers is not the order of commits: a reader that trusts it skips what commits late. So each row keeps
    its transaction's id, and nobody reads past the oldest transaction that is still open. In a database that was restored elsewhere those
    ids begin anew, far below those of the rows that it brought. So each row keeps its era, too: what stands in a former one was
    committed before this one began. On SQLite there is one writer, and the order of numbers is that of commits.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, *notices: Notice) -> None:
        rows = [
            {"subject": one.subject, "kind": one.kind, "at": one.at, "data": json.dumps(dict(one.data))}
            for one in notices
        ]
        self._session.insert(_NEW, rows)

    def list_after(self, cursor: Cursor, *, subject: str | None, limit: int) -> Sequence[tuple[Cursor, Notice]]:
        query = select(outbox).order_by(outbox.c.era, outbox.c.txid, outbox.c.number)
        if subject is not None:
            query = query.where(outbox.c.subject == subject)
        if self._session.is_postgres:
            known = tuple_(*(literal(one, BigInteger) for one in (cursor.era, cursor.transaction, cursor.number)))
            query = query.where(known < tuple_(outbox.c.era, outbox.c.txid, outbox.c.number), _is_committed())
            return [_read(row) for row in self._session.execute(query.limit(limit))]
        # SQLite finds the place in an index when it is said in parts: the rest of the cursor's era, where all have the same
        # transaction, and the eras after it.
        rest = query.where(
            outbox.c.era == cursor.era, outbox.c.txid == cursor.transaction, outbox.c.number > cursor.number
        )
        rows = list(self._session.execute(rest.limit(limit)))
        if len(rows) < limit:
            rows += self._session.execute(query.where(outbox.c.era > cursor.era).limit(limit - len(rows)))
        return [_read(row) for row in rows]

    def list_newest(self, subject: str, *, limit: int) -> Newest:
        query = select(outbox).where(outbox.c.subject == subject)
        query = query.order_by(outbox.c.era.desc(), outbox.c.txid.desc(), outbox.c.number.desc()).limit(limit + 1)
        rows = list(self._session.execute(query))
        is_held_back = False
        if self._session.is_postgres and rows:
            number, horizon = self._session.execute(select(_present_era(), _as_number(_oldest_open()))).one()
            is_held_back = rows[0].era == number and rows[0].txid >= horizon
        if is_held_back:
            rows = list(self._session.execute(query.where(_is_committed())))
        newest = [_read(row) for row in reversed(rows[:limit])]
        return Newest(newest, is_whole=len(rows) <= limit, is_held_back=is_held_back)

    def find(self, cursor: Cursor) -> Notice | None:
        query = select(outbox).where(
            outbox.c.number == cursor.number, outbox.c.txid == cursor.transaction, outbox.c.era == cursor.era
        )
        row = self._session.execute(query).one_or_none()
        return None if row is None else _read(row)[1]

    def find_horizon(self) -> Horizon | None:
        if not self._session.is_postgres:
            return None
        next_one = _as_number(func.pg_snapshot_xmax(func.pg_current_snapshot()))
        oldest, next_one = self._session.execute(select(_as_number(_oldest_open()), next_one)).one()
        if oldest >= next_one:
            return None
        holder = self._session.connection.scalar(_HOLDER, {"transaction": str(oldest)})
        return Horizon(oldest, holder or _NOBODY_SHOWN)


def count_held_back(session: Session, *, limit: int) -> int:
    """Notices that are written and cannot be told yet, `limit` at most."""
    if not session.is_postgres:
        return 0
    held = select(outbox.c.number).where(
        tuple_(outbox.c.era, outbox.c.txid) >= tuple_(_present_era(), _as_number(_oldest_open()))
    )
    return int(session.connection.scalar(select(func.count()).select_from(held.limit(limit).subquery())) or 0)


def _present_era() -> ColumnElement[int]:
    return func.coalesce(select(func.max(era.c.number)).scalar_subquery(), 0)


def _is_committed() -> ColumnElement[bool]:
    """Is a row, and are all that could yet come in front of it? (PostgreSQL)"""
    return tuple_(outbox.c.era, outbox.c.txid) < tuple_(_present_era(), _as_number(_oldest_open()))


def _oldest_open() -> ColumnElement[Any]:
    return func.pg_snapshot_xmin(func.pg_current_snapshot())


def _as_number(xid8: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(cast(xid8, Text), BigInteger)


def _read(row: Row[Any]) -> tuple[Cursor, Notice]:
    return Cursor(row.era, row.txid, row.number), Notice(row.subject, row.kind, row.at, json.loads(row.data))
