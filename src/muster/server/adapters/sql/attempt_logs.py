"""Rows of what failed attempts printed (docs/decisions/0029)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from muster.domain.attempt import AttemptEnd
from muster.domain.attempt_output import AttemptOutput, OutputsKept, Stream
from muster.server.adapters.sql.retention_schema import attempt_log
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import attempt
from muster.server.ports.attempt_logs import NewLog


class SqlAttemptLogs:
    """See `muster.server.ports.attempt_logs.AttemptLogs`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, logs: Sequence[NewLog], kept: OutputsKept) -> int:
        output_of = {(one.event, one.fence): one.output for one in logs}
        failed = (
            select(attempt.c.event, attempt.c.fence, attempt.c.queue, attempt.c.fingerprint, attempt.c.at)
            .where(tuple_(attempt.c.event, attempt.c.fence).in_(list(output_of)), attempt.c.end == AttemptEnd.FAILED)
            .order_by(attempt.c.event, attempt.c.fence)
        )
        n_kept = 0
        for row in self._session.execute(failed).all():
            if self._has_room(row, kept):
                n_kept += self._insert(row, output_of[row.event, row.fence])
        return n_kept

    def _has_room(self, row: Row[Any], kept: OutputsKept) -> bool:
        """By the index of causes; no more rows are counted than make the answer."""
        of_queue = select(attempt_log.c.event).where(attempt_log.c.queue == row.queue)
        of_cause = of_queue.where(attempt_log.c.fingerprint == (row.fingerprint or ""))
        return self._count(of_cause, kept.per_cause) < kept.per_cause and (
            self._count(of_queue, kept.per_queue) < kept.per_queue
        )

    def _count(self, rows: Any, limit: int) -> int:
        return self._session.connection.scalar(select(func.count()).select_from(rows.limit(limit).subquery())) or 0

    def _insert(self, row: Row[Any], output: AttemptOutput) -> int:
        dialect = postgresql if self._session.is_postgres else sqlite
        new = dialect.insert(attempt_log).values(
            event=row.event,
            fence=row.fence,
            queue=row.queue,
            fingerprint=row.fingerprint or "",
            at=row.at,
            **_write("stdout", output.stdout),
            **_write("stderr", output.stderr),
        )
        return int(self._session.execute(new.on_conflict_do_nothing()).rowcount)

    def find(self, event: int, fence: int) -> AttemptOutput | None:
        query = select(attempt_log).where(attempt_log.c.event == event, attempt_log.c.fence == fence)
        row = self._session.execute(query).one_or_none()
        if row is None:
            return None
        return AttemptOutput(_read(row.stdout, row.stdout_bytes), _read(row.stderr, row.stderr_bytes))

    def list_fences(self, event: int) -> Sequence[int]:
        query = select(attempt_log.c.fence).where(attempt_log.c.event == event).order_by(attempt_log.c.fence)
        return list(self._session.execute(query).scalars())


def _write(name: str, stream: Stream | None) -> dict[str, Any]:
    if stream is None:
        return {name: None, f"{name}_bytes": 0}
    return {name: stream.packed, f"{name}_bytes": stream.size_bytes}


def _read(packed: bytes | None, size_bytes: int) -> Stream | None:
    return None if packed is None else Stream(bytes(packed), size_bytes)
