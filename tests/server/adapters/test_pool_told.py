"""Does what a site tells of workers come back from its column as it was, also where a newer service has written it?"""

import json

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.pool_facts import PoolFacts
from muster.server.adapters.sql.pool_told import read_told, write_told

NUMBERS = st.integers(0, 2**53)
COUNTS = st.dictionaries(st.text(), NUMBERS, max_size=4)
FACTS = st.builds(
    PoolFacts, restarts=NUMBERS, evictions=NUMBERS, holds=COUNTS, transfers=COUNTS, hosts=COUNTS, sites=COUNTS
)


@given(st.none() | FACTS, st.lists(st.text(), max_size=3).map(tuple))
def test_it_comes_back_as_it_was(facts: PoolFacts | None, reasons: tuple[str, ...]) -> None:
    assert read_told(write_told(facts, reasons)) == (facts, reasons)


def test_nothing_told_is_nothing_kept() -> None:
    assert write_told(None, ()) is None


def test_what_a_newer_service_adds_is_left_out_and_what_an_older_one_lacks_is_nothing() -> None:
    told = json.dumps({"facts": {"evictions": 2, "naps": 9}, "reasons": ["x"], "moods": 1})

    assert read_told(told) == (PoolFacts(evictions=2), ("x",))
