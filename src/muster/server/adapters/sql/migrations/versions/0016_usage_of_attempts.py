"""Usage of attempts: what each took, its sums with the counters, and what failed ones printed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
beside_older = True
"""A service of before keeps attempts without their usage, and what it folds of the counters it folds without the sums;
what a purge of its leaves of their outputs goes with the workflow."""


def upgrade() -> None:
    """Add the columns: unknown for attempts of before, nothing in the sums."""
    for table in ("finished", "attempt"):
        for name in ("cpu_us", "memory_bytes", "bytes_in", "bytes_out"):
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=True))
    sums = ("wall_us", "lost_us", "measured_us", "cpu_us", "bytes_in", "bytes_out")
    for table, names in (("delta", (*sums, "memory_bytes")), ("counter", (*sums, "memory_bytes")), ("purged", sums)):
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.create_table(
        "attempt_log",
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("stdout", sa.LargeBinary()),
        sa.Column("stdout_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stderr", sa.LargeBinary()),
        sa.Column("stderr_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event", "fence"),
    )
    op.create_index("attempt_log_by_cause", "attempt_log", ["queue", "fingerprint"])
