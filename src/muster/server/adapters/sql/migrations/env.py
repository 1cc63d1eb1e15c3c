"""How do migrations run? On the connection that `migrate.upgrade` hands over, in its transaction."""

from alembic import context

from muster.server.adapters.sql.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
