"""Which table holds what is known of files, and how is it found whether an event refers to one?"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Table, Text, text

from muster.server.adapters.sql.schema import event, finished, metadata

IS_REFERENCE = text("kind = 3")
"""queue_engine.BodyKind.FILE. Written out, so that the databases see that their indexes of references do."""

IS_UNREFERRED = text("is_referred = 0"), text("NOT is_referred")
"""As the queries have it, on SQLite and on PostgreSQL."""

file = Table(
    "file",
    metadata,
    Column("file", Text, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("touched_at", Double, nullable=False),
    Column("is_referred", Boolean, nullable=False),
    Index("file_of_workflow", "workflow_id", "checksum"),
    Index(
        "file_unreferred", "workflow_id", "made_by", sqlite_where=IS_UNREFERRED[0], postgresql_where=IS_UNREFERRED[1]
    ),
    sqlite_with_rowid=False,
)
"""ports.file_rows.FileRow"""

Index("event_of_file", event.c.body, sqlite_where=IS_REFERENCE, postgresql_where=IS_REFERENCE)
Index("finished_of_file", finished.c.result, sqlite_where=IS_REFERENCE, postgresql_where=IS_REFERENCE)
