"""Rows of notices, read in the order of commit."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Text, cast, func, insert, literal, select, text, tuple_

from muster.domain.outbox import Cursor, Notice
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import outbox
from muster.server.ports.store import Horizon, Newest

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
_NOBODY_SHOWN = "a session that this database user may not see"


class SqlOutbox:
    """See `muster.server.ports.store.Outbox`.

    On PostgreSQL the order of numbers is not the order of commits: a reader that trusts it skips what commits late. So each row keeps
    its transaction's id, and nobody reads past the oldest transaction that is still open. On SQLite there is one writer.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, notice: Notice) -> None:
        txid = _as_number(func.pg_current_xact_id()) if self._session.is_postgres else literal(0)
        self._session.execute(
            insert(outbox).values(
                txid=txid, subject=notice.subject, kind=notice.kind, at=notice.at, data=json.dumps(dict(notice.data))
            )
        )

    def list_after(self, cursor: Cursor, *, subject: str | None, limit: int) -> Sequence[tuple[Cursor, Notice]]:
        query = select(outbox).order_by(outbox.c.txid, outbox.c.number).limit(limit)
        if subject is not None:
            query = query.where(outbox.c.subject == subject)
        if self._session.is_postgres:
            known = tuple_(literal(cursor.transaction, BigInteger), literal(cursor.number, BigInteger))
            query = query.where(
                known < tuple_(outbox.c.txid, outbox.c.number), outbox.c.txid < _as_number(_oldest_open())
            )
        else:  # all have the transaction 0; SQLite finds the place in an index when it is said in two halves
            query = query.where(outbox.c.txid == cursor.transaction, outbox.c.number > cursor.number)
        return [_read(row) for row in self._session.execute(query)]

    def list_newest(self, subject: str, *, limit: int) -> Newest:
        horizon = (
            self._session.connection.scalar(select(_as_number(_oldest_open()))) if self._session.is_postgres else None
        )
        query = select(outbox).where(outbox.c.subject == subject)
        query = query.order_by(outbox.c.txid.desc(), outbox.c.number.desc()).limit(limit + 1)
        rows = list(self._session.execute(query))
        is_held_back = horizon is not None and bool(rows) and rows[0].txid >= horizon
        if is_held_back:
            rows = list(self._session.execute(query.where(outbox.c.txid < horizon)))
        newest = [_read(row) for row in reversed(rows[:limit])]
        return Newest(newest, is_whole=len(rows) <= limit, is_held_back=is_held_back)

    def find(self, cursor: Cursor) -> Notice | None:
        query = select(outbox).where(outbox.c.number == cursor.number, outbox.c.txid == cursor.transaction)
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


def _oldest_open() -> ColumnElement[Any]:
    return func.pg_snapshot_xmin(func.pg_current_snapshot())


def _as_number(xid8: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(cast(xid8, Text), BigInteger)


def _read(row: Row[Any]) -> tuple[Cursor, Notice]:
    return Cursor(row.txid, row.number), Notice(row.subject, row.kind, row.at, json.loads(row.data))
