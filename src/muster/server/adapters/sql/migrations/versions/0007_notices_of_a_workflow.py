"""Notices of a workflow: who follows one workflow reads its notices alone, however many the others have."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
beside_older = True


def upgrade() -> None:
    """Make the index."""
    op.create_index("outbox_of_subject", "outbox", ["subject", "txid", "number"])
