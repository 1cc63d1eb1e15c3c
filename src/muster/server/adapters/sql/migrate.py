"""How does a database come to this version's schema? By Alembic's migrations, one after another, under a lock."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, literal, select

from muster.domain.errors import Finding, InvalidError

_LOCK = 0x6D696772
_FOLDER = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the schema to this version, in the transaction that is open on the connection: wholly, or not at all.

    Raises InvalidError for a database that a newer version has migrated.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(literal(_LOCK))))
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise InvalidError(
            [
                Finding(
                    "database_url",
                    f"its schema has revision {current}, which a newer version of Muster made: upgrade Muster",
                )
            ]
        )
    command.upgrade(config, "head")
