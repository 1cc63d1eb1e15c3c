"""Rounds of purging: who is at one, and how far everything is dealt with."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
beside_older = True
"""A service of before walks through everything, as it did."""


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "purge_round",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("keeper", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
    )
    op.create_table(
        "purge_walk",
        sa.Column("kept", sa.Text(), primary_key=True),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.Column("whole_at", sa.Double(), nullable=False),
    )
