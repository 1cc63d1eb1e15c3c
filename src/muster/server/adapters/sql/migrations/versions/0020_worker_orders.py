"""Orders for single workers: none so far."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "worker_order",
        sa.Column("order_id", sa.Text(), primary_key=True),
        sa.Column("taskforce_uuid", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("procs", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
    )
    op.create_index("ix_worker_order_asked_at", "worker_order", ["asked_at"])
    op.create_index("worker_order_of_taskforce", "worker_order", ["taskforce_uuid", "asked_at"])
