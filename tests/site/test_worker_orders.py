"""Does the agent do what is asked for single workers once and in turn, whatever is lost, away or refused, and say what came of it?"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from contracts.site_fakes import RUNNING, FakeCluster, FakeJournal, FakePool, FakeService, PoolWorld
from muster.domain.errors import RejectedError, UnavailableError
from muster.domain.reason import TEXT_CHARS_MAX
from muster.domain.taskforce_phase import Phase
from muster.domain.worker_order import OrderAction
from muster.site.daemons.order_taker import AGAIN_S, RETRY_DELAY_S_MAX, TRY_S, OrderTaker
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.pool import Placed, ProcState
from muster.site.services.parts import Parts

pytestmark = pytest.mark.anyio

DEADLINE_S = 600.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time that jumps to when something happens next."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Scene:
    """An agent with one cluster of three workers for each of two taskforces."""

    def __init__(self) -> None:
        self.service, self.world = FakeService(), PoolWorld()
        for number, uuid in enumerate(("TF-1", "TF-2")):
            self.service.add(uuid, phase=Phase.CONDOR_SUBMIT, agent="a", cluster_id=number, n_workers=3)
            self.world.clusters[number] = FakeCluster(Placed(uuid, number, 3, 1), ["sleep"], [RUNNING] * 3)
            self.world.tags[uuid] = 3
        self.pool = FakePool(self.world)

    def states(self, number: int = 0) -> list[str]:
        return [state.partition(":")[0] for state, _ in self.world.clusters[number].procs]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        parts = Parts(self.pool, FakeJournal(), self.service, "a", workers_max=10, now=anyio.current_time)
        async with anyio.create_task_group() as tasks:
            await tasks.start(OrderTaker(parts, TroubleLog()).run)
            yield
            tasks.cancel_scope.cancel()

    async def wait_for(self, *orders: str) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not set(orders) <= set(self.service.order_answers):  # noqa: ASYNC110 - the fakes ring for the agent
                await anyio.sleep(0.05)


async def test_workers_are_held_released_and_removed_as_it_is_asked() -> None:
    scene = Scene()
    async with scene.running():
        hold = scene.service.order("TF-1", "hold", 0, 2, reason="a look\ninside")
        await scene.wait_for(hold)
        assert scene.states() == [ProcState.HELD, ProcState.RUNNING, ProcState.HELD]
        assert scene.world.clusters[0].procs[0][0] == "HELD: asked for by ada: a look inside"
        release = scene.service.order("TF-1", "release", 2)
        remove = scene.service.order("TF-1", "remove")
        await scene.wait_for(release, remove)

    assert scene.states() == [ProcState.REMOVED] * 3
    assert scene.states(1) == [ProcState.RUNNING] * 3
    answers = scene.service.order_answers
    assert [(answers[one].done, answers[one].error) for one in (hold, release, remove)] == [(2, ""), (1, ""), (3, "")]


async def test_the_next_order_of_a_taskforce_does_not_wait_for_the_parked_call() -> None:
    scene = Scene()
    async with scene.running():
        began = anyio.current_time()
        orders = [scene.service.order("TF-1", what, 0) for what in ("hold", "release", "hold", "release")]
        await scene.wait_for(*orders)
        took = anyio.current_time() - began

    assert took < 2
    assert scene.states() == [ProcState.RUNNING] * 3


async def test_what_a_worker_wrote_is_brought() -> None:
    scene = Scene()
    async with scene.running():
        good, unknown = scene.service.order("TF-1", "logs", 1), scene.service.order("TF-2", "logs", 7)
        await scene.wait_for(good, unknown)

    brought = scene.service.order_answers[good]
    assert [(one.name, one.text, one.size_bytes) for one in brought.logs] == [("stderr", "no log\n", 7)]
    assert "worker 7" in scene.service.order_answers[unknown].error


async def test_what_cannot_be_done_is_answered_in_words() -> None:
    scene = Scene()
    del scene.world.clusters[1]
    scene.pool.troubles.append(RejectedError("HTCondor forbids it"))
    async with scene.running():
        refused, gone = scene.service.order("TF-1", "hold", 0), scene.service.order("TF-2", "hold", 0)
        await scene.wait_for(refused, gone)
        newer = scene.service.order("TF-1", "sing", 0)
        await scene.wait_for(newer)

    answers = scene.service.order_answers
    assert answers[refused].error == "HTCondor forbids it"
    assert answers[gone].error == "its cluster is not, or no more, in the pool"
    assert answers[newer].error == "this agent does not know how to sing: it is older than the service"
    assert scene.states() == [ProcState.RUNNING] * 3


async def test_a_pool_that_does_not_answer_is_asked_again_and_keeps_no_other_waiting() -> None:
    scene = Scene()
    scene.pool.troubles += [UnavailableError("the schedd is away")] * 2
    async with scene.running():
        late = scene.service.order("TF-1", "hold", 0)
        await scene.wait_for(late)
        assert scene.service.order_answers[late].done == 1

    assert scene.states() == [ProcState.HELD, ProcState.RUNNING, ProcState.RUNNING]


def replace_act(scene: Scene, act: Callable[[int], Awaitable[None]]) -> None:
    """Have something happen at each action; `act` gets the cluster's number."""
    real = scene.pool.act

    async def replaced(cluster: int, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
        await act(cluster)
        return await real(cluster, action, procs, reason=reason)

    scene.pool.act = replaced  # type: ignore[method-assign]


async def test_a_pool_that_never_answers_keeps_no_other_order_waiting_and_is_given_up() -> None:
    scene = Scene()
    asked: list[float] = []

    async def hang(cluster: int) -> None:
        if cluster == 0:
            asked.append(anyio.current_time())
            await anyio.sleep_forever()

    replace_act(scene, hang)
    async with scene.running():
        scene.service.order("TF-1", "hold", 0)
        other = scene.service.order("TF-2", "hold", 1)
        await scene.wait_for(other)
        await anyio.sleep(TRY_S + RETRY_DELAY_S_MAX + 1)

    assert len(asked) == 2
    assert TRY_S <= asked[1] - asked[0] <= TRY_S + RETRY_DELAY_S_MAX + 1


async def test_a_fault_of_the_agent_is_the_orders_answer_and_not_its_end() -> None:
    scene = Scene()

    async def fail(cluster: int) -> None:
        if cluster == 0:
            raise EOFError("the file ended early")

    replace_act(scene, fail)
    async with scene.running():
        bad, good = scene.service.order("TF-1", "hold", 0), scene.service.order("TF-2", "hold", 0)
        await scene.wait_for(bad, good)

    assert scene.service.order_answers[bad].error == "a fault of the agent: EOFError: the file ended early"
    assert scene.service.order_answers[good].done == 1


async def test_an_answer_that_did_not_arrive_is_said_again_as_it_was() -> None:
    scene = Scene()

    async def go_away(cluster: int) -> None:
        scene.service.away = 1  # the next call is the answer

    replace_act(scene, go_away)
    async with scene.running():
        order = scene.service.order("TF-1", "hold", 0, 1)
        await scene.wait_for(order)

    assert scene.service.order_answers[order].done == 2


async def test_a_service_of_before_is_asked_again_only_after_a_while() -> None:
    scene = Scene()
    scene.service.is_of_before = True
    async with scene.running():
        order = scene.service.order("TF-1", "hold", 0)
        await anyio.sleep(AGAIN_S / 2)
        scene.service.is_of_before = False
        await scene.wait_for(order)


async def test_a_reason_as_long_as_one_can_be_fits_into_the_pools_log() -> None:
    scene = Scene()
    async with scene.running():
        order = scene.service.order("TF-1", "hold", 0, reason="x" * 10_000)
        await scene.wait_for(order)
    assert len(scene.world.clusters[0].procs[0][0]) <= len("HELD: ") + TEXT_CHARS_MAX


Move = tuple[str, tuple[int, ...]]
MOVES = st.lists(
    st.tuples(st.sampled_from(["hold", "release"]), st.sets(st.integers(0, 2)).map(lambda one: tuple(sorted(one)))),
    max_size=6,
)


@given(moves=MOVES, away=st.integers(0, 3), lost=st.integers(0, 3), troubles=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_in_the_end_it_is_as_was_asked_last_whatever_got_lost(
    moves: list[Move], away: int, lost: int, troubles: int
) -> None:
    async def play() -> None:
        scene = Scene()
        scene.service.away, scene.service.lost = away, lost
        scene.pool.troubles += [UnavailableError("away")] * troubles
        orders = [scene.service.order("TF-1", action, *procs) for action, procs in moves]
        async with scene.running():
            await scene.wait_for(*orders)
        expected = [ProcState.RUNNING] * 3
        for action, procs in moves:
            for proc in procs or (0, 1, 2):
                expected[proc] = ProcState.HELD if action == "hold" else ProcState.RUNNING
        assert scene.states() == expected

    anyio.run(play, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
