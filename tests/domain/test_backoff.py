"""Does a delay double, end at its cap, and spread?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.backoff import next_delay


@given(st.integers(1, 10_000), st.floats(0.001, 10), st.floats(0.001, 1000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_positive_and_at_most_the_cap(failures: int, first_s: float, cap_s: float, jitter: float) -> None:
    delay = next_delay(failures, first_s=first_s, delay_s_max=cap_s, jitter=jitter)

    assert 0 < delay <= cap_s


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_a_delay_doubles_below_the_cap(failures: int, jitter: float) -> None:
    one = next_delay(failures, first_s=0.1, delay_s_max=1e18, jitter=jitter)
    next_one = next_delay(failures + 1, first_s=0.1, delay_s_max=1e18, jitter=jitter)

    assert next_one == pytest.approx(2 * one)


def test_no_failure_has_no_delay() -> None:
    with pytest.raises(ValueError, match="below 1"):
        next_delay(0, first_s=1, delay_s_max=10, jitter=0)
