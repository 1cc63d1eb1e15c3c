"""Do the daemons of queues go on when the database is away, and end when something is wrong? On a clock that jumps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar, cast

import anyio
import pytest
from anyio.abc import TaskStatus
from trio.testing import MockClock

from muster.domain.errors import ConflictError, UnavailableError
from muster.server.daemons.reap import reap_sessions
from muster.server.daemons.rhythm import Every, WhenRung
from muster.server.ports.queue_engine import QueueEngine, Reaped
from muster.server.ports.store import Store
from muster.server.ports.waking import Waking

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class Daemon(Protocol):
    async def run(self, *, task_status: TaskStatus[None]) -> None: ...


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Database:
    """A store and an engine that note when they are called, and can fail: time is what is tested here, not SQL."""

    def __init__(self, *, fails: Sequence[BaseException | None] = (), reaped: Sequence[Reaped] = ()) -> None:
        self.fails = list(fails)
        self.reaped = list(reaped)
        self.calls: list[float] = []
        self.woken: list[str] = []
        self.deleted: list[tuple[float, int]] = []
        self.rings: Sequence[float] = ()

    async def _called(self) -> None:
        self.calls.append(anyio.current_time())
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error

    async def reap(self, *, limit: int) -> Reaped:
        await self._called()
        return self.reaped.pop(0) if self.reaped else Reaped()

    async def fold(self) -> int:
        await self._called()
        return 0

    async def tend(self) -> None:
        await self._called()

    async def heartbeat(self) -> None:
        await self._called()

    def wake(self, topic: str, *, bells: int | None = None) -> None:
        self.woken.append(topic)

    @contextmanager
    def listen(self, *topics: str) -> Iterator["RhythmicBell"]:
        yield RhythmicBell(self.rings)


class RhythmicBell:
    """Rings at the times given, and is silent otherwise."""

    def __init__(self, rings: Sequence[float]) -> None:
        self._rings = list(rings)

    async def wait(self, timeout_s: float) -> bool:
        until = anyio.current_time() + timeout_s
        is_rung = bool(self._rings) and self._rings[0] <= until
        await anyio.sleep_until(max(anyio.current_time(), self._rings.pop(0)) if is_rung else until)
        return is_rung


def make_daemons(database: Database) -> dict[str, Daemon]:
    engine, store, waking = cast("QueueEngine", database), cast("Store", database), cast("Waking", database)
    return {
        "reap": Every(1, "reap", partial(reap_sessions, engine, waking)),
        "fold": Every(1, "fold", engine.fold),
        "heartbeat": Every(1, "heartbeat", store.heartbeat),
        "rung": WhenRung(waking, "drain", "rung", 1, engine.tend),
    }


NAMES = tuple(make_daemons(Database()))


@pytest.mark.parametrize("name", NAMES)
async def test_a_daemon_goes_on_when_the_database_does_not_answer(name: str) -> None:
    database = Database(fails=[UnavailableError("away"), UnavailableError("away")])
    async with anyio.create_task_group() as group:
        await group.start(make_daemons(database)[name].run)
        await anyio.sleep(3.5)
        group.cancel_scope.cancel()

    assert len({round(at) for at in database.calls}) == 4


@pytest.mark.parametrize("name", NAMES)
async def test_a_daemon_ends_loudly_at_anything_else(name: str) -> None:
    database = Database(fails=[None] * 5 + [ConflictError("another service has this place")])

    with pytest.RaisesGroup(ConflictError):
        async with anyio.create_task_group() as group:
            await group.start(make_daemons(database)[name].run)
            await anyio.sleep(60)


async def test_the_reaper_wakes_those_who_wait_and_goes_on_while_there_is_more() -> None:
    database = Database(
        reaped=[
            Reaped(holders=200, requeued=5, queues=frozenset({3, 1})),
            Reaped(holders=2, requeued=1, dead=1, queues=frozenset({1})),
        ]
    )

    ended = await reap_sessions(cast("QueueEngine", database), cast("Waking", database))

    assert ended == 202
    assert database.woken == ["queue:1", "queue:3", "queue:1", "drain"]


async def passes_of(database: Database, daemon: WhenRung, *, until_s: float) -> list[float]:
    """Seconds from the start at which passes were made."""
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        await group.start(daemon.run)
        await anyio.sleep(until_s)
        group.cancel_scope.cancel()
    return [round(at - began, 3) for at in database.calls]


async def test_a_daemon_with_a_bell_makes_a_pass_when_it_rings_and_when_it_is_silent_for_long() -> None:
    database = Database()
    database.rings = [anyio.current_time() + 2]

    made = await passes_of(database, WhenRung(database, "drain", "test", 5, database.tend), until_s=13)

    assert made == [0, 2, 7, 12]


async def test_a_bell_that_rings_all_the_time_makes_no_more_passes_than_the_floor_lets() -> None:
    database = Database()
    database.rings = [anyio.current_time() + 0.01 * n for n in range(1000)]

    made = await passes_of(database, WhenRung(database, "drain", "test", 5, database.tend, floor_s=1), until_s=3.5)

    assert made == [0, 1, 2, 3]


async def test_a_pass_says_when_the_next_should_be_and_a_database_that_is_away_is_asked_soon() -> None:
    database = Database(fails=[None, UnavailableError("away"), UnavailableError("away")])

    async def a_pass() -> float | None:
        await database.tend()
        return 0.25 if len(database.calls) == 1 else 60

    made = await passes_of(database, WhenRung(database, "drain", "test", 5, a_pass), until_s=8)

    assert made == [0, 0.25, 1.25, 2.25, 7.25], "60 s are more than the net's 5"
