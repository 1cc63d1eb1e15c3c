"""Records of execution points, by task: none so far."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "host_record",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("blamed", sa.BigInteger(), nullable=False),
        sa.Column("recent_done", sa.Integer(), nullable=False),
        sa.Column("recent_blamed", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("failed_at", sa.Double(), nullable=True),
        sa.Column("rests_until", sa.Double(), nullable=True),
        sa.Column("rests", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trusted_at", sa.Double(), nullable=True),
        sa.Column("trusted_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "host"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_host_record_rests_until", "host_record", ["rests_until"])
    op.create_index("ix_host_record_trusted_at", "host_record", ["trusted_at"])
