"""Queues on a broker: groups, profiles, and the keys of their tokens. Workflows that are there already get theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
beside_older = False
"""Services of before make workflows without groups and profiles."""


def upgrade() -> None:
    """Make the tables, and rows for every workflow."""
    op.create_table(
        "mq_group",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("criteria", sa.Text(), nullable=True),
        sa.Column("activated_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("workflow_id"),
    )
    op.create_table(
        "mq_profile",
        sa.Column("mqid", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=True),
        sa.Column("issued_at", sa.Double(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("mqid"),
    )
    op.create_table(
        "jwk",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("n", sa.Text(), nullable=False),
        sa.Column("e", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("tokens_until", sa.Double(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("kid"),
    )
    _fill()
    op.create_index(op.f("ix_mq_profile_workflow_id"), "mq_profile", ["workflow_id"], unique=False)
    op.create_index(
        "mq_group_to_settle",
        "mq_group",
        ["workflow_id"],
        unique=False,
        sqlite_where=sa.text("kind IS NULL"),
        postgresql_where=sa.text("kind IS NULL"),
    )


def _fill() -> None:
    """Which locations are upstream's, and so of which kind a group is, the settings know: the service sees to it at its start."""
    op.execute(
        """
        INSERT INTO mq_group (workflow_id, created_at, owner, criteria, activated_at)
        SELECT workflow_id, created_at, owner,
            CASE WHEN activated THEN '{"priority": ' || CAST(priority AS TEXT) || '}' END,
            CASE WHEN activated THEN created_at END
        FROM (
            SELECT workflow.*, EXISTS (
                SELECT 1 FROM taskforce
                WHERE taskforce.workflow_id = workflow.workflow_id AND taskforce.phase <> 'pre-mq-activation'
            ) AS activated
            FROM workflow
        ) AS whole
        """
    )
    op.execute(
        """
        INSERT INTO mq_profile (mqid, workflow_id, position, alias, is_public, direction)
        SELECT queue_id, workflow_id, number, alias, is_public,
            CASE WHEN is_input AND is_output THEN 'both' WHEN is_input THEN 'read' ELSE 'write' END
        FROM queue
        """
    )
