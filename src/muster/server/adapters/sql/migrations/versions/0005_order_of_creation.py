"""The order of creation: of tasks and taskforces, by which queries are answered page by page, and the indexes that give pages in it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
beside_older = False
"""Services of before number nothing, and so could make one task and one taskforce only."""

_INDEXES = (
    ("workflow_in_state", "workflow", ["state", "number"]),
    ("task_directive_of_workflow", "task_directive", ["workflow_id", "number"]),
    ("taskforce_of_task", "taskforce", ["task_id", "number"]),
    ("taskforce_of_workflow", "taskforce", ["workflow_id", "number"]),
    ("taskforce_of_cluster", "taskforce", ["cluster_id", "number"]),
    ("taskforce_of_log", "taskforce", ["schedd", "job_event_log_fpath", "number"]),
    ("taskforce_of_schedd", "taskforce", ["schedd", "number"]),
    ("taskforce_in_phase", "taskforce", ["phase", "number"]),
)
# Small numbers: all those that the service gives are far above them.
_NUMBER_DIRECTIVES = """
    UPDATE task_directive SET number = ranked.rank
    FROM (
        SELECT d.task_id, row_number() OVER (ORDER BY w.number, d.position, d.task_id) AS rank
        FROM task_directive AS d LEFT JOIN workflow AS w ON w.workflow_id = d.workflow_id
    ) AS ranked
    WHERE ranked.task_id = task_directive.task_id
"""
_NUMBER_TASKFORCES = """
    UPDATE taskforce SET number = ranked.rank
    FROM (
        SELECT t.taskforce_uuid,
            row_number() OVER (ORDER BY t.created_at, w.number, d.position, t.location, t.taskforce_uuid) AS rank
        FROM taskforce AS t
        LEFT JOIN workflow AS w ON w.workflow_id = t.workflow_id
        LEFT JOIN task_directive AS d ON d.task_id = t.task_id
    ) AS ranked
    WHERE ranked.taskforce_uuid = taskforce.taskforce_uuid
"""


def upgrade() -> None:
    """Number what is there, and make the indexes; those that lead to less than the new ones do go."""
    for table, numbering in (("task_directive", _NUMBER_DIRECTIVES), ("taskforce", _NUMBER_TASKFORCES)):
        op.add_column(table, sa.Column("number", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
        op.execute(numbering)
        op.create_index(f"{table}_by_number", table, ["number"], unique=True)
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns, unique=False)
    op.drop_index(op.f("ix_task_directive_workflow_id"), table_name="task_directive")
    op.drop_index(op.f("ix_taskforce_workflow_id"), table_name="taskforce")
    op.drop_index(op.f("ix_taskforce_task_id"), table_name="taskforce")
