"""Workers of a proc: who enrols looks for the sessions of its own proc, however many workers its taskforce has."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Put an index that ends in the proc in the place of that of taskforces."""
    op.create_index(
        "holder_live_by_proc",
        "holder",
        ["taskforce_uuid", "cluster", "proc"],
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    )
    op.drop_index("holder_live_by_taskforce", table_name="holder")
