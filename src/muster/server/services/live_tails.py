"""What do tasks print that somebody looks at right now? The newest ends, in the memory of one service, as long as somebody asks.

Workers are told with their renewals what is looked at, and bring it with the next one. Where several services run, a worker may renew at
another one: it is asked there once somebody's look comes there, too.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from muster.domain.errors import UnavailableError

WATCH_S = 30.0
"""So long after a look workers are still asked."""
WATCHED_MAX = 64
"""Events at once: each is up to 32 KiB, and its worker renews every two seconds."""


@dataclass(frozen=True, slots=True)
class LiveStream:
    """The end of what was printed to one stream, and how much that was in all."""

    data: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What an attempt that is at work has printed. `at`: when it was brought, in seconds since the epoch."""

    event: int
    fence: int
    stdout: LiveStream
    stderr: LiveStream
    at: float = 0.0


@dataclass
class _Watched:
    until: float
    tail: Tail | None = None


class LiveTails:
    """The memory of one service process. `clock` is monotonic."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watched: dict[int, _Watched] = {}

    def watch(self, event: int) -> Tail | None:
        """Somebody looks; what was brought since others began to. Raises UnavailableError: too many are looked at."""
        self._forget()
        until = self._clock() + WATCH_S
        if event not in self._watched and len(self._watched) >= WATCHED_MAX:
            raise UnavailableError(f"the output of {WATCHED_MAX} events is being looked at: try again in a while")
        watched = self._watched.setdefault(event, _Watched(until))
        watched.until = until
        return watched.tail

    def find(self, event: int) -> Tail | None:
        """What was brought last, if it is still known."""
        watched = self._watched.get(event)
        return None if watched is None else watched.tail

    def list_watched(self, events: Sequence[int]) -> list[int]:
        """Those of the events that somebody looks at."""
        if not self._watched:
            return []
        self._forget()
        return [event for event in events if event in self._watched]

    def keep(self, tail: Tail) -> None:
        """A worker brought it; one of an earlier attempt comes too late."""
        watched = self._watched.get(tail.event)
        if watched is not None and (watched.tail is None or watched.tail.fence <= tail.fence):
            watched.tail = tail

    def _forget(self) -> None:
        now = self._clock()
        for event in [event for event, one in self._watched.items() if one.until < now]:
            del self._watched[event]
