"""How many procs have which text? Texts are kept once, for as long as someone has them, and a proc keeps a small number instead."""

from array import array
from collections.abc import Iterator, Sequence

NONE = 0
"""The slot of those that have no text."""
OTHER = 1
OTHER_TEXT = b"(others)"


class CountedTexts:
    """Texts with the number of their holders.

    Args:
        limit: distinct texts at a time; who comes with another one is counted under `OTHER_TEXT`, so that memory stays bounded
            whatever is said.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: dict[bytes, int] = {}
        self._texts: list[bytes] = [b"", OTHER_TEXT]
        self._holders = array("q", [0, 0])
        self._free: list[int] = []

    def take(self, text: bytes) -> int:
        """One more holder of a text. Returns its slot."""
        slot = self._slots.get(text)
        if slot is None:
            slot = self._place(text)
        self._holders[slot] += 1
        return slot

    def leave(self, slot: int) -> None:
        """One holder less; the last one takes the text along."""
        if slot == NONE:
            return
        self._holders[slot] -= 1
        if slot != OTHER and not self._holders[slot]:
            del self._slots[self._texts[slot]]
            self._texts[slot] = b""
            self._free.append(slot)

    def text_of(self, slot: int) -> bytes:
        """The text in a slot; empty for `NONE`."""
        return self._texts[slot]

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Each text that somebody has, with the number of its holders."""
        for text, slot in self._slots.items():
            yield text, self._holders[slot]
        if self._holders[OTHER]:
            yield OTHER_TEXT, self._holders[OTHER]

    def dump(self) -> list[tuple[bytes, int]]:
        """Every slot in its order, for `restore`; empty where nobody has a text."""
        if not self._slots and not self._holders[OTHER]:
            return []
        return list(zip(self._texts, self._holders, strict=True))

    def restore(self, dumped: Sequence[tuple[bytes, int]]) -> None:
        """Make one that is empty as it was when it was dumped."""
        if not dumped:
            return
        self._texts = [text for text, _ in dumped]
        self._holders = array("q", [holders for _, holders in dumped])
        rest = range(OTHER + 1, len(dumped))
        self._slots = {self._texts[slot]: slot for slot in rest if self._holders[slot]}
        self._free = [slot for slot in rest if not self._holders[slot]]

    def _place(self, text: bytes) -> int:
        if len(self._slots) >= self._limit:
            return OTHER
        if self._free:
            slot = self._free.pop()
            self._texts[slot] = text
        else:
            slot = len(self._texts)
            self._texts.append(text)
            self._holders.append(0)
        self._slots[text] = slot
        return slot
