"""How long is a call parked? Until there is something to answer, its time is over, or the service stops."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from muster.server.services.parts import Parts

T = TypeVar("T")

STOPPING = "stopping"


async def wait_for(
    parts: Parts, look: Callable[[], Awaitable[T | None]], *, topics: Sequence[str], wait_s: float
) -> T | None:
    """Look until there is something, woken by the topics.

    Args:
        look: gives None while there is nothing.
        wait_s: seconds to wait at most; bounded by the setting `park_s_max`.

    Returns:
        What the last look gave.
    """
    deadline = anyio.current_time() + max(0.0, min(wait_s, parts.settings.park_s_max))
    with parts.waking.listen(*topics, STOPPING) as bell:
        while True:
            found = await look()
            left_s = deadline - anyio.current_time()
            if found is not None or left_s <= 0 or parts.stopping.asked:
                return found
            await bell.wait(min(left_s, parts.settings.net_interval_s))
