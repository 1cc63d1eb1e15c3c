"""How long is the pause before an event is tried again?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.retry import PAUSE_S_MAX, next_pause


@pytest.mark.parametrize(
    ("attempts", "retry_s", "pause_s"),
    [
        (1, 2, 2),
        (2, 2, 4),
        (4, 2, 16),
        (8, 2, 256),
        (9, 2, 300),
        (1000, 2, 300),
        (1, 0, 0),
        (999, 0, 0),
        (1, 900, 900),
        (5, 900, 900),
    ],
)
def test_pauses_double_up_to_a_cap(attempts: int, retry_s: float, pause_s: float) -> None:
    assert next_pause(attempts, retry_s=retry_s) == pause_s


@given(attempts=st.integers(1, 1000), retry_s=st.floats(0, 86_400))
def test_a_pause_is_never_shorter_than_the_one_before_nor_than_the_first(attempts: int, retry_s: float) -> None:
    pause_s = next_pause(attempts, retry_s=retry_s)

    assert retry_s <= pause_s <= max(PAUSE_S_MAX, retry_s)
    assert next_pause(attempts + 1, retry_s=retry_s) >= pause_s
