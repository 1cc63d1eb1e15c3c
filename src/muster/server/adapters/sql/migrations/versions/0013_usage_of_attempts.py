"""Usage of attempts: what each took, and its sums with the counters."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
beside_older = True
"""A service of before keeps attempts without their usage, and what it folds of the counters it folds without the sums."""


def upgrade() -> None:
    """Add the columns: unknown for attempts of before, nothing in the sums."""
    for table in ("finished", "attempt"):
        for name in ("cpu_us", "memory_bytes", "bytes_in", "bytes_out"):
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=True))
    sums = ("wall_us", "lost_us", "measured_us", "cpu_us", "bytes_in", "bytes_out")
    for table, names in (("delta", (*sums, "memory_bytes")), ("counter", (*sums, "memory_bytes")), ("purged", sums)):
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0")))
