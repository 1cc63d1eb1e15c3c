"""Versions of services: who upgrades a database sees which ones work on it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the columns."""
    op.add_column("replica", sa.Column("version", sa.Text(), nullable=True))
    op.add_column("replica", sa.Column("revision", sa.Text(), nullable=True))
