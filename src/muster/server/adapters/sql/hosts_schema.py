"""Which table holds how execution points do?"""

from sqlalchemy import BigInteger, Column, Double, Integer, PrimaryKeyConstraint, Table, Text

from muster.server.adapters.sql.schema import metadata

host_record = Table(
    "host_record",
    metadata,
    Column("task_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("blamed", BigInteger, nullable=False),
    Column("recent_done", Integer, nullable=False),
    Column("recent_blamed", Integer, nullable=False),
    Column("fingerprint", Text),
    Column("failed_at", Double),
    Column("rests_until", Double, index=True),
    Column("rests", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("trusted_at", Double, index=True),
    Column("trusted_by", Text),
    PrimaryKeyConstraint("task_id", "host"),
    sqlite_with_rowid=False,
)
"""domain.hosts.HostRecord: written by each service every few seconds, of what was handed in to it."""
