"""Which table holds orders for single workers?"""

from sqlalchemy import BigInteger, Column, Double, Index, Table, Text

from muster.server.adapters.sql.schema import metadata

worker_order = Table(
    "worker_order",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("taskforce_uuid", Text, nullable=False),
    Column("action", Text, nullable=False),  # domain.worker_order.OrderAction
    Column("procs", Text, nullable=False),  # JSON: numbers; none: all
    Column("reason", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", Double, nullable=False, index=True),
    Column("number", BigInteger, nullable=False),  # in order of asking, also where a clock was set
    Column("answered_at", Double),
    Column("outcome", Text),  # JSON of domain.worker_order.Outcome; null: it was not carried out
    Index("worker_order_of_taskforce", "taskforce_uuid", "asked_at"),
)
"""Kept for a day (`domain.worker_order.KEPT_S`): there are never many."""
