"""Brakes of workflows, and taskforces whose workers are let go: none is so far."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the columns."""
    op.add_column("workflow", sa.Column("brake", sa.Text(), nullable=True))
    op.add_column("taskforce", sa.Column("let_go_at", sa.Double(), nullable=True))
