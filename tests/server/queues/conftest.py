"""Which event loop do the tests of queues and workers run on? asyncio, as the service does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.queues.running_door import Door, open_door


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(tmp_path) as door:
        yield door
