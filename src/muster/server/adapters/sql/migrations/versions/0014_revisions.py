"""Revisions of tasks: none so far, and every taskforce runs what was submitted."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the columns."""
    op.add_column("task_directive", sa.Column("revisions", sa.Text(), nullable=True))
    op.add_column("taskforce", sa.Column("revision", sa.Integer(), nullable=False, server_default=sa.text("1")))
