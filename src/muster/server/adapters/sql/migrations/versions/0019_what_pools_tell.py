"""What a site tells of a taskforce's workers, and why they wait: nothing so far."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Add the column."""
    op.add_column("taskforce", sa.Column("pool_told", sa.Text(), nullable=True))
