"""How do tests wait? For a condition, until a deadline, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str, *, deadline_s: float = 60.0, interval_s: float = 0.02) -> T:
    """Look until there is something truthy to see, and return it; AssertionError after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what} (last seen: {seen!r})")
        time.sleep(interval_s)
