"""Is priority honoured, does it age, are owners served fairly, and is nobody passed over for ever?"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.admission import AGE_S, TURN, Waiting, order

NOW = 1_000_000.0
OWNERS = st.sampled_from(["ada", "eve", "olga"])


@st.composite
def crowds(draw: st.DrawFn, size_max: int = 12) -> list[Waiting]:
    """Workflows of three owners, that came within the last day."""
    rows = draw(
        st.lists(st.tuples(OWNERS, st.integers(1, 200), st.floats(0, 86_400, allow_nan=False)), max_size=size_max)
    )
    return [Waiting(f"WF-{number}", owner, priority, NOW - age) for number, (owner, priority, age) in enumerate(rows)]


def places(ordered: object) -> dict[str, int]:
    return {one.workflow_id: place for place, one in enumerate(ordered)}  # type: ignore[var-annotated, arg-type]


@given(crowds())
def test_everybody_has_a_place_and_the_order_of_asking_does_not_matter(crowd: list[Waiting]) -> None:
    ordered = order(crowd, now=NOW)

    assert sorted(ordered, key=lambda one: one.workflow_id) == sorted(crowd, key=lambda one: one.workflow_id)
    assert order(reversed(crowd), now=NOW) == ordered


@given(crowds(), st.data())
def test_a_higher_priority_never_makes_it_later(crowd: list[Waiting], data: st.DataObject) -> None:
    if not crowd:
        return
    one = data.draw(st.sampled_from(crowd))
    higher = replace(one, priority=one.priority + data.draw(st.integers(1, 100)))

    before, after = order(crowd, now=NOW), order([higher if other == one else other for other in crowd], now=NOW)

    assert places(after)[one.workflow_id] <= places(before)[one.workflow_id]


@given(crowds())
def test_of_one_owner_the_more_urgent_goes_first(crowd: list[Waiting]) -> None:
    ordered = order(crowd, now=NOW)

    for owner in {one.owner for one in crowd}:
        own = [one for one in ordered if one.owner == owner]
        urgencies = [one.priority + (NOW - one.since) / AGE_S for one in own]
        assert urgencies == sorted(urgencies, reverse=True)


@given(st.integers(1, 100), st.integers(1, 500))
def test_a_burst_of_one_owner_costs_another_one_place_of_the_same_priority(priority: int, burst: int) -> None:
    crowd = [Waiting(f"WF-{number}", "ada", priority, NOW - 1) for number in range(burst)]

    assert places(order([*crowd, Waiting("WF-x", "eve", priority, NOW)], now=NOW))["WF-x"] == 1


@given(st.integers(1, 100), st.integers(1, 100), st.integers(2, 60))
def test_owners_that_ask_alike_are_served_in_turns(high: int, low: int, each: int) -> None:
    crowd = [
        Waiting(f"WF-{owner}-{number}", owner, priority, NOW)
        for owner, priority in (("ada", high), ("eve", low))
        for number in range(each)
    ]

    served = [one.owner for one in order(crowd, now=NOW)]

    lead = served.index("eve") if high >= low else served.index("ada")  # what the priority is worth
    assert lead <= abs(high - low) / TURN + 1
    rest = served[lead : len(served) - lead]
    assert abs(rest.count("ada") - rest.count("eve")) <= 1


@given(st.integers(1, 100), st.integers(1, 100), st.floats(0, 1_000))
def test_nothing_starves_whoever_waited_an_hour_longer_goes_first(old: int, new: int, more_s: float) -> None:
    waited_s = 100 * AGE_S + more_s
    crowd = [Waiting("WF-old", "ada", old, NOW - waited_s), Waiting("WF-new", "eve", new, NOW)]

    assert next(one.workflow_id for one in order(crowd, now=NOW)) == "WF-old"


@given(st.lists(st.tuples(OWNERS, st.integers(1, 100)), min_size=1, max_size=40), st.integers(1, 3))
def test_in_a_stream_of_newcomers_everybody_is_let_in(stream: list[tuple[str, int]], at_once: int) -> None:
    """One more urgent newcomer comes for each that is let in: the humble one's turn comes all the same."""
    waiting = [Waiting("WF-humble", "ada", 1, NOW)]
    now, rounds = NOW, 0
    while any(one.workflow_id == "WF-humble" for one in waiting):
        for number in range(at_once):
            owner, priority = stream[(rounds + number) % len(stream)]
            waiting.append(Waiting(f"WF-{rounds}-{number}", owner, priority, now))
        let_in = set(order(waiting, now=now)[:at_once])
        waiting = [one for one in waiting if one not in let_in]
        now, rounds = now + AGE_S, rounds + 1
        assert rounds <= 400
