"""Is room given within the limits, kept for who needs much of it, and does nothing starve, however large it is?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.admission import Waiting, order
from muster.domain.room import OVERTAKEN_S, InUse, Limit, Obstacle, Resource, Room, Use, find_excess, name_setting
from muster.settings.parts import ServerSettings

NOW = 1_000_000.0
ROUND_S = 300.0
LATE = NOW + OVERTAKEN_S + 1
LINE_MAX = 12
OWNERS = st.sampled_from(["ada", "eve", "olga"])
SIZES = st.builds(Use, queues=st.integers(0, 4), workers=st.integers(1, 9), events=st.just(0))
LIMITS = st.builds(
    Limit, queues=st.none() | st.integers(1, 8), workers=st.none() | st.integers(1, 12), events=st.none()
)


def waiting(name: str = "WF-1", owner: str = "ada", *, since: float = NOW, priority: int = 50) -> Waiting:
    return Waiting(name, owner, priority, since)


def used(since: float = NOW, **uses: Use) -> list[InUse]:
    """What each owner uses, all since the same time."""
    return [InUse(owner, since, use) for owner, use in uses.items()]


def let_in(room: Room, *those: tuple[Waiting, Use]) -> list[bool]:
    return [room.let_in(one, wanted) is None for one, wanted in those]


def test_without_limits_there_is_room() -> None:
    assert let_in(Room(Limit(), Limit(), used(ada=Use(9, 9, 9))), (waiting(), Use(9, 9, 9))) == [True]


def test_what_is_in_the_way_is_told_in_numbers() -> None:
    taken = used(ada=Use(workers=8), eve=Use(queues=99))
    own = Room(Limit(workers=90), Limit(workers=10), taken)
    every = Room(Limit(queues=100), Limit(queues=2), taken)

    text = "8 workers of one owner are in use and 5 more are wanted, of 10 that may be (MUSTER_WORKERS_MAX_PER_OWNER)"
    assert own.let_in(waiting(), Use(workers=5)) == Obstacle(text, "workers", is_own=True, wants=5, may=10)
    text = "99 queues in all are in use and 2 more are wanted, of 100 that may be (MUSTER_QUEUES_MAX)"
    assert every.let_in(waiting(), Use(queues=2)) == Obstacle(text, "queues", is_own=False, wants=2, may=100)


def test_what_is_kept_is_a_lasting_obstacle_where_it_leaves_too_little_room() -> None:
    obstacle = Obstacle("", "queues", wants=2, may=6)
    assert [obstacle.is_lasting(kept) for kept in (0, 4, 5)] == [False, False, True]
    # What wants more than may be runs alone, once nothing else is in use.
    alone = Obstacle("", "queues", wants=9, may=6)
    assert [alone.is_lasting(kept) for kept in (0, 1)] == [False, True]


def test_every_limit_is_named_as_it_is_set() -> None:
    names = {name_setting(what, is_own=is_own) for what in get_args(Resource) for is_own in (False, True)}

    fields = {field for field in ServerSettings.model_fields if re.fullmatch("(queues|workers|events)_max.*", field)}
    assert names == {f"MUSTER_{field.upper()}" for field in fields}


def test_what_is_in_use_is_told_by_owner_with_what_was_let_in_just_now() -> None:
    room = Room(Limit(workers=9), Limit(), used(ada=Use(workers=2, queues=1), eve=Use(queues=3)))
    assert let_in(room, (waiting(), Use(workers=3)), (waiting("WF-2", "bob"), Use(workers=5))) == [True, False]

    assert (room.by_owner("workers"), room.by_owner("queues")) == ({"ada": 5}, {"ada": 1, "eve": 3})


def test_who_is_kept_from_the_room_of_another_is_told_so() -> None:
    room = Room(Limit(queues=4), Limit(), used(LATE, eve=Use(queues=1)))
    assert let_in(room, (waiting("WF-big"), Use(queues=4))) == [False]

    told = room.let_in(waiting("WF-2", "eve", since=LATE), Use(queues=1, workers=1))

    kept = "1 queues in all are in use, 4 are kept for one that has waited longer, and 1 more are wanted"
    assert told == Obstacle(f"{kept}, of 4 that may be (MUSTER_QUEUES_MAX)", "queues", wants=1, may=4)


def test_what_wants_more_than_may_be_is_let_in_when_nothing_else_is_in_use() -> None:
    """Refusing it for ever would help nobody; it runs alone."""
    limit = Limit(workers=10)

    assert let_in(Room(limit, limit, []), (waiting(), Use(workers=50))) == [True]
    assert let_in(Room(limit, limit, used(ada=Use(workers=1))), (waiting(), Use(workers=50))) == [False]


def test_what_is_let_in_counts_for_the_next() -> None:
    room = Room(Limit(queues=3), Limit(), [])

    assert let_in(room, *((waiting(f"WF-{number}"), Use(queues=2)) for number in range(3))) == [True, False, False]


def test_too_many_queues_do_not_keep_workers_from_what_runs_nor_too_many_events() -> None:
    """More workers are how the events become fewer."""
    room = Room(Limit(queues=3, events=5, workers=9), Limit(), used(ada=Use(queues=4, workers=1, events=6)))

    assert room.let_in(waiting(), Use(workers=8), brings_events=False) is None
    assert room.let_in(waiting("WF-2"), Use(queues=1, workers=1)) is not None


def test_where_there_are_too_many_events_a_new_workflow_waits() -> None:
    room = Room(Limit(events=5), Limit(), used(ada=Use(events=6)))

    assert let_in(room, (waiting(), Use(1, 1, 0))) == [False]


def test_for_a_while_little_ones_may_go_before_a_big_one() -> None:
    room = Room(Limit(queues=4), Limit(), used(LATE, eve=Use(queues=1)))
    soon = NOW + OVERTAKEN_S

    assert let_in(
        room,
        (waiting("WF-big"), Use(queues=4)),
        (waiting("WF-soon", since=soon), Use(queues=1)),
        (waiting("WF-late", since=LATE), Use(queues=1)),
    ) == [False, True, False]


def test_whose_own_workflows_are_in_the_way_keeps_nobody_else_waiting() -> None:
    room = Room(Limit(queues=5), Limit(queues=3), used(LATE, ada=Use(queues=2)))

    assert let_in(
        room,
        (waiting("WF-big"), Use(queues=3)),
        (waiting("WF-eve", "eve", since=LATE), Use(queues=2)),
        (waiting("WF-own", since=LATE), Use(queues=1)),
    ) == [False, True, False]


def test_while_those_before_it_leave_no_room_for_a_big_one_others_go_on() -> None:
    """It would wait all the same, and what is kept would stand empty until they end, months later perhaps."""
    big, more = (waiting("WF-big"), Use(workers=9)), [(waiting(f"WF-{n}", since=LATE), Use(workers=4)) for n in (1, 2)]
    limit = Limit(workers=10)

    assert let_in(Room(limit, Limit(), used(NOW, eve=Use(workers=2))), big, *more) == [False, True, True]
    assert let_in(Room(limit, Limit(), used(LATE, eve=Use(workers=2))), big, *more) == [False, False, False]
    # Of those that were let in just now, too.
    first = waiting("WF-first", since=NOW - 1), Use(workers=2)
    assert let_in(Room(limit, Limit(), []), first, big, *more) == [True, False, True, True]


def test_who_is_in_without_workers_waits_for_nothing_that_is_kept() -> None:
    """The one for whom it is kept may wait for what that one has: each would wait for the other for ever."""
    room = Room(Limit(queues=4, workers=4), Limit(), used(LATE, ada=Use(queues=2)))
    assert let_in(room, (waiting("WF-big", "eve"), Use(queues=4, workers=4))) == [False]

    assert room.let_in(waiting("WF-new", since=LATE), Use(queues=1, workers=1)) is not None
    assert room.let_in(waiting("WF-busy", since=LATE), Use(workers=1), brings_events=False) is not None
    assert room.let_in(waiting("WF-in", since=LATE), Use(workers=1), brings_events=False, is_stranded=True) is None


def test_events_of_one_that_waits_keep_neither_itself_out_nor_others() -> None:
    """Publishing right behind the POST is how it is done; they count once it is in."""
    limit = Limit(workers=9, events=3)
    room = Room(limit, limit, used(eve=Use(workers=1, events=2)))
    late = waiting("WF-late", since=LATE)

    assert let_in(
        room, (waiting("WF-wide"), Use(workers=9, events=50)), (waiting("WF-2"), Use(workers=1, events=50))
    ) == [
        False,
        True,
    ]
    text = "50 events of one owner are in use, of 3 that may be (MUSTER_EVENTS_MAX_PER_OWNER)"
    assert room.let_in(late, Use(workers=1)) == Obstacle(text, "events", is_own=True, wants=1, may=3)


def test_what_can_never_have_room_beside_others_is_told() -> None:
    assert find_excess(Use(9, 9, 9), Limit(), Limit()) is None
    assert find_excess(Use(3, 10, 99), Limit(3, 100, 1), Limit(workers=10)) is None
    assert find_excess(Use(3, 11), Limit(3, 100), Limit(workers=10)) == (
        "11 workers are more than the 10 that one owner may have at once"
    )
    assert find_excess(Use(4, 1), Limit(3, 100), Limit()) == "4 queues are more than the 3 that there may be at once"


def test_several_that_wait_fit_into_the_same_room_one_after_another() -> None:
    room = Room(Limit(queues=4, workers=9), Limit(), used(LATE, eve=Use(queues=1, workers=1)))

    assert let_in(
        room,
        *((waiting(f"WF-{number}"), Use(queues=4, workers=3)) for number in range(3)),
        (waiting("WF-more", since=LATE), Use(workers=5)),
    ) == [False, False, False, True]


@given(
    LIMITS,
    LIMITS,
    st.dictionaries(OWNERS, SIZES),
    st.lists(st.tuples(OWNERS, SIZES, st.floats(0, 2 * OVERTAKEN_S)), max_size=12),
)
def test_no_limit_is_passed_but_by_one_that_is_alone(
    limit: Limit, own_limit: Limit, before: Mapping[str, Use], crowd: Sequence[tuple[str, Use, float]]
) -> None:
    room = Room(limit, own_limit, [InUse(owner, NOW, use) for owner, use in before.items()])
    own = dict(before)

    for number, (owner, wanted, age) in enumerate(crowd):
        was_used = own.get(owner, Use()), sum(own.values(), Use())
        if room.let_in(waiting(f"WF-{number}", owner, since=NOW - age), wanted) is None:
            own[owner] = was_used[0] + wanted
            for was, most in zip(was_used, (own_limit, limit), strict=True):
                for name in (one.name for one in fields(Use)):
                    in_use, wants, may = (getattr(one, name) for one in (was, wanted, most))
                    assert may is None or not in_use or not wants or in_use + wants <= may


@dataclass
class Pool:
    """What runs, and until when."""

    limit: Limit
    own_limit: Limit
    running: list[tuple[float, InUse]]

    def pass_over(self, line: list[tuple[Waiting, Use, float]], now: float) -> list[tuple[Waiting, Use, float]]:
        """Let in who may be; returns those that go on waiting."""
        self.running = [one for one in self.running if one[0] > now]
        room = Room(self.limit, self.own_limit, [one for _, one in self.running])
        by_id = {one.workflow_id: (one, wanted, runs_s) for one, wanted, runs_s in line}
        left = []
        for one in order([one for one, _, _ in line], now=now):
            _, wanted, runs_s = by_id[one.workflow_id]
            if room.let_in(one, wanted) is None:
                self.running.append((now + runs_s, InUse(one.owner, one.since, wanted)))
            else:
                left.append(by_id[one.workflow_id])
        return left


@given(
    limit=LIMITS,
    own_limit=LIMITS,
    humble=SIZES,
    stream=st.lists(
        st.tuples(OWNERS, st.integers(1, 100), SIZES, st.floats(ROUND_S, 6 * ROUND_S)), min_size=1, max_size=8
    ),
    each=st.integers(1, 3),
)
def test_nothing_starves_however_much_it_wants(
    limit: Limit, own_limit: Limit, humble: Use, stream: Sequence[tuple[Any, ...]], each: int
) -> None:
    """Others come all the time, of any size and urgency, and fill what room there is: its turn comes all the same."""
    pool = Pool(limit, own_limit, [])
    line = [(waiting("WF-humble", since=NOW, priority=1), humble, ROUND_S)]
    pool.running += [(NOW + runs_s, InUse(owner, NOW, wanted)) for owner, _, wanted, runs_s in stream]
    rounds, now = 0, NOW
    while line and line[0][0].workflow_id == "WF-humble":
        for number in range(min(each, LINE_MAX - len(line))):
            owner, priority, wanted, runs_s = stream[(rounds * each + number) % len(stream)]
            line.append((waiting(f"WF-{rounds}-{number}", owner, since=now, priority=priority), wanted, runs_s))
        left = pool.pass_over(line, now)
        line = sorted(left, key=lambda one: one[0].workflow_id != "WF-humble")
        rounds, now = rounds + 1, now + ROUND_S
        assert rounds < 100, "eight hours"
