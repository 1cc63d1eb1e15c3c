"""Over which databases, and on which event loop, are queues and workers tested? Both; asyncio, as the service runs on it."""

from collections.abc import AsyncIterator

import pytest

from server.queues.running_door import Door, open_door


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a fresh database."""
    return str(request.getfixturevalue("postgres_url" if request.param == "postgresql" else "sqlite_url"))


@pytest.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    async with open_door(database_url) as door:
        yield door
