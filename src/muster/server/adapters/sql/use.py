"""How is the database used by this process? What its pools and queues say, when they are asked."""

from dataclasses import dataclass

from muster.server.adapters.sql.postgres_engine import PostgresEngine
from muster.server.adapters.sql.postgres_store import PostgresStore
from muster.server.adapters.sql.sqlite_store import READERS, SqliteStore
from muster.server.adapters.sql.sqlite_writer import SqliteWriter
from muster.server.ports.census import DatabaseUse


@dataclass
class SqliteUse(DatabaseUse):
    """One connection writes, a few read."""

    writer: SqliteWriter | None = None
    store: SqliteStore | None = None

    def look(self) -> DatabaseUse:
        assert self.writer is not None
        assert self.store is not None
        self.connections = {"write": int(self.writer.is_busy), "read": self.store.readers_busy}
        self.connections_max = {"write": 1, "read": READERS}
        self.waiting = self.writer.waiting
        return self


@dataclass
class PostgresUse(DatabaseUse):
    """The engine's hot connections, and those of the store."""

    hot: PostgresEngine | None = None
    store: PostgresStore | None = None
    cold_connections: int = 0

    def look(self) -> DatabaseUse:
        assert self.hot is not None
        assert self.store is not None
        batcher = self.hot.batcher
        self.connections = {"engine": batcher.busy, "store": self.store.connections_busy}
        self.connections_max = {"engine": batcher.size, "store": self.cold_connections}
        self.waiting = batcher.waiting + self.store.waiting
        self.retries = batcher.retries + self.store.retries
        self.lock_timeouts = batcher.lock_timeouts + self.store.lock_timeouts
        return self
