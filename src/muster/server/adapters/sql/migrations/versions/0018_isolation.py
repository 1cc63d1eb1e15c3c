"""What the tasks of a worker are kept from others by, in its session: not known of those of before."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Add the column."""
    op.add_column("holder", sa.Column("isolation", sa.Text(), nullable=True))
