"""On what do the tests of the queue service stand? A service with a broker and a pair of keys in files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.mqs.keys import BROKER, Files, pair
from server.stand import Stand, open_stand


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Key files with the first pair."""
    files = Files(tmp_path / "keys")
    files.write(pair(0))
    return files


@pytest.fixture
async def broker_stand(database_url: str, files: Files) -> AsyncIterator[Stand]:
    async with open_stand(database_url, broker=BROKER, queue_keys=files.open()) as stand:
        yield stand
