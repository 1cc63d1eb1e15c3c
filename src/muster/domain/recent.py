"""What is remembered of many things, where only those used last can be?"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The entries used last, at most `size`; `drop` is told of each that goes because there are too many, or is replaced."""

    def __init__(self, *, size: int, drop: Callable[[V], None] = lambda _: None) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._size = size
        self._drop = drop

    def find(self, key: K) -> V | None:
        """The entry, now the one used last."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        return None

    def items(self) -> Sequence[tuple[K, V]]:
        """Every entry, the one used longest ago first."""
        return list(self._entries.items())

    def latest(self, limit: int) -> Iterator[tuple[K, V]]:
        """So many entries at most, the one used last first. Nothing may be kept or found meanwhile."""
        return islice(reversed(self._entries.items()), limit)

    def keep(self, key: K, value: V) -> V:
        """Remember; the entry used longest ago goes when there are too many."""
        if (former := self._entries.pop(key, None)) is not None:
            self._drop(former)
        self._entries[key] = value
        if len(self._entries) > self._size:
            self._drop(self._entries.popitem(last=False)[1])
        return value

    def forget(self, key: K) -> None:
        """Begin anew with it, if it is known; `drop` is not told."""
        self._entries.pop(key, None)
