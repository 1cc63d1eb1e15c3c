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
        """Every slot in its order, for `restore`."""
        return list(zip(self._texts, self._holders, strict=True))

    @classmethod
    def restore(cls, limit: int, dumped: Sequence[tuple[bytes, int]]) -> "CountedTexts":
        """As it was."""
        made = cls(limit)
        made._texts = [text for text, _ in dumped]
        made._holders = array("q", [holders for _, holders in dumped])
        rest = range(OTHER + 1, len(dumped))
        made._slots = {made._texts[slot]: slot for slot in rest if made._holders[slot]}
        made._free = [slot for slot in rest if not made._holders[slot]]
        return made

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
