"""Are the entries used last kept, and is each told of that goes?"""

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.recent import Recent

SIZE = 3
CALLS = st.lists(st.tuples(st.sampled_from(("keep", "find", "forget")), st.integers(0, 5)), max_size=50)


@given(CALLS)
def test_it_keeps_the_entries_used_last(calls: list[tuple[str, int]]) -> None:
    dropped: list[str] = []
    recent: Recent[int, str] = Recent(size=SIZE, drop=dropped.append)
    used: list[tuple[int, str]] = []  # the one used last at the end
    gone: list[str] = []

    for number, (call, key) in enumerate(calls):
        before = dict(used)
        if call == "find":
            assert recent.find(key) == before.get(key)
            used.sort(key=lambda one: one[0] == key)
        elif call == "forget":
            recent.forget(key)
            used = [one for one in used if one[0] != key]
        else:
            value = f"{key} at {number}"
            assert recent.keep(key, value) == value
            gone += [before[key]] if key in before else []
            used = [*(one for one in used if one[0] != key), (key, value)]
            gone += [value for _, value in used[:-SIZE]]
            used = used[-SIZE:]

        assert recent.items() == used
        assert list(recent.latest(2)) == used[::-1][:2]
        assert dropped == gone
