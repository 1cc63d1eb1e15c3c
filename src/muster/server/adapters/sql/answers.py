"""Rows of answers to requests with an Idempotency-Key."""

import hashlib

from sqlalchemy import BigInteger, bindparam, delete, func, select

from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import AloneError, LookUp, Session
from muster.server.adapters.sql.schema import answer
from muster.server.ports.store import StoredAnswer

_NEW = NewRows(answer)
_LOCK = LookUp(select(func.pg_advisory_xact_lock(bindparam("lock", type_=BigInteger))))
_TRY_LOCK = LookUp(select(func.pg_try_advisory_xact_lock(bindparam("lock", type_=BigInteger))))
_GET = LookUp(
    select(answer).where(
        answer.c.owner == bindparam("of"), answer.c.route == bindparam("at"), answer.c.key == bindparam("by")
    )
)


class SqlAnswers:
    """See `muster.server.ports.store.Answers`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def claim(self, owner: str, route: str, key: str, *, body_hash: str, now: float) -> StoredAnswer | None:
        del body_hash, now  # the caller compares; the lock needs neither
        if self._session.is_postgres:
            # One in flight holds the lock until its commit; on SQLite there is one writer anyway. Where others share the transaction it
            # is not waited for: that may take as long as whoever has it wants, and would be crosswise with the rows that are locked.
            digest = hashlib.sha256(f"{owner}\0{route}\0{key}".encode()).digest()
            lock = int.from_bytes(digest[:8], "big", signed=True)
            if not self._session.is_shared:
                self._session.look_up(_LOCK, {"lock": lock})
            elif not self._session.look_up(_TRY_LOCK, {"lock": lock}).scalar():
                raise AloneError
        row = self._session.look_up(_GET, {"of": owner, "at": route, "by": key}).one_or_none()
        return None if row is None else StoredAnswer(row.status, bytes(row.body), row.body_hash)

    def insert(self, owner: str, route: str, key: str, stored: StoredAnswer, *, now: float) -> None:
        row = {
            "owner": owner,
            "route": route,
            "key": key,
            "body_hash": stored.body_hash,
            "status": stored.status,
            "body": stored.body,
            "at": now,
        }
        self._session.insert(_NEW, [row])

    def delete_older(self, before: float, *, limit: int) -> int:
        old = select(answer.c.owner, answer.c.route, answer.c.key).where(answer.c.at < before).limit(limit)
        rows = self._session.execute(old).all()
        for row in rows:
            self._session.execute(
                delete(answer).where(answer.c.owner == row.owner, answer.c.route == row.route, answer.c.key == row.key)
            )
        return len(rows)

    def count_older(self, before: float) -> int:
        query = select(func.count()).select_from(answer).where(answer.c.at < before)
        return self._session.connection.scalar(query) or 0
