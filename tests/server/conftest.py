"""Over which databases, and on which event loop, is the server tested? Both; asyncio, as the service runs on it."""

from collections.abc import AsyncIterator

import pytest

from server.stand import Stand, open_stand


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a fresh database."""
    return str(request.getfixturevalue("postgres_url" if request.param == "postgresql" else "sqlite_url"))


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with open_stand(database_url) as stand:
        yield stand
