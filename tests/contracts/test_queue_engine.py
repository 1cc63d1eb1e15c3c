"""Does every queue engine keep the contract of the port?"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.queue_engine_bench import Bench, postgres_bench, sqlite_bench
from contracts.queue_engine_contract import QueueEngineContract

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


class TestSqliteEngine(QueueEngineContract):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[Bench]:
        async with sqlite_bench(tmp_path / "muster.db") as bench:
            yield bench


@pytest.mark.server
class TestPostgresEngine(QueueEngineContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with postgres_bench(postgres_url) as bench:
            yield bench
