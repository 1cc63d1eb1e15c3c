"""Rows of files, and whether an event refers to one."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, delete, func, insert, select, update

from muster.domain.errors import NotFoundError
from muster.domain.file import Content, FileRef, FileState, render_reference
from muster.server.adapters.sql.file_schema import IS_REFERENCE, file
from muster.server.adapters.sql.rows import Session, keepable
from muster.server.adapters.sql.schema import event, finished, leased
from muster.server.ports.file_rows import FileRow

CHUNK = 400
"""Values that one statement names."""


class SqlFiles:
    """See `muster.server.ports.file_rows.FileRows`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, row: FileRow) -> None:
        values = {
            "file": row.ref.file,
            "workflow_id": row.workflow_id,
            "made_by": row.made_by,
            "size_bytes": row.ref.size_bytes,
            "checksum": row.ref.checksum,
            "content": row.ref.content.value,
            "state": row.state.value,
            "touched_at": row.touched_at,
            "is_referred": row.is_referred,
        }
        self._session.execute(insert(file), values)

    def get(self, file_id: str) -> FileRow:
        row = self._session.execute(select(file).where(file.c.file == file_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no file {file_id}")
        return _read(row)

    def find_same(self, workflow_id: str, ref: FileRef) -> FileRow | None:
        query = select(file).where(
            file.c.workflow_id == workflow_id,
            file.c.checksum == ref.checksum,
            file.c.size_bytes == ref.size_bytes,
            file.c.content == ref.content.value,
            file.c.state != FileState.GOING.value,
        )
        return next(iter(self._list(query.order_by(file.c.file).limit(1))), None)

    def touch(self, file_id: str, *, state: FileState | None = None) -> bool:
        values: dict[str, Any] = {"touched_at": self._session.now()}
        if state is not None:
            values["state"] = state.value
        is_there = and_(file.c.file == file_id, file.c.state != FileState.GOING.value)
        return bool(self._session.execute(update(file).where(is_there).values(values)).rowcount)

    def refer(self, workflow_id: str, files: Collection[str]) -> Sequence[FileRow]:
        found: list[FileRow] = []
        ordered = sorted(set(keepable(files)))  # in one order, so that two who refer to the same ones wait, and no more
        for start in range(0, len(ordered), CHUNK):
            is_fit = and_(
                file.c.file.in_(ordered[start : start + CHUNK]),
                file.c.workflow_id == workflow_id,
                file.c.state == FileState.STORED.value,
            )
            self._session.execute(select(file.c.file).where(is_fit).order_by(file.c.file).with_for_update())
            self._session.execute(update(file).where(is_fit).values(touched_at=self._session.now(), is_referred=True))
            found += self._list(select(file).where(is_fit))
        return found

    def has_in_hand(self, session: int, ref: FileRef) -> bool:
        query = (
            select(leased.c.event)
            .join(event, event.c.id == leased.c.event)
            .where(leased.c.holder == session, IS_REFERENCE, event.c.body == render_reference(ref))
        )
        return self._session.execute(query.limit(1)).one_or_none() is not None

    def count_unreferred(self, workflow_id: str, made_by: str, *, limit: int) -> int:
        some = (
            select(file.c.file)
            .where(file.c.workflow_id == workflow_id, file.c.made_by == made_by, ~file.c.is_referred)
            .limit(limit)
            .subquery()
        )
        return self._session.connection.scalar(select(func.count()).select_from(some)) or 0

    def list_idle(self, *, before: float, after: str, limit: int) -> Sequence[FileRow]:
        query = select(file).where(file.c.file > after, file.c.touched_at < before)
        return self._list(query.order_by(file.c.file).limit(limit))

    def claim_unreferred(self, rows: Sequence[FileRow], *, before: float) -> Sequence[str]:
        going = [row.ref.file for row in rows if row.state is FileState.GOING]
        body_of = {row.ref.file: render_reference(row.ref) for row in rows if row.state is not FileState.GOING}
        for start in range(0, len(body_of), CHUNK):
            some = dict(list(body_of.items())[start : start + CHUNK])
            kept = self._find_bodies(some.values())
            free = [one for one, body in some.items() if body not in kept]
            claimed = update(file).where(file.c.file.in_(free), file.c.touched_at < before)
            claimed = claimed.values(state=FileState.GOING.value)
            going += self._session.execute(claimed.returning(file.c.file)).scalars()
        return sorted(going)

    def _find_bodies(self, bodies: Collection[bytes]) -> set[bytes]:
        """Those that are some event's body, or its kept result."""
        events = select(event.c.body).where(IS_REFERENCE, event.c.body.in_(bodies))
        results = select(finished.c.result).where(IS_REFERENCE, finished.c.result.in_(bodies))
        return {bytes(row[0]) for query in (events, results) for row in self._session.execute(query)}

    def delete(self, files: Collection[str]) -> None:
        ordered = sorted(files)
        for start in range(0, len(ordered), CHUNK):
            self._session.execute(delete(file).where(file.c.file.in_(ordered[start : start + CHUNK])))

    def find_known(self, files: Collection[str]) -> Collection[str]:
        ordered = sorted(files)
        return {
            found
            for start in range(0, len(ordered), CHUNK)
            for found in self._session.execute(
                select(file.c.file).where(file.c.file.in_(ordered[start : start + CHUNK]))
            ).scalars()
        }

    def _list(self, query: Select[Any]) -> list[FileRow]:
        return [_read(row) for row in self._session.execute(query)]


def _read(row: Row[Any]) -> FileRow:
    return FileRow(
        ref=FileRef(row.file, row.size_bytes, row.checksum, Content(row.content)),
        workflow_id=row.workflow_id,
        made_by=row.made_by,
        state=FileState(row.state),
        touched_at=row.touched_at,
        is_referred=row.is_referred,
    )
