"""Do many followers share their looks, miss nothing, and go on when one of them leaves? On a clock that jumps."""

import random
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field

import anyio
import pytest
import trio.testing
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.waking import Bells
from muster.server.services.lookout import Lookout, Lookouts

pytestmark = pytest.mark.anyio

FLOOR_S, PACE_S, LOOK_S = 0.2, 5.0, 0.01


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@dataclass(frozen=True)
class Seen:
    value: int
    topics: Sequence[str] = ("value",)
    pace_s: float = PACE_S

    @property
    def state(self) -> Hashable:
        return self.value


@dataclass
class Thing:
    """A value that changes, and what it costs to know it."""

    value: int = 0
    looks: list[float] = field(default_factory=list)
    most_at_once: int = 0
    is_silent: bool = False
    is_stopping: bool = False
    bells: Bells = field(default_factory=Bells)
    _at_once: int = 0

    def lookout(self) -> Lookout[Seen]:
        return Lookout(self.look, self.bells, floor_s=FLOOR_S, is_stopping=lambda: self.is_stopping)

    async def look(self) -> Seen:
        self.looks.append(anyio.current_time())
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        value = self.value  # the snapshot is of the moment when the look begins
        try:
            await anyio.sleep(LOOK_S)
            if self.is_silent:
                raise UnavailableError("it does not answer")
        finally:
            self._at_once -= 1
        return Seen(value)

    def change(self, *, rings: bool = True) -> None:
        self.value += 1
        if rings:
            self.bells.wake("value")


async def follow(lookout: Lookout[Seen], told: list[int], *, last: int) -> None:
    known = (await lookout.look()).value
    while known < last:
        seen = await lookout.next(lambda one, known=known: one.value != known, until=anyio.current_time() + 100)  # type: ignore[misc]
        assert seen is not None
        known = seen.value
        told.append(known)


async def test_fifty_followers_cost_one_look_a_round() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[list[int]] = [[] for _ in range(50)]

    async with anyio.create_task_group() as group:
        for one in told:
            group.start_soon(lambda one=one: follow(lookout, one, last=3))  # type: ignore[misc]
        await anyio.sleep(1)
        thing.looks.clear()
        for _ in range(3):
            thing.change()
            await anyio.sleep(1)

    assert told == [[1, 2, 3]] * 50
    assert len(thing.looks) == 3
    assert thing.most_at_once == 1


async def test_what_changes_often_is_told_in_steps() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: follow(lookout, told, last=100))
        for _ in range(100):
            await anyio.sleep(0.05)
            thing.change()

    assert told[-1] == 100
    gaps = [after - before for before, after in zip(thing.looks[1:], thing.looks[2:], strict=False)]
    assert min(gaps) >= FLOOR_S - 1e-9
    assert len(told) < 30


async def test_a_change_without_a_ring_is_seen_after_the_pace() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: follow(lookout, told, last=1))
        await anyio.sleep(1)
        begun = anyio.current_time()
        thing.change(rings=False)

    assert told == [1]
    assert anyio.current_time() - begun <= PACE_S + LOOK_S


async def test_what_changes_before_the_topics_are_known_is_not_missed() -> None:
    thing = Thing()
    lookout = thing.lookout()
    await lookout.look()
    thing.change()  # nobody hears this ring

    seen = await lookout.next(lambda one: one.value == 1, until=anyio.current_time() + 1)

    assert seen == Seen(1)


async def test_when_the_one_who_looks_leaves_another_goes_on() -> None:
    thing = Thing()
    lookout = thing.lookout()
    first: list[int] = []
    second: list[int] = []

    async with anyio.create_task_group() as group:
        leaving = anyio.CancelScope()

        async def leave_early() -> None:
            with leaving:
                await follow(lookout, first, last=1)

        group.start_soon(leave_early)
        await anyio.sleep(0.5)
        group.start_soon(lambda: follow(lookout, second, last=1))
        await anyio.sleep(0.5)
        leaving.cancel()
        await anyio.sleep(0.5)
        begun = anyio.current_time()
        thing.change()

    assert (first, second) == ([], [1])
    assert anyio.current_time() - begun <= FLOOR_S + LOOK_S


async def test_one_who_leaves_in_the_middle_of_a_look_takes_nothing_away() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[int] = []

    async with anyio.create_task_group() as group:
        leaving = anyio.CancelScope()

        async def leave_early() -> None:
            with leaving:
                await follow(lookout, [], last=1)

        group.start_soon(leave_early)
        await anyio.sleep(0.5)
        group.start_soon(lambda: follow(lookout, told, last=1))
        await anyio.sleep(0.5)
        thing.change()
        begun = anyio.current_time()
        await anyio.sleep(LOOK_S / 2)
        assert len(thing.looks) == 4
        leaving.cancel()

    assert told == [1]
    assert anyio.current_time() - begun <= FLOOR_S + 2 * LOOK_S


async def test_a_ring_that_comes_as_the_time_is_over_is_kept_for_the_next_call() -> None:
    thing = Thing()
    lookout = thing.lookout()
    await lookout.look()
    async with anyio.create_task_group() as group:

        async def ring() -> None:
            await anyio.sleep(1)
            thing.change()

        group.start_soon(ring)
        missed = await lookout.next(lambda one: one.value == 1, until=anyio.current_time() + 1)
    begun = anyio.current_time()
    seen = await lookout.next(lambda one: one.value == 1, until=begun + 100)

    assert (missed, seen) in [(None, Seen(1)), (Seen(1), Seen(1))]
    assert anyio.current_time() - begun <= FLOOR_S + LOOK_S


async def test_one_who_cannot_wait_is_answered_at_once_and_tells_the_others() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: follow(lookout, told, last=1))
        await anyio.sleep(1)
        thing.change(rings=False)
        begun = anyio.current_time()
        seen = await lookout.look()
        assert anyio.current_time() - begun == pytest.approx(LOOK_S)

    assert (seen.value, told) == (1, [1])
    assert anyio.current_time() - begun < FLOOR_S


async def test_what_is_seen_between_two_rounds_is_told_with_the_next() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: follow(lookout, told, last=1))
        await anyio.sleep(1)
        await lookout.look()
        await anyio.sleep(FLOOR_S / 2)
        thing.change(rings=False)
        begun = anyio.current_time()
        await lookout.look()

    assert told == [1]
    assert anyio.current_time() - begun <= FLOOR_S


async def test_a_look_that_began_before_a_call_is_not_its_answer() -> None:
    thing = Thing()
    lookout = thing.lookout()
    seen: list[int] = []

    async def ask() -> None:
        seen.append((await lookout.look()).value)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(LOOK_S / 2)
        thing.change()
        for _ in range(10):
            group.start_soon(ask)

    assert seen == [0] + [1] * 10
    assert (len(thing.looks), thing.most_at_once) == (2, 1)


async def test_a_fresh_one_gets_nothing_that_was_seen_before_it_came_and_waits_for_no_ring() -> None:
    thing = Thing()
    lookout = thing.lookout()
    told: list[int] = []

    async with anyio.create_task_group() as group:
        group.start_soon(lambda: follow(lookout, told, last=1))
        await anyio.sleep(1)
        thing.change(rings=False)
        begun = anyio.current_time()
        seen = await lookout.next(lambda one: True, until=begun + 100, is_fresh=True)

    assert (seen, told) == (Seen(1), [1])
    assert anyio.current_time() - begun <= FLOOR_S + LOOK_S


async def test_an_error_is_told_to_all_who_wait_and_forgotten_with_the_next_look() -> None:
    thing = Thing()
    lookout = thing.lookout()
    errors: list[str] = []
    await lookout.look()

    async def wait() -> None:
        try:
            await lookout.next(lambda one: False, until=anyio.current_time() + 100)
        except UnavailableError as error:
            errors.append(str(error))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(wait)
        await anyio.sleep(1)
        thing.is_silent = True
        thing.bells.wake("value")
    count = len(thing.looks)
    thing.is_silent = False
    seen = await lookout.next(lambda one: True, until=anyio.current_time() + 1)

    assert errors == ["it does not answer"] * 10
    assert seen == Seen(0)
    assert len(thing.looks) == count + 1


async def test_all_go_when_the_service_stops() -> None:
    thing = Thing()
    lookout = thing.lookout()
    seen: list[Seen | None] = []

    async def wait() -> None:
        seen.append(await lookout.next(lambda one: False, until=anyio.current_time() + 100))

    await lookout.look()
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(wait)
        await anyio.sleep(1)
        begun = anyio.current_time()
        thing.is_stopping = True
        thing.bells.wake("value")

    assert seen == [None] * 10
    assert anyio.current_time() - begun < FLOOR_S


async def test_when_who_looks_is_torn_away_the_next_one_looks_at_once() -> None:
    thing = Thing()
    lookout = thing.lookout()
    await lookout.look()
    begun = anyio.current_time()
    told: list[float] = []

    async def wait() -> None:
        await lookout.next(lambda one: one.value == 1, until=begun + 100)
        told.append(anyio.current_time() - begun)

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def wait_and_go() -> None:
            with scope:
                await wait()

        await group.start(_started, wait_and_go)
        group.start_soon(wait)
        thing.change()
        while thing.most_at_once == 0 or not thing._at_once:  # noqa: ASYNC110 - the clock jumps
            await anyio.sleep(LOOK_S / 2)
        scope.cancel()

    assert told == [pytest.approx(anyio.current_time() - begun)]
    assert told[0] < FLOOR_S + 2 * LOOK_S


async def _started(work: Callable[[], Coroutine[None, None, None]], *, task_status: TaskStatus[None]) -> None:
    """Begin it, and let it come to where it waits."""
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await anyio.sleep(0.001)
        task_status.started()


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_comes_and_goes_learns_of_every_change_in_time(seed: int) -> None:
    chance = random.Random(seed)
    thing = Thing()
    lookouts: Lookouts[Seen] = Lookouts()
    late: list[float] = []

    async def stay(length_s: float) -> None:
        end = anyio.current_time() + length_s
        with lookouts.follow("a", thing.lookout) as lookout:
            known = (await lookout.look()).value
            while anyio.current_time() < end:
                is_fresh = chance.random() < 0.3
                seen = await lookout.next(lambda one, known=known: one.value != known, until=end, is_fresh=is_fresh)  # type: ignore[misc]
                if seen is None and chance.random() < 0.5:
                    seen = await lookout.look()
                known = known if seen is None else seen.value
                late.append(anyio.current_time() - changed_at.get(known + 1, anyio.current_time()))
                await anyio.sleep(chance.choice([0, 0.01, 0.3]))

    async def come_and_go() -> None:
        for _ in range(10):
            await anyio.sleep(chance.uniform(0, 3))
            with anyio.move_on_after(chance.uniform(0.01, 6)):  # some are torn away
                await stay(chance.uniform(0, 5))

    changed_at: dict[int, float] = {}
    async with anyio.create_task_group() as group:
        async with anyio.create_task_group() as followers:
            for _ in range(8):
                followers.start_soon(come_and_go)

            async def change() -> None:
                while True:
                    await anyio.sleep(chance.choice([0.001, 0.1, 1, 4]))
                    thing.change()
                    changed_at[thing.value] = anyio.current_time()

            group.start_soon(change)
        group.cancel_scope.cancel()

    assert late
    # Nobody knows less than what was so a floor, two looks and a pause of one's own ago, also when nothing came.
    assert max(late) <= FLOOR_S + 2 * LOOK_S + 0.3 + 1e-9
    assert thing.most_at_once == 1
    assert lookouts._followed == {}


async def test_the_last_one_who_leaves_leaves_nothing_behind() -> None:
    thing = Thing()
    lookouts: Lookouts[Seen] = Lookouts()

    with lookouts.follow("a", thing.lookout) as first:
        await first.look()
        await first.next(lambda one: False, until=anyio.current_time() + 1)
        with lookouts.follow("a", thing.lookout) as second:
            assert second is first
        assert thing.bells._bells.keys() == {"value"}
    with lookouts.follow("a", thing.lookout) as third:
        assert third is not first

    assert (thing.bells._bells, lookouts._followed) == ({}, {})
