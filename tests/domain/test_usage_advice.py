"""Is advice given where it is plain, and none where it is not?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.size import parse_size, render_size, round_up
from muster.domain.usage import UsageSums
from muster.domain.usage_advice import Asked, advise, find_efficiency

HOUR_US = 3600 * 10**6
GIB = 1 << 30


@pytest.mark.parametrize(
    ("sums", "asked", "attempts", "advice"),
    [
        (
            UsageSums(memory_bytes=300 << 20),
            Asked(memory_bytes=8 * GIB),
            10,
            ["worker_memory could be 512M: attempts used 300 MiB at most, of 8 GiB"],
        ),
        (UsageSums(memory_bytes=300 << 20), Asked(memory_bytes=8 * GIB), 9, []),
        (UsageSums(memory_bytes=300 << 20), Asked(memory_bytes=512 << 20), 10, []),
        (UsageSums(), Asked(memory_bytes=8 * GIB), 10, []),
        (UsageSums(memory_bytes=300 << 20), Asked(), 10, []),
        (
            UsageSums(memory_bytes=300 << 20),
            Asked(memory_bytes=8 * GIB, slots=4),
            10,
            ["worker_memory could be 2G: attempts used 1.17 GiB at most (4 at once), of 8 GiB"],
        ),
        (
            UsageSums(memory_bytes=500 << 20),
            Asked(memory_bytes=512 << 20),
            10,
            ["worker_memory is tight, 768M would leave room: attempts used 500 MiB at most, of 512 MiB"],
        ),
        (
            UsageSums(measured_us=HOUR_US, cpu_us=HOUR_US),
            Asked(n_cores=4),
            10,
            ["n_cores could be 1, or slots more: 1.0 of 4 cores were used on average"],
        ),
        (UsageSums(measured_us=HOUR_US, cpu_us=3 * HOUR_US), Asked(n_cores=4), 10, []),
        (UsageSums(measured_us=HOUR_US, cpu_us=HOUR_US), Asked(n_cores=4, slots=4), 10, []),
        (UsageSums(measured_us=10**6, cpu_us=10**5), Asked(n_cores=4), 10, []),
        (
            UsageSums(wall_us=10 * HOUR_US, lost_us=4 * HOUR_US),
            Asked(),
            10,
            ["40% of the time went into attempts that did not end their event: see the workflow's errors"],
        ),
        (UsageSums(wall_us=10 * HOUR_US, lost_us=1 * HOUR_US), Asked(), 10, []),
    ],
)
def test_advice(sums: UsageSums, asked: Asked, attempts: int, advice: list[str]) -> None:
    assert list(advise(sums, asked, attempts=attempts)) == advice


def test_an_attempt_has_its_share_of_the_cores() -> None:
    sums = UsageSums(measured_us=HOUR_US, cpu_us=HOUR_US // 2)

    assert find_efficiency(sums, Asked()) == 0.5
    assert find_efficiency(sums, Asked(n_cores=4)) == 0.125
    assert find_efficiency(sums, Asked(n_cores=4, slots=4)) == 0.5
    assert find_efficiency(UsageSums(), Asked()) is None


@given(st.integers(0, 1 << 50))
def test_a_size_that_is_asked_for_is_enough_and_not_much_more(size: int) -> None:
    asked = parse_size(round_up(size))

    assert size <= asked <= max(1.5 * size, size + (64 << 20)) + (1 << 20)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (300 << 20, "300 MiB"), (8 * GIB, "8 GiB")]
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert render_size(size) == text
