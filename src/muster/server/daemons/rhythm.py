"""When is the next pass? Every so many seconds, or as soon as a bell rings: the loop that all daemons of the server share.

A database that does not answer is waited for, since whatever is to be done is still there at the next pass. Any other error ends the
service: nobody knows what it means.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Never

import anyio
import structlog
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.server.ports.waking import Waking

log = structlog.get_logger()

RETRY_S = 1.0
"""Seconds to the next pass of a daemon with a bell whose database did not answer."""
ROUNDS_MAX = 100
"""Batches of one pass."""


@dataclass(frozen=True)
class Every:
    """A pass every so many seconds.

    Args:
        name: what it is, for logs.
        make_pass: one pass.
    """

    interval_s: float
    name: str
    make_pass: Callable[[], Awaitable[object]]

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            with _skipping(self.name):
                await self.make_pass()
            await anyio.sleep(self.interval_s)


@dataclass(frozen=True)
class WhenRung:
    """A pass whenever the bell of a topic rings, and now and then in case it was missed.

    Args:
        topic: of `muster.server.ports.waking`.
        name: what it is, for logs.
        net_s: seconds to the next pass if the bell stays silent.
        make_pass: one pass; returns seconds to the next, when that is sooner than `net_s`.
        floor_s: seconds between two passes at least, for a bell that rings often.
    """

    waking: Waking
    topic: str
    name: str
    net_s: float
    make_pass: Callable[[], Awaitable[float | None]]
    floor_s: float = 0.0

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        with self.waking.listen(self.topic) as bell:
            task_status.started()
            while True:
                wait_s: float | None = RETRY_S
                with _skipping(self.name):
                    wait_s = await self.make_pass()
                await anyio.sleep(self.floor_s)
                await bell.wait(self.net_s if wait_s is None else min(wait_s, self.net_s))


async def in_batches(do: Callable[[], Awaitable[int]], *, size: int) -> int:
    """Do a batch after another until one is not full; returns how much was done. After `ROUNDS_MAX` the rest waits for the next pass."""
    total = 0
    for _ in range(ROUNDS_MAX):
        count = await do()
        total += count
        if count < size:
            break
    return total


@contextmanager
def _skipping(name: str) -> Iterator[None]:
    try:
        yield
    except UnavailableError as error:
        log.warning("pass skipped", daemon=name, reason=str(error))
