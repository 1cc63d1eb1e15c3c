"""Which tables are there? The declared schema; the migrations must build exactly this.

Three kinds (measured reasons: docs/design/engine.md): small *hot* ones where rows move (ready, delayed, leased, holder,
delta, counter), *append-only* ones (event, event_key, attempt), and *finished* ones, from which nothing is ever updated. Hot and
append-only tables have their primary key and no other index that an event would have to pay for.
Times are seconds since the epoch (double), by the database's clock. Event numbers grow with time: the order of arrival.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from muster.server.adapters.sql.usage_columns import make_sums, make_usage

metadata = MetaData()
WIDE = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key: on SQLite INTEGER, which as a primary key is the row's own number and needs no second tree."""

# -- objects -------------------------------------------------------------------------------------------------------------

workflow = Table(
    "workflow",
    metadata,
    Column("workflow_id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),  # order of creation, for paging
    Column("created_at", Double, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("owner", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("finish_when_done", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended_at", Double),
    Column("ended_by", Text),
    Column("owner_group", Text),
    Column("brake", Text),  # JSON of domain.brake.Brake; null: it is off
    Index("workflow_to_finish", "state", "finish_when_done"),
    Index("workflow_in_state", "state", "number"),
)

task_directive = Table(
    "task_directive",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("position", Integer, nullable=False),
    Column("spec", Text, nullable=False),  # JSON of the immutable rest
    Column("number", BigInteger, nullable=False, server_default=text("0")),  # as of a workflow
    Column("revisions", Text),  # JSON of domain.revision.Revision, a list; null: none
    Index("task_directive_by_number", "number", unique=True),
    Index("task_directive_of_workflow", "workflow_id", "number"),
)

taskforce = Table(
    "taskforce",
    metadata,
    Column("taskforce_uuid", Text, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("workflow_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("location", Text, nullable=False),
    Column("schedd", Text, nullable=False),
    Column("collector", Text),
    Column("n_workers", Integer, nullable=False),
    Column("origin", Text, nullable=False),
    Column("worker_config", Text, nullable=False),  # JSON
    Column("pilot_config", Text, nullable=False),  # JSON
    Column("phase", Text, nullable=False),
    Column("cluster_id", BigInteger),
    Column("submit_dict", Text, nullable=False),  # JSON
    Column("job_event_log_fpath", Text, nullable=False),
    Column("compound_statuses", Text, nullable=False),  # JSON
    Column("top_task_errors", Text, nullable=False),  # JSON
    Column("claim_agent", Text),
    Column("claim_until", Double),  # null: no claim
    Column("claim_fence", BigInteger, nullable=False),
    Column("submit_failures", Integer, nullable=False),
    Column("remove_failures", Integer, nullable=False),
    Column("held_reason", Text),  # why it is not tried any more; null: it is
    Column("let_go_at", Double),  # since when its workers go once they are done; null: they stay
    Column("revision", Integer, nullable=False, server_default=text("1")),  # of its task
    Column("pool_told", Text),  # JSON: facts of its workers, and why they wait; null: nothing
    Index(
        "taskforce_to_try",
        "schedd",
        "phase",
        "location",
        "priority",
        "created_at",
        sqlite_where=text("held_reason IS NULL"),
        postgresql_where=text("held_reason IS NULL"),
    ),
    Index("taskforce_by_phase", "phase", "priority", "created_at"),
    Index("taskforce_by_agent", "claim_agent", "phase"),
    Column("number", BigInteger, nullable=False, server_default=text("0")),  # as of a workflow
    Index("taskforce_by_number", "number", unique=True),
    Index("taskforce_of_task", "task_id", "number"),
    Index("taskforce_of_workflow", "workflow_id", "number"),
    Index("taskforce_of_cluster", "cluster_id", "number"),
    Index("taskforce_of_log", "schedd", "job_event_log_fpath", "number"),
    Index("taskforce_of_schedd", "schedd", "number"),
    Index("taskforce_in_phase", "phase", "number"),
)
"""Those of its indexes that end in `number` give a page of a query in order of creation (`filters.stored`)."""

phase_log = Table(
    "phase_log",
    metadata,
    Column("taskforce_uuid", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("target_phase", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("was_successful", Boolean, nullable=False),
    Column("source_event_time", Double),
    Column("source_entity", Text, nullable=False),
    Column("context", Text, nullable=False),
    PrimaryKeyConstraint("taskforce_uuid", "number"),
)

queue = Table(
    "queue",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("queue_id", Text, nullable=False, unique=True),
    Column("workflow_id", Text, nullable=False, index=True),
    Column("alias", Text, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("is_input", Boolean, nullable=False),
    Column("is_output", Boolean, nullable=False),
    Column("closed_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("lease_s", Double, nullable=False),
    Column("retry_s", Double, nullable=False, server_default=text("0")),
)

# -- events: append-only -------------------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    Column("id", WIDE, primary_key=True, autoincrement=False),
    Column("queue", Integer, nullable=False),
    Column("parent", BigInteger),  # the event whose result this is
    Column("kind", SmallInteger, nullable=False),  # 0 JSON, 1 bytes
    Column("key", Text),
    Column("body", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (id)",
)

event_key = Table(
    "event_key",
    metadata,
    Column("queue", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("event", BigInteger, nullable=False),
    PrimaryKeyConstraint("queue", "key"),
    sqlite_with_rowid=False,
)
"""Only for events that were published with a key."""

# -- events: hot ---------------------------------------------------------------------------------------------------------

ready = Table(
    "ready",
    metadata,
    Column("queue", Integer, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),  # counted so far
    Column("fence", Integer, nullable=False),  # of the last lease; 0 before the first
    PrimaryKeyConstraint("queue", "event"),
    sqlite_with_rowid=False,
)

delayed = Table(
    "delayed",
    metadata,
    Column("queue", Integer, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),  # as in `ready`
    Column("fence", Integer, nullable=False),
    Column("due", Double, nullable=False, index=True),
    PrimaryKeyConstraint("queue", "event"),
    sqlite_with_rowid=False,
)
"""Events that failed and wait for their next attempt: they count as waiting, and go to `ready` when they are due."""

leased = Table(
    "leased",
    metadata,
    Column("event", WIDE, primary_key=True, autoincrement=False),
    Column("queue", Integer, nullable=False),
    Column("holder", BigInteger, nullable=False),
    Column("call", BigInteger, nullable=False),  # which call of the session made the lease
    Column("attempts", SmallInteger, nullable=False),  # counted, this one included
    Column("fence", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Index("leased_by_holder", "holder"),
)

holder = Table(
    "holder",
    metadata,
    Column("number", WIDE, primary_key=True, autoincrement=False),
    Column("taskforce_uuid", Text),
    Column("consumer_queue", Integer),
    Column("owner", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("proc", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("at_once", Integer, nullable=False),  # how many events it works on at once
    Column("host", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("begun_at", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("call", BigInteger, nullable=False),  # the newest call seen
    Column("ended", Text),
    Column("isolation", Text),  # what its tasks are kept from others by, in the worker's words
    Index(
        "holder_live_by_proc",
        "taskforce_uuid",
        "cluster",
        "proc",
        sqlite_where=text("ended IS NULL"),
        postgresql_where=text("ended IS NULL"),
    ),
)
"""`until` is renewed often and has no index, so PostgreSQL can update the row in place (fillfactor 50). The reaper reads live rows by
`holder_live`; a taskforce's, and a proc's, are found by their index, however many starts of its procs have ended."""

holder_live = Table(
    "holder_live",
    metadata,
    Column("number", WIDE, primary_key=True, autoincrement=False),
)
"""The sessions that have not ended: what the reaper looks at, however many ended ones are kept for the record."""

delta = Table(
    "delta",
    metadata,
    Column("id", WIDE, primary_key=True, autoincrement=True),
    Column("queue", Integer, nullable=False),
    Column("published", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("in_work", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("dead", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    *make_sums(),
)
"""Changes of the counters, not yet folded into them."""

counter = Table(
    "counter",
    metadata,
    Column("queue", Integer, primary_key=True, autoincrement=False),
    Column("published", BigInteger, nullable=False),
    Column("waiting", BigInteger, nullable=False),
    Column("in_work", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),  # attempts that failed or expired
    Column("duplicates", BigInteger, nullable=False),  # second results
    *make_sums(),
)

HOT = (ready, delayed, leased, holder, holder_live, delta, counter)

# -- events: finished ----------------------------------------------------------------------------------------------------

finished = Table(
    "finished",
    metadata,
    Column("event", WIDE, primary_key=True, autoincrement=False),
    Column("queue", Integer, nullable=False),
    Column("holder", BigInteger, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("since", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
    Column("results", SmallInteger, nullable=False),  # how many events it made
    Column("first_result", BigInteger),  # their ids: those with this event as parent, from here on
    Column("kind", SmallInteger),  # the result itself, only where the task has no output queue
    Column("result", LargeBinary),
    *make_usage(),
    postgresql_partition_by="RANGE (event)",
)
"""Its primary key is the last gate against counting an event twice."""

dead = Table(
    "dead",
    metadata,
    Column("queue", Integer, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("queue", "event"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("event", BigInteger, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("queue", Integer, nullable=False),
    Column("holder", BigInteger, nullable=False),
    Column("end", SmallInteger, nullable=False),  # domain.attempt.AttemptEnd
    Column("since", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("wall_s", Double, nullable=False),
    Column("fingerprint", Text),
    Column("error", Text),  # JSON of domain.attempt.AttemptError
    *make_usage(),
    PrimaryKeyConstraint("event", "fence"),
    Index("attempt_by_cause", "queue", "fingerprint"),
)
"""Only attempts that did not end their event."""

# -- around --------------------------------------------------------------------------------------------------------------

answer = Table(
    "answer",
    metadata,
    Column("owner", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", Double, nullable=False, index=True),
    PrimaryKeyConstraint("owner", "route", "key"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("number", WIDE, primary_key=True, autoincrement=True),
    Column("txid", BigInteger, nullable=False),  # pg_current_xact_id(); SQLite: 0, since commits are in order of number
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("data", Text, nullable=False),  # JSON
    Column("era", Integer, nullable=False, server_default=text("0")),  # in which `txid` means something
    Index("outbox_in_commit_order", "era", "txid", "number"),
    Index("outbox_of_subject", "subject", "era", "txid", "number"),
)

era = Table(
    "era",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("identity", Text, nullable=False),  # where the database stands in this era (`eras`)
    Column("began_at", Double, nullable=False),
)
"""The lives of this database: it begins a new one whenever it was restored. The highest number is the present one."""

asking = Table(
    "asking",
    metadata,
    Column("kind", Text, nullable=False),  # domain.location.Agent
    Column("place", Text, nullable=False),  # a location's name; for upstream's agent, a schedd
    Column("agent", Text, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("kind", "place", "agent"),
    sqlite_with_rowid=False,
)
"""Which agents asked for work, and when last: written once in a while, by whichever service they asked."""

secret = Table(
    "secret",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

replica = Table(
    "replica",
    metadata,
    Column("node", Integer, primary_key=True, autoincrement=False),  # of the event ids that this service makes
    Column("token", Text, nullable=False),  # which process has it
    Column("until", Double, nullable=False),
    Column("version", Text),  # of the program
    Column("revision", Text),  # of the schema that it was written for
)
