"""Does every pool keep the contract of the port?"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.pool_contract import PoolContract, Reopen
from contracts.site_fakes import FakePool, PoolWorld
from muster.site.adapters.htcondor.describe import Policy
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.hold_policy import HoldPolicy
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Schedd
from muster.site.adapters.processes.pool import ProcessPool
from muster.site.adapters.processes.restart import RestartPolicy
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.ports.pool import Pool, ProcState
from services.condor import Condor

pytestmark = pytest.mark.anyio

SETTINGS = WorkerSettings(command=("false",), restart=RestartPolicy(starts_max=3, first_s=0.02, delay_s_max=0.1))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestFakePool(PoolContract):
    @pytest.fixture
    def world(self) -> PoolWorld:
        return PoolWorld()

    @pytest.fixture
    def pool(self, world: PoolWorld) -> Pool:
        return FakePool(world)

    @pytest.fixture
    def reopen(self, world: PoolWorld) -> Reopen:
        async def reopen() -> Pool:
            return FakePool(world)

        return reopen


class TestProcessPool(PoolContract):
    @pytest.fixture
    async def opened(self, tmp_path: Path) -> AsyncIterator[list[ProcessPool]]:
        """Every pool object of a test, the newest last; at the end its workers are taken away."""
        pools = [await ProcessPool.open(tmp_path / "site", SETTINGS)]
        yield pools
        for placed in await pools[-1].list_placed():
            await pools[-1].remove(placed.cluster, grace_s=0)
        pools[-1].close()

    @pytest.fixture
    def pool(self, opened: list[ProcessPool]) -> Pool:
        return opened[0]

    @pytest.fixture
    def reopen(self, opened: list[ProcessPool], tmp_path: Path) -> Reopen:
        async def reopen() -> Pool:
            opened[-1].close()
            opened.append(await ProcessPool.open(tmp_path / "site", SETTINGS))
            return opened[-1]

        return reopen


@pytest.mark.server
class TestCondorPool(PoolContract):
    RUNNING = (ProcState.RUNNING, None)
    QUIET_S = 3.0

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"  # what differs between the two loops does not concern a schedd

    @pytest.fixture
    async def opened(self, condor: Condor, tmp_path: Path) -> AsyncIterator[list[CondorPool]]:
        """Every pool object of a test, the newest last; at the end its workers are taken away."""
        pools = [await open_pool(tmp_path)]
        yield pools
        for placed in await pools[-1].list_placed():
            await pools[-1].remove(placed.cluster, grace_s=0)
        await pools[-1].close()

    @pytest.fixture
    def pool(self, opened: list[CondorPool]) -> Pool:
        return opened[0]

    @pytest.fixture
    def reopen(self, opened: list[CondorPool], tmp_path: Path) -> Reopen:
        async def reopen() -> Pool:
            await opened[-1].close()
            opened.append(await open_pool(tmp_path))
            return opened[-1]

        return reopen


async def open_pool(folder: Path) -> CondorPool:
    """Over the schedd that this process talks to. No two tests have the same agent."""
    bundle = folder / "worker"
    bundle.touch()
    return await CondorPool.open(
        folder / "site",
        Schedd(),
        Rules(
            Policy(agent=folder.name, starts_max=2),
            Workers({}, bundle),
            HoldPolicy(holds_max=3, first_s=0.1, delay_s_max=0.1),
        ),
    )
