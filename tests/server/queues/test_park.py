"""Who is woken when events come, and who waits on? On a clock that jumps, over a queue in memory."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from trio.testing import MockClock

from muster.server.ports.queue_engine import Body, BodyKind, Leased, StepAnswer
from muster.server.services.park import Errand, Lot
from muster.server.services.worker_desk import WorkerDesk

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Bell:
    def __init__(self) -> None:
        self.rung = anyio.Event()

    async def wait(self, timeout_s: float) -> bool:
        with anyio.move_on_after(timeout_s):
            await self.rung.wait()
        rang = self.rung.is_set()
        if rang:
            self.rung = anyio.Event()
        return rang


class Bells:
    """Waking in this process, with a count of who listens."""

    def __init__(self) -> None:
        self.bells: list[tuple[tuple[str, ...], Bell]] = []
        self.woken: list[str] = []

    @contextmanager
    def listen(self, *topics: str) -> Iterator[Bell]:
        entry = (topics, Bell())
        self.bells.append(entry)
        try:
            yield entry[1]
        finally:
            self.bells.remove(entry)

    def wake(self, topic: str, *, bells: int | None = None) -> None:
        self.woken.append(topic)
        for _, bell in [entry for entry in self.bells if topic in entry[0]][:bells]:
            bell.rung.set()


class Shelf:
    """Events that can be taken, and who asked."""

    def __init__(self, bells: Bells) -> None:
        self.bells = bells
        self.events: deque[int] = deque()
        self.asked: list[int] = []
        self.got: dict[int, list[int]] = {}
        self.is_over = False
        self.take_s = 0.0

    def put(self, *events: int) -> None:
        self.events.extend(events)
        self.bells.wake("queue:7", bells=len(events))

    def errand(self, session: int, *, want: int = 1) -> Errand:
        async def take() -> StepAnswer:
            self.asked.append(session)
            await anyio.sleep(self.take_s)
            taken = [self.events.popleft() for _ in range(min(want, len(self.events)))]
            return StepAnswer((), [Leased(event, 1, 1, Body(BodyKind.JSON, b"1")) for event in taken])

        async def is_over() -> bool:
            return self.is_over

        return Errand(session, take, is_over)

    async def visit(self, lot: Lot, session: int, *, timeout_s: float = 100.0, want: int = 1) -> None:
        answer = await lot.wait(self.errand(session, want=want), timeout_s=timeout_s)
        self.got[session] = [leased.event for leased in answer.leased] if answer else []


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def shelf(bells: Bells) -> Shelf:
    return Shelf(bells)


@pytest.fixture
def lot(bells: Bells) -> Lot:
    return Lot(bells, queues=(7,), topics=("stopping",), net_s=30.0)


async def settle() -> None:
    """Let everybody run until all wait: the clock jumps only then."""
    await anyio.sleep(0.001)


async def test_those_who_waited_longest_get_the_events_and_nobody_else_asks(lot: Lot, shelf: Shelf) -> None:
    async with anyio.create_task_group() as group:
        for session in range(1, 21):
            group.start_soon(shelf.visit, lot, session)
            await settle()
        shelf.asked.clear()

        shelf.put(101, 102, 103)
        await settle()

        assert shelf.got == {1: [101], 2: [102], 3: [103]}
        # The one behind the last asks once, finds nothing and waits on: no herd.
        assert shelf.asked == [1, 2, 3, 4]
        group.cancel_scope.cancel()


async def test_an_event_that_came_between_the_look_and_the_parking_is_found(lot: Lot, shelf: Shelf) -> None:
    shelf.put(101)  # rings for nobody

    await shelf.visit(lot, 1)

    assert shelf.got == {1: [101]}


async def test_a_call_without_events_ends_at_its_time(lot: Lot, shelf: Shelf, bells: Bells) -> None:
    before = anyio.current_time()

    async with anyio.create_task_group() as group:
        group.start_soon(shelf.visit, lot, 1)
        await settle()
        await shelf.visit(lot, 2, timeout_s=10.0)

        assert anyio.current_time() - before == pytest.approx(10.0, abs=0.1)
        assert len(lot) == 1
        group.cancel_scope.cancel()
    assert shelf.got == {2: []}
    assert len(lot) == 0
    assert bells.bells == []


async def test_a_later_call_of_a_session_ends_the_parked_one_at_once(lot: Lot, shelf: Shelf) -> None:
    async with anyio.create_task_group() as group:
        for session in (1, 2):
            group.start_soon(shelf.visit, lot, session)
            await settle()
        before = anyio.current_time()

        lot.dismiss(1)  # the head
        await settle()
        lot.dismiss(2)
        await settle()

        assert shelf.got == {1: [], 2: []}
        assert anyio.current_time() - before < 0.1


async def test_a_call_dismissed_in_the_middle_of_a_lease_answers_with_it(lot: Lot, shelf: Shelf) -> None:
    shelf.put(101)
    shelf.take_s = 1.0
    async with anyio.create_task_group() as group:
        group.start_soon(shelf.visit, lot, 1)
        await settle()
        lot.dismiss(1)
    assert shelf.got == {1: [101]}


async def test_a_lease_under_way_at_the_deadline_is_not_thrown_away(lot: Lot, shelf: Shelf) -> None:
    shelf.put(101)
    shelf.take_s = 5.0

    await shelf.visit(lot, 1, timeout_s=1.0)

    assert shelf.got == {1: [101]}


async def test_when_the_head_is_cancelled_the_next_one_asks(lot: Lot, shelf: Shelf) -> None:
    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def leave_early() -> None:
            with scope:
                await shelf.visit(lot, 1)

        group.start_soon(leave_early)
        await settle()
        group.start_soon(shelf.visit, lot, 2)
        await settle()

        shelf.put(101)  # its ring reaches the head, which goes before it can ask
        scope.cancel()
        await settle()

        assert shelf.got == {2: [101]}


async def test_all_are_sent_away_when_waiting_is_over(lot: Lot, shelf: Shelf, bells: Bells) -> None:
    async with anyio.create_task_group() as group:
        for session in range(1, 6):
            group.start_soon(shelf.visit, lot, session)
            await settle()
        shelf.put(101, 102)
        shelf.is_over = True
        before = anyio.current_time()
        bells.wake("stopping")
        await settle()

        assert shelf.got == {session: [] for session in range(1, 6)}
        assert anyio.current_time() - before < 0.1
    assert list(shelf.events) == [101, 102]


async def test_a_lost_ring_is_made_good_by_the_net(lot: Lot, shelf: Shelf) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(shelf.visit, lot, 1)
        await settle()
        shelf.events.append(101)  # nobody rings
        await anyio.sleep(29)
        assert shelf.got == {}
        await anyio.sleep(3)
        assert shelf.got == {1: [101]}
        group.cancel_scope.cancel()


async def test_a_lot_that_closes_passes_the_ring_on(lot: Lot, shelf: Shelf, bells: Bells) -> None:
    other = Lot(bells, queues=(7,), topics=(), net_s=1e6)
    async with anyio.create_task_group() as group:
        group.start_soon(shelf.visit, lot, 1)
        await settle()
        group.start_soon(shelf.visit, other, 2)
        await settle()

        shelf.events.extend([101, 102])
        bells.wake("queue:7", bells=1)  # one ring for two events
        await settle()

        assert shelf.got == {1: [101], 2: [102]}
        group.cancel_scope.cancel()


async def test_an_error_of_the_database_reaches_the_caller_and_the_next_one_asks(lot: Lot, shelf: Shelf) -> None:
    async def fail() -> StepAnswer:
        raise ConnectionError

    async def is_over() -> bool:
        return False

    async with anyio.create_task_group() as group:
        group.start_soon(shelf.visit, lot, 2)
        await settle()
        shelf.events.append(101)
        lot.dismiss(2)
        await settle()
        with pytest.raises(ConnectionError):
            await lot.wait(Errand(1, fail, is_over), timeout_s=10)
        await shelf.visit(lot, 3)
    assert shelf.got == {2: [], 3: [101]}


async def test_idle_workers_come_back_later_the_more_there_are() -> None:
    desk = WorkerDesk(jitter=lambda: 0.5)

    first = desk.next_come_back_s("TK-1", parked=200)
    for _ in range(10_000):
        last = desk.next_come_back_s("TK-1", parked=200)

    assert first == pytest.approx(1.0)
    assert last == pytest.approx(10_200 / 500, rel=0.01)
    await anyio.sleep(60)
    assert desk.next_come_back_s("TK-1", parked=0) == pytest.approx(1.0)


async def test_come_back_times_are_spread() -> None:
    low = WorkerDesk(jitter=lambda: 0.0).next_come_back_s("TK-1", parked=5000)
    high = WorkerDesk(jitter=lambda: 0.999).next_come_back_s("TK-1", parked=5000)

    assert low == pytest.approx(7.0)
    assert high == pytest.approx(13.0, rel=0.01)
