"""Is nothing loaded at a start that this start does not need? Each of these takes a tenth of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_a_start_on_a_database_of_this_version_loads_nothing_heavy(tmp_path: Path) -> None:
    database = tmp_path / "muster.db"
    assert list_loaded(database) == ["alembic"]  # it is new, and must be migrated

    assert list_loaded(database) == []
