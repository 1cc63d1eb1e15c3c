"""Pauses between attempts: a place for events that wait for their next one. Tasks that are there already get the usual pause."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
beside_older = False
"""Services of before do not look among the delayed events: those would not be sent on, and late results of theirs be dropped."""


def upgrade() -> None:
    """Make the table, and the queues' setting."""
    op.add_column("queue", sa.Column("retry_s", sa.Double(), nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE queue SET retry_s = 2.0 WHERE is_input")
    op.create_table(
        "delayed",
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "event"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_delayed_due"), "delayed", ["due"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delayed SET (autovacuum_enabled = off, vacuum_truncate = off)")
