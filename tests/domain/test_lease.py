"""Which events may not be worked on beside others?"""

import pytest

from muster.domain.lease import goes_alone


@pytest.mark.parametrize(
    ("deaths", "limit", "slots", "alone"),
    [
        (0, 5, 1, False),
        (1, 5, 1, True),
        (0, 1, 8, False),
        (1, 5, 8, False),  # the machine may have gone away
        (2, 5, 8, True),
        (1, 3, 8, False),
        (2, 3, 8, True),
        (1, 2, 8, True),  # a second death would be its last
        (1, 1, 8, True),
    ],
)
def test_one_with_which_workers_died_goes_alone(deaths: int, limit: int, slots: int, alone: bool) -> None:  # noqa: FBT001
    assert goes_alone(deaths, limit=limit, slots=slots) is alone
