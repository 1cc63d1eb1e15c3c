"""Does the store keep orders for single workers as the port says, on both databases?"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from contracts.store_bench import A_DIRECTIVE, A_TASKFORCE, A_WORKFLOW, AN_ENTRY, Bench, open_bench
from muster.domain.errors import NotFoundError
from muster.domain.worker_order import KEPT_S, ORDER_S, OrderAction, OrderState, Outcome, WorkerLog, WorkerOrder
from muster.server.ports.store import Transaction

pytestmark = pytest.mark.anyio

ORDER = WorkerOrder("WO-1", "TF-1", OrderAction.HOLD, (2, 0), "lunch", "ada", 0.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


async def put(bench: Bench, *ages: tuple[str, str, float]) -> list[WorkerOrder]:
    """Orders by name, taskforce and age in seconds; the taskforces are agent a's, TF-3 is agent b's."""

    def work(tx: Transaction) -> list[WorkerOrder]:
        tx.workflows.insert(A_WORKFLOW, [A_DIRECTIVE])
        for uuid, agent in (("TF-1", "a"), ("TF-2", "a"), ("TF-3", "b")):
            tx.taskforces.insert(replace(A_TASKFORCE, taskforce_uuid=uuid, claim_agent=agent), AN_ENTRY)
        now = tx.now()
        made = [replace(ORDER, order_id=name, taskforce_uuid=uuid, asked_at=now - age) for name, uuid, age in ages]
        for one in made:
            tx.worker_orders.insert(one)
        return made

    return await bench.write(work)


class WorkerOrderContract:
    async def test_an_order_comes_back_as_it_was_and_with_what_came_of_it(self, bench: Bench) -> None:
        [order] = await put(bench, ("WO-1", "TF-1", 1.0))
        assert await bench.read(lambda tx: tx.worker_orders.get("TF-1", "WO-1")) == order

        text = "Zeile\n\0 und \N{SNOWMAN}"
        told = replace(order, answered_at=7.0, outcome=Outcome(1, "two left", [WorkerLog("stderr", text, 99)]))
        await bench.write(lambda tx: tx.worker_orders.answer(told))

        assert await bench.read(lambda tx: tx.worker_orders.get("TF-1", "WO-1")) == told
        assert told.find_state(8.0) is OrderState.FAILED

    @pytest.mark.parametrize(("uuid", "name"), [("TF-1", "WO-2"), ("TF-2", "WO-1"), ("TF-1", "WO-\0")])
    async def test_an_order_of_another_taskforce_is_not_there(self, bench: Bench, uuid: str, name: str) -> None:
        await put(bench, ("WO-1", "TF-1", 1.0))
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.worker_orders.get(uuid, name))

    async def test_an_agent_gets_the_oldest_of_each_of_its_taskforces_until_it_is_answered(self, bench: Bench) -> None:
        first, second, other, foreign = await put(
            bench, ("WO-1", "TF-1", 9.0), ("WO-2", "TF-1", 8.0), ("WO-3", "TF-2", 7.0), ("WO-4", "TF-3", 6.0)
        )

        async def find(agent: str, *without: str, limit: int = 9) -> list[WorkerOrder]:
            return list(await bench.read(lambda tx: tx.worker_orders.find_next(agent, without=without, limit=limit)))

        assert await find("a") == [first, other]
        assert await find("a", limit=1) == [first]
        assert await find("a", "TF-1") == [other]
        assert await find("b") == [foreign]
        assert await find("c\0") == []
        await bench.write(lambda tx: tx.worker_orders.answer(replace(first, answered_at=1.0, outcome=Outcome(1))))
        assert await find("a") == [second, other]
        assert await bench.read(lambda tx: tx.worker_orders.count_waiting("TF-1")) == 1

    async def test_one_that_stood_too_long_is_given_to_nobody(self, bench: Bench) -> None:
        late, good = await put(bench, ("WO-1", "TF-1", ORDER_S + 1), ("WO-2", "TF-1", ORDER_S - 60))

        assert await bench.read(lambda tx: tx.worker_orders.find_next("a", without=(), limit=9)) == [good]
        assert await bench.read(lambda tx: tx.worker_orders.count_waiting("TF-1")) == 1
        now = await bench.read(lambda tx: tx.now())
        assert (late.find_state(now), good.find_state(now)) == (OrderState.EXPIRED, OrderState.WAITING)

    async def test_old_ones_go_as_others_come(self, bench: Bench) -> None:
        await put(bench, ("WO-1", "TF-1", KEPT_S + 9), ("WO-2", "TF-1", KEPT_S - 60), ("WO-3", "TF-1", 1.0))

        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.worker_orders.get("TF-1", "WO-1"))
        assert (await bench.read(lambda tx: tx.worker_orders.get("TF-1", "WO-2"))).order_id == "WO-2"

    async def test_they_go_with_their_workflow(self, bench: Bench) -> None:
        await put(bench, ("WO-1", "TF-1", 1.0))

        await bench.write(lambda tx: tx.retention.remove_workflow("WF-1"))

        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.worker_orders.get("TF-1", "WO-1"))


class TestSqliteWorkerOrders(WorkerOrderContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgresWorkerOrders(WorkerOrderContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench
