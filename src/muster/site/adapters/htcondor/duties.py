"""How is all done that is due, although some of it cannot be? One trouble after the other is kept, and told together in the end."""

from collections.abc import Awaitable, Callable

import anyio

from muster.domain.errors import UnavailableError

SLOW_S = 2.0
"""Seconds after which what has failed is taken for a schedd that is silent: then everything else would wait as long."""
TOLD_MAX = 5


class Duties:
    """One round of them."""

    def __init__(self) -> None:
        self._troubles: dict[str, None] = {}
        self._is_silent = False

    async def do(self, *works: Callable[[], Awaitable[object]]) -> None:
        """Do these, one after the other, unless the schedd was found silent."""
        for work in works:
            if self._is_silent:
                return
            began = anyio.current_time()
            try:
                await work()
            except UnavailableError as error:
                self._troubles[str(error)] = None
                self._is_silent = anyio.current_time() - began > SLOW_S

    def tell(self) -> None:
        """Raises UnavailableError where anything could not be done."""
        if self._troubles:
            raise UnavailableError("; ".join(list(self._troubles)[:TOLD_MAX]))
