"""Eras: notices say in which life of the database they were written, since transaction ids begin anew in a restored one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
beside_older = True
"""Services of before write notices of era 0, which is the present one until the database is restored."""


def upgrade() -> None:
    """Make the table and the column, and put the era in front in the indexes."""
    op.create_table(
        "era",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.add_column("outbox", sa.Column("era", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.drop_index("outbox_in_commit_order", table_name="outbox")
    op.drop_index("outbox_of_subject", table_name="outbox")
    op.create_index("outbox_in_commit_order", "outbox", ["era", "txid", "number"], unique=False)
    op.create_index("outbox_of_subject", "outbox", ["subject", "era", "txid", "number"], unique=False)
