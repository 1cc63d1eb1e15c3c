"""What does this process know of the keys that verify queue tokens?"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from muster.domain.errors import UnavailableError
from muster.domain.queue_token import PublicKey


@dataclass
class KeyBook:
    """Keys noted, and keys read.

    Args:
        newest: kid of the pair that was noted last.
        noted: keys that are not stored yet, oldest first.
        storing: held by who stores them.
    """

    newest: str = ""
    noted: list[PublicKey] = field(default_factory=list)
    storing: anyio.Lock = field(default_factory=anyio.Lock)
    _stored: Sequence[PublicKey] | None = None
    _asked: int = 0
    _answered: int = 0
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def read_together(self, read: Callable[[], Coroutine[Any, Any, Sequence[PublicKey]]]) -> Sequence[PublicKey]:
        """The stored keys, read after this call began; calls that come while one reads share the next reading.

        So the database is asked by one at a time, however many ask us, and nobody is given keys from before he asked.
        """
        self._asked += 1
        ticket = self._asked
        async with self._lock:
            if self._stored is None or self._answered < ticket:
                covered = self._asked
                try:
                    self._stored = await read()
                except UnavailableError:
                    if self._stored is None:
                        raise
                self._answered = covered
            return self._stored
