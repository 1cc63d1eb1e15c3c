"""What is not kept any more: how many rows of a queue, and which queues are going."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
beside_older = True
"""A recount that a service of before makes does not know of what was purged; its counters do."""


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "purged",
        sa.Column("queue", sa.Integer(), primary_key=True, autoincrement=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("published", "done", "dead", "failed", "duplicates")
        ),
    )
    op.create_table(
        "removed_queue",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.Double(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("swept", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    )
