"""Which tables are there for queues on a broker? A part of the declared schema (`schema.py`), known by whoever opens a database."""

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, Text, text

from muster.server.adapters.sql.schema import metadata

mq_group = Table(
    "mq_group",
    metadata,
    Column("workflow_id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("owner", Text, nullable=False),
    Column("kind", Text),  # domain.mq_profile.Kind; null until the first start after a migration that made the row
    Column("criteria", Text),  # JSON of the last activation's; null: none
    Column("activated_at", Double),
    Index(
        "mq_group_to_settle",
        "workflow_id",
        sqlite_where=text("kind IS NULL"),
        postgresql_where=text("kind IS NULL"),
    ),
)

mq_profile = Table(
    "mq_profile",
    metadata,
    Column("mqid", Text, primary_key=True),
    Column("workflow_id", Text, nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("alias", Text, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("direction", Text, nullable=False),
    Column("kid", Text),  # of the key that signs the token; null: there is none yet
    Column("issued_at", Double),
    Column("expires_at", Double),
)
"""No token is kept: signed again from this row it is the same."""

jwk = Table(
    "jwk",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("n", Text, nullable=False),
    Column("e", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("tokens_until", Double),  # when the last token that it signed expires; null: it signed none
    Column("expires_at", Double),  # null: it is current
)
