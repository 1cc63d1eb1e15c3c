"""Where does a test's SQLite file come from? `sqlite_url` is the address of a fresh one with our schema, in the test's own folder."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from muster.server.adapters.sql.database import open_database


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with our schema, for copying: a copy is made sooner than it is migrated."""
    path = tmp_path_factory.mktemp("migrated") / "muster.db"

    async def migrate() -> None:
        async with open_database(f"sqlite:///{path}"):
            pass

    with ThreadPoolExecutor(1) as elsewhere:  # the test may have an event loop of its own here
        elsewhere.submit(anyio.run, migrate).result()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM era")  # else each copy would be taken for a restored database, which it is
        connection.commit()
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """The address of a fresh database with our schema and nothing in it."""
    path = tmp_path / "muster.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"
