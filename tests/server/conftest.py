"""Which event loop do the server's tests run on, and what stands ready for them?"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.stand import Stand, open_stand


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(tmp_path) as stand:
        yield stand
