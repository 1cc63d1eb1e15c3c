"""Is nothing loaded at a start that this start does not need? Each of these takes a tenth of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from muster.server.adapters.sql import migrate

HEAVY = ("alembic", "cryptography", "joserfc", "sqlalchemy.orm")
PROGRAM = """
import json, sys
import anyio
from muster.server.app import make_app, make_daemons, open_parts
from muster.settings.parts import ServerSettings

async def start():
    async with open_parts(ServerSettings(database_url=sys.argv[1], token_file=sys.argv[2])) as parts:
        make_app(parts)
        make_daemons(parts)

anyio.run(start)
print(json.dumps([one for one in sys.argv[3:] if one in sys.modules]))
"""


def list_loaded(database: Path) -> list[str]:
    """Those of the heavy ones that a start on this database brings."""
    arguments = [f"sqlite:///{database}", str(database.with_name("token")), *HEAVY]
    program = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(program, capture_output=True, text=True, check=True, env={}, cwd=database.parent)
    loaded: list[str] = json.loads(ended.stdout)
    return loaded


@pytest.mark.timeout(120)
def test_a_start_on_a_database_that_needs_no_migration_loads_nothing_heavy(tmp_path: Path) -> None:
    database = tmp_path / "muster.db"
    assert list_loaded(database) == []  # it is new

    assert list_loaded(database) == []


@pytest.mark.timeout(120)
def test_one_that_has_to_migrate_brings_what_that_takes(tmp_path: Path) -> None:
    database = tmp_path / "muster.db"
    database.touch(mode=0o600)
    with create_engine(f"sqlite:///{database}", poolclass=NullPool).begin() as connection:
        command.upgrade(migrate.make_config(connection), migrate.list_revisions()[-2])

    assert list_loaded(database) == ["alembic"]
    assert list_loaded(database) == []
