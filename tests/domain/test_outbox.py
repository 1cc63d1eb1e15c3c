"""Does a place survive its travel as text, and is every other text refused?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.outbox import Cursor, Place, parse_place, render_place

WIDE = st.integers(0, 2**63 - 1)


@given(st.builds(Place, st.builds(Cursor, st.integers(0, 2**31 - 1), WIDE, WIDE), is_end=st.booleans()))
def test_a_place_that_is_written_is_read_again(place: Place) -> None:
    assert parse_place(render_place(place)) == place


def test_in_the_first_era_it_is_written_as_before_there_were_any() -> None:
    assert render_place(Place(Cursor(0, 0x1F4, 0x2A))) == "1f4.2a"
    assert render_place(Place(Cursor(3, 0x1F4, 0x2A), is_end=True)) == "3-1f4.2a.end"


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.", ".1", "-1.1", "1-1", "x-1.1", "80000000-1.1", "1-8000000000000000.1", "1.1.end.", " 1.1", "1.1\n"],
)
def test_another_text_is_none(text: str) -> None:
    assert parse_place(text) is None


def test_an_earlier_era_comes_first_whatever_its_transactions() -> None:
    assert Cursor(0, 2**62, 9) < Cursor(1, 3, 1) < Cursor(1, 3, 2)
