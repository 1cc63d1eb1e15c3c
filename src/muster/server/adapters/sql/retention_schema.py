"""Which tables know of what is not kept any more, and hold what is kept in part?

A part of the declared schema (`schema.py`), known by whoever opens a database.
"""

from dataclasses import fields

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from muster.domain.usage import UsageSums
from muster.server.adapters.sql.schema import metadata

USAGE_SUMMED = tuple(field.name for field in fields(UsageSums) if field.name != "memory_bytes")
"""What is summed of attempts' usage, as `domain.usage.UsageSums` calls it."""

purged = Table(
    "purged",
    metadata,
    Column("queue", Integer, primary_key=True, autoincrement=False),
    Column("published", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in USAGE_SUMMED),
)
"""How many rows of a queue are not kept any more (`retention`), of those that its counters have counted; and what these took."""
PURGED_PARTS = tuple(column.name for column in purged.c if column.name not in {"queue", *USAGE_SUMMED})
"""Parts of an account, as `domain.queue.Counts` calls them."""

attempt_log = Table(
    "attempt_log",
    metadata,
    Column("event", BigInteger, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("queue", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the attempt; empty where it has none
    Column("at", Double, nullable=False),
    Column("stdout", LargeBinary),  # packed by its worker; null: it printed nothing
    Column("stdout_bytes", BigInteger, nullable=False),  # all that it printed
    Column("stderr", LargeBinary),
    Column("stderr_bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("event", "fence"),
    Index("attempt_log_by_cause", "queue", "fingerprint"),
)
"""What failed attempts printed, of a bounded number of each cause; append-only, and gone with the attempt or its workflow."""

removed_queue = Table(
    "removed_queue",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("workflow_id", Text, nullable=False),
    Column("removed_at", Double, nullable=False),
    Column("first", BigInteger, nullable=False),  # no event or session of it has a lower number
    Column("last", BigInteger, nullable=False),  # nor an event of it a higher one
    Column("swept", Boolean, nullable=False, server_default=text("false")),  # kept for its number alone
)
"""Queues of workflows that were removed, until the last of their rows is gone."""

purge_round = Table(
    "purge_round",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1
    Column("keeper", Text, nullable=False),
    Column("until", Double, nullable=False),  # when another one may take it
)
"""Which service goes round: one at a time."""

purge_walk = Table(
    "purge_walk",
    metadata,
    Column("kept", Text, primary_key=True),  # domain.retention.Kept, or the way of a look at all
    Column("settled", BigInteger, nullable=False),  # event number; of a way how far it has come
    Column(
        "whole_at", Double, nullable=False
    ),  # when a round began that has gone through all, the latest; of a way when it began
)
"""How far the events that are done have been dealt with by each rule, for good but for those that ended late; and where looks at all
that are not at their end were left (`rounds`).
"""
