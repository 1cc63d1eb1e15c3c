"""How long to wait before the next try?"""


def next_delay(failures: int, *, first_s: float, delay_s_max: float, jitter: float) -> float:
    """Seconds to wait after the n-th failure in a row: doubling, capped, spread.

    Args:
        failures: failures so far, 1 or more.
        first_s: the delay after the first failure.
        delay_s_max: the cap, before jitter.
        jitter: a random number in [0, 1); 0 takes half of the delay away, 1 nothing.
    """
    if failures < 1:
        raise ValueError(f"failures {failures} is below 1")
    return min(delay_s_max, first_s * 2.0 ** min(failures - 1, 60)) * (0.5 + jitter / 2)
