"""Files of large bodies: none so far."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
beside_older = True

IS_REFERENCE = sa.text("kind = 3")


def upgrade() -> None:
    """Make the table, and the indexes of those bodies and kept results that refer to a file."""
    op.create_table(
        "file",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("touched_at", sa.Double(), nullable=False),
        sa.Column("is_referred", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("file"),
        sqlite_with_rowid=False,
    )
    op.create_index("file_of_workflow", "file", ["workflow_id", "checksum"])
    op.create_index(
        "file_unreferred",
        "file",
        ["workflow_id", "made_by"],
        sqlite_where=sa.text("is_referred = 0"),
        postgresql_where=sa.text("NOT is_referred"),
    )
    for name, table, column in (("event_of_file", "event", "body"), ("finished_of_file", "finished", "result")):
        op.create_index(name, table, [column], sqlite_where=IS_REFERENCE, postgresql_where=IS_REFERENCE)
