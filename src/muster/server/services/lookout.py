"""How many looks does it take to tell many followers of the same thing? One a round, and one at a time.

Whoever follows waits for news. The first of them sees to it that the others get theirs: it waits for a ring of the topics, or for as long
as things can go unnoticed without one, and looks. When it leaves, the next one goes on.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Generic, Protocol, TypeVar

import anyio

from muster.domain.errors import MusterError
from muster.server.ports.waking import Bell, Waking


class Sight(Protocol):
    """What a look has seen."""

    @property
    def state(self) -> Hashable:
        """The same as long as nothing changed."""

    @property
    def topics(self) -> Sequence[str]:
        """Their rings mean that something changed."""

    @property
    def pace_s(self) -> float:
        """Seconds after which to look again without a ring."""


S = TypeVar("S", bound=Sight)


class Lookout(Generic[S]):
    """One thing, and all who follow it.

    Args:
        look: sees what is there now. Raises MusterErrors, which all get who wait.
        floor_s: seconds between two looks at least, but for those who cannot wait.
        is_stopping: is nobody to wait any longer? One of the topics rings when that becomes so.
    """

    def __init__(
        self, look: Callable[[], Awaitable[S]], waking: Waking, *, floor_s: float, is_stopping: Callable[[], bool]
    ) -> None:
        self._look = look
        self._waking = waking
        self._floor_s = floor_s
        self._is_stopping = is_stopping
        self._turn = anyio.Lock()
        self._begun = 0  # how many looks have begun: they are numbered from 1
        self._ended = 0  # number of the newest one that has come to an end
        self._wanted = 0  # number of one that is due without a ring
        self._begun_at = anyio.current_time()
        self._outcome: S | MusterError | None = None
        self._news = anyio.Event()
        self._is_driven = False
        self._nap = anyio.CancelScope()
        self._bell: Bell | None = None
        self._listening = ExitStack()

    async def look(self) -> S:
        """What is there now, at once. The look begins after this call, and is shared with all who call before it begins."""
        wanted = self._begun + 1
        async with self._turn:
            if self._ended < wanted:
                await self._look_once()
        if isinstance(self._outcome, MusterError):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    async def next(self, is_news: Callable[[S], bool], *, until: float, is_fresh: bool = False) -> S | None:
        """What was seen last, as soon as that is news. None: it was not until then, or the service stops.

        Args:
            until: a reading of the clock.
            is_fresh: what was seen before this call does not count, and a look is due.
        """
        entered = self._ended
        wanted = self._begun + 1 if is_fresh else 0
        if is_fresh:
            self._wanted = max(self._wanted, wanted)
            self._nap.cancel()
        while not self._is_stopping():
            if isinstance(self._outcome, MusterError):
                if self._ended > entered:
                    raise self._outcome
            elif self._outcome is not None and self._ended >= wanted and is_news(self._outcome):
                return self._outcome
            left_s = until - anyio.current_time()
            if left_s <= 0:
                break
            if self._is_driven:
                with anyio.move_on_after(left_s):
                    await self._news.wait()
            else:
                await self._drive(until)
        return None

    def close(self) -> None:
        """Nobody follows any longer."""
        self._listening.close()

    async def _drive(self, until: float) -> None:
        """For all who follow, look when that is due; nothing where it is not until then, or somebody else has looked meanwhile."""
        self._is_driven = True
        begun = self._begun
        try:
            self._listen()
            await anyio.sleep_until(min(until, self._begun_at + self._floor_s))
            if self._begun == begun:
                await self._await_reason(until)
            if self._begun == begun and anyio.current_time() < until and not self._is_stopping():
                await self.look()
        finally:
            self._is_driven = False
            self._announce()

    def _listen(self) -> None:
        """Hear the topics, once it is known which they are."""
        if self._bell is None and self._outcome is not None and not isinstance(self._outcome, MusterError):
            self._bell = self._listening.enter_context(self._waking.listen(*self._outcome.topics))
            self._wanted = self._begun + 1  # what happened since the last look was not heard

    async def _await_reason(self, until: float) -> None:
        """Wait for a ring, for somebody who wants a look, or has made one, or for as long as things can go unnoticed."""
        sight = self._outcome
        if self._bell is None or self._wanted > self._ended or sight is None or isinstance(sight, MusterError):
            return
        with anyio.CancelScope() as self._nap:
            if await self._bell.wait(min(until, self._begun_at + sight.pace_s) - anyio.current_time()):
                self._wanted = self._begun + 1  # also when it is somebody else who looks in the end

    async def _look_once(self) -> None:
        self._begun += 1
        before = self._begun_at
        number, self._begun_at = self._begun, anyio.current_time()
        try:
            self._outcome = await self._look()
        except MusterError as error:
            self._outcome = error
        except BaseException:  # who looked was torn away: the next one need not wait on account of that
            self._begun_at = before
            raise
        self._ended = number
        self._nap.cancel()
        self._announce()

    def _announce(self) -> None:
        """Wake those who wait: there may be news, or somebody must go on looking."""
        self._news.set()
        self._news = anyio.Event()


class Lookouts(Generic[S]):
    """The things that somebody follows, by name."""

    def __init__(self) -> None:
        self._followed: dict[str, tuple[Lookout[S], int]] = {}

    @contextmanager
    def follow(self, name: str, make: Callable[[], Lookout[S]]) -> Iterator[Lookout[S]]:
        """Be one of those who follow it; `make` is called for the first of them."""
        lookout, followers = self._followed.get(name) or (make(), 0)
        self._followed[name] = lookout, followers + 1
        try:
            yield lookout
        finally:
            followers = self._followed[name][1] - 1
            self._followed[name] = lookout, followers
            if followers == 0:
                del self._followed[name]
                lookout.close()
