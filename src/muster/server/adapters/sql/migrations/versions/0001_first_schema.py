"""The first schema: objects, events, the queue engine's hot tables, and what stands around them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
beside_older = False

WIDE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_HOT = ("ready", "leased", "holder", "holder_live", "delta", "counter")
_PARTITIONED = ("event", "finished")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "answer",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "route", "key"),
    )
    op.create_index(op.f("ix_answer_at"), "answer", ["at"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("holder", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.SmallInteger(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("wall_s", sa.Double(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("event", "fence"),
    )
    op.create_index("attempt_by_cause", "attempt", ["queue", "fingerprint"], unique=False)
    op.create_table(
        "counter",
        sa.Column("queue", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("in_work", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("dead", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue"),
    )
    op.create_table(
        "dead",
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "event"),
    )
    op.create_table(
        "delta",
        sa.Column("id", WIDE, autoincrement=True, nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("in_work", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "event",
        sa.Column("id", WIDE, autoincrement=False, nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_table(
        "event_key",
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "finished",
        sa.Column("event", WIDE, autoincrement=False, nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("holder", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("wall_s", sa.Double(), nullable=False),
        sa.Column("results", sa.SmallInteger(), nullable=False),
        sa.Column("first_result", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.SmallInteger(), nullable=True),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("event"),
        postgresql_partition_by="RANGE (event)",
    )
    op.create_table(
        "holder",
        sa.Column("number", WIDE, autoincrement=False, nullable=False),
        sa.Column("taskforce_uuid", sa.Text(), nullable=True),
        sa.Column("consumer_queue", sa.Integer(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("proc", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("at_once", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("call", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(
        "holder_live_by_taskforce",
        "holder",
        ["taskforce_uuid"],
        unique=False,
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    )
    op.create_table(
        "holder_live", sa.Column("number", WIDE, autoincrement=False, nullable=False), sa.PrimaryKeyConstraint("number")
    )
    op.create_table(
        "leased",
        sa.Column("event", WIDE, autoincrement=False, nullable=False),
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("holder", sa.BigInteger(), nullable=False),
        sa.Column("call", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("event"),
    )
    op.create_index("leased_by_holder", "leased", ["holder"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("number", WIDE, autoincrement=True, nullable=False),
        sa.Column("txid", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("outbox_in_commit_order", "outbox", ["txid", "number"], unique=False)
    op.create_table(
        "phase_log",
        sa.Column("taskforce_uuid", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("target_phase", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("was_successful", sa.Boolean(), nullable=False),
        sa.Column("source_event_time", sa.Double(), nullable=True),
        sa.Column("source_entity", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("taskforce_uuid", "number"),
    )
    op.create_table(
        "queue",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("queue_id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("is_input", sa.Boolean(), nullable=False),
        sa.Column("is_output", sa.Boolean(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("queue_id"),
    )
    op.create_index(op.f("ix_queue_workflow_id"), "queue", ["workflow_id"], unique=False)
    op.create_table(
        "ready",
        sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "event"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replica",
        sa.Column("node", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("node"),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "task_directive",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id"),
    )
    op.create_index(op.f("ix_task_directive_workflow_id"), "task_directive", ["workflow_id"], unique=False)
    op.create_table(
        "taskforce",
        sa.Column("taskforce_uuid", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("schedd", sa.Text(), nullable=False),
        sa.Column("collector", sa.Text(), nullable=True),
        sa.Column("n_workers", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("worker_config", sa.Text(), nullable=False),
        sa.Column("pilot_config", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.BigInteger(), nullable=True),
        sa.Column("submit_dict", sa.Text(), nullable=False),
        sa.Column("job_event_log_fpath", sa.Text(), nullable=False),
        sa.Column("compound_statuses", sa.Text(), nullable=False),
        sa.Column("top_task_errors", sa.Text(), nullable=False),
        sa.Column("claim_agent", sa.Text(), nullable=True),
        sa.Column("claim_until", sa.Double(), nullable=True),
        sa.Column("claim_fence", sa.BigInteger(), nullable=False),
        sa.Column("submit_failures", sa.Integer(), nullable=False),
        sa.Column("remove_failures", sa.Integer(), nullable=False),
        sa.Column("held_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("taskforce_uuid"),
    )
    op.create_index(op.f("ix_taskforce_task_id"), "taskforce", ["task_id"], unique=False)
    op.create_index(op.f("ix_taskforce_workflow_id"), "taskforce", ["workflow_id"], unique=False)
    op.create_index("taskforce_by_agent", "taskforce", ["claim_agent", "phase"], unique=False)
    op.create_index("taskforce_by_phase", "taskforce", ["phase", "priority", "created_at"], unique=False)
    op.create_index(
        "taskforce_to_try",
        "taskforce",
        ["schedd", "phase", "location", "priority", "created_at"],
        unique=False,
        sqlite_where=sa.text("held_reason IS NULL"),
        postgresql_where=sa.text("held_reason IS NULL"),
    )
    op.create_table(
        "workflow",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("finish_when_done", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("workflow_id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index(op.f("ix_workflow_owner"), "workflow", ["owner"], unique=False)
    op.create_index("workflow_to_finish", "workflow", ["state", "finish_when_done"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        _tune_postgres()


def _tune_postgres() -> None:
    """Small hot tables that the service vacuums itself, event tables in partitions, and numbers for queues."""
    for table in _HOT:
        op.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off, vacuum_truncate = off)")
    op.execute("ALTER TABLE holder SET (fillfactor = 50)")
    for table in _PARTITIONED:
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute("CREATE SEQUENCE queue_number AS integer")
