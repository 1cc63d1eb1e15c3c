"""Is an event always in exactly one state, whatever happens to it, however late or often?"""

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.event_state import TRANSITIONS, EventState, Happening, next_state
from muster.domain.queue import Counts


def test_every_pair_is_judged() -> None:
    """One row a state, one column a happening; `.` changes nothing."""
    table = """
             leased finished finished-late failed failed-finally released expired expired-finally replayed
    waiting  in_work . done . . . . . .
    in_work  . done done waiting dead waiting waiting dead .
    done     . . . . . . . . .
    dead     . . done . . . . . waiting
    """
    head, *rows = table.strip().splitlines()
    happenings = [Happening(word) for word in head.split()]
    tried = set()
    for row in rows:
        name, *cells = row.split()
        for happening, cell in zip(happenings, cells, strict=True):
            tried.add((EventState(name), happening))
            assert next_state(EventState(name), happening) == (None if cell == "." else EventState(cell))

    assert tried == {(state, happening) for state in EventState for happening in Happening}
    assert set(TRANSITIONS) <= tried


def test_done_is_for_ever() -> None:
    assert not any(state is EventState.DONE for state, _ in TRANSITIONS)


@given(st.lists(st.lists(st.sampled_from(Happening), max_size=20), max_size=10))
def test_the_account_adds_up_after_any_history(histories: list[list[Happening]]) -> None:
    counts = dict.fromkeys(EventState, 0)
    for history in histories:
        state = EventState.WAITING
        for happening in history:
            state = next_state(state, happening) or state
        counts[state] += 1

    account = Counts(
        published=len(histories),
        waiting=counts[EventState.WAITING],
        in_work=counts[EventState.IN_WORK],
        done=counts[EventState.DONE],
        dead=counts[EventState.DEAD],
    )

    assert account.adds_up
    assert all(account.of(state) == counts[state] for state in EventState)
