"""Which agents asked for work: a table of when each did last."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "asking",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "place", "agent"),
        sqlite_with_rowid=False,
    )
