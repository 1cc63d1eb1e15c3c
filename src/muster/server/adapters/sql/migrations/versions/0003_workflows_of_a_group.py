"""Workflows of a group: those that are there belong to their owner alone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the column."""
    op.add_column("workflow", sa.Column("owner_group", sa.Text(), nullable=True))
