"""Rows of notices, read in the order of commit."""

import json
from collections.abc import Sequence

from sqlalchemy import BigInteger, Text, and_, cast, func, insert, literal, or_, select

from muster.domain.outbox import Cursor, Notice
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import outbox


class SqlOutbox:
    """See `muster.server.ports.store.Outbox`.

    On PostgreSQL the order of numbers is not the order of commits: a reader that trusts it skips what commits late. So each row keeps
    its transaction's id, and nobody reads past the oldest transaction that is still open. On SQLite there is one writer.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, notice: Notice) -> None:
        txid = cast(cast(func.pg_current_xact_id(), Text), BigInteger) if self._session.is_postgres else literal(0)
        self._session.execute(
            insert(outbox).values(
                txid=txid, subject=notice.subject, kind=notice.kind, at=notice.at, data=json.dumps(dict(notice.data))
            )
        )

    def list_after(self, cursor: Cursor, *, subject: str | None, limit: int) -> Sequence[tuple[Cursor, Notice]]:
        query = (
            select(outbox)
            .where(
                or_(
                    outbox.c.txid > cursor.transaction,
                    and_(outbox.c.txid == cursor.transaction, outbox.c.number > cursor.number),
                )
            )
            .order_by(outbox.c.txid, outbox.c.number)
            .limit(limit)
        )
        if subject is not None:
            query = query.where(outbox.c.subject == subject)
        if self._session.is_postgres:
            horizon = func.pg_snapshot_xmin(func.pg_current_snapshot())
            query = query.where(outbox.c.txid < cast(cast(horizon, Text), BigInteger))
        return [
            (Cursor(row.txid, row.number), Notice(row.subject, row.kind, row.at, json.loads(row.data)))
            for row in self._session.execute(query)
        ]
