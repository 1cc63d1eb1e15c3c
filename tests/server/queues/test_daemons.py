"""Do the daemons of queues go on when the database is away, and end when something is wrong? On a clock that jumps."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast

import anyio
import pytest
from anyio.abc import TaskStatus
from trio.testing import MockClock

from muster.domain.errors import ConflictError, UnavailableError
from muster.server.daemons.expire_answers import AnswerExpirer
from muster.server.daemons.fold import DeltaFolder
from muster.server.daemons.heartbeat import Heartbeat
from muster.server.daemons.reap import LeaseReaper
from muster.server.daemons.tend import HotTableTender
from muster.server.ports.queue_engine import QueueEngine, Reaped
from muster.server.ports.store import Store, Transaction
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

    async def write(self, work: Callable[[Transaction], T]) -> T:
        await self._called()
        return work(cast("Transaction", self))

    @property
    def answers(self) -> "Database":
        return self

    def now(self) -> float:
        return 1000.0

    def delete_older(self, before: float, *, limit: int) -> int:
        self.deleted.append((before, limit))
        return limit if len(self.deleted) < 3 else 7

    def wake(self, topic: str, *, bells: int | None = None) -> None:
        self.woken.append(topic)


def make_daemons(database: Database) -> dict[str, Daemon]:
    engine, store, waking = cast("QueueEngine", database), cast("Store", database), cast("Waking", database)
    return {
        "reap": LeaseReaper(engine, waking, interval_s=1),
        "fold": DeltaFolder(engine, interval_s=1),
        "tend": HotTableTender(engine, interval_s=1),
        "heartbeat": Heartbeat(store, interval_s=1),
        "expire": AnswerExpirer(store, kept_s=10, interval_s=1),
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

    ended = await LeaseReaper(cast("QueueEngine", database), cast("Waking", database), interval_s=1).run_once()

    assert ended == 202
    assert database.woken == ["queue:1", "queue:3", "queue:1", "drain"]


async def test_old_answers_are_deleted_in_batches_until_none_is_left() -> None:
    database = Database()

    deleted = await AnswerExpirer(cast("Store", database), kept_s=100).run_once()

    assert deleted == 2007
    assert database.deleted == [(900.0, 1000)] * 3
