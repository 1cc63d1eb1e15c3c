"""What did a task print? The beginning and the end, however much it was."""

from __future__ import annotations

from typing import Optional

TAIL_CHARS_MAX = 8192


class Capture:
    """Takes bytes without end and keeps at most `bytes_max` of them: the first half and the last half."""

    def __init__(self, bytes_max: int = 1 << 20) -> None:
        self._half = bytes_max // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.size_bytes = 0

    def add(self, data: bytes) -> None:
        """Take some more."""
        self.size_bytes += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._half :]
            if len(self._tail) > 2 * self._half:  # cut rarely: each cut moves what is kept
                del self._tail[: -self._half]

    def clear(self) -> None:
        """Forget everything."""
        if self.size_bytes:
            self._head.clear()
            self._tail.clear()
            self.size_bytes = 0

    def content(self, bytes_max: Optional[int] = None) -> bytes:
        """What is kept, or of that the first and the last half of `bytes_max` bytes; a line in between says how much is not."""
        head, tail = bytes(self._head), bytes(self._tail[-self._half :])
        if bytes_max is not None and len(head) + len(tail) > bytes_max:
            half = max(1, bytes_max // 2)
            tail = (head + tail)[-half:]
            head = head[:half]
        left_out = self.size_bytes - len(head) - len(tail)
        mark = b"\n[... %d bytes left out ...]\n" % left_out if left_out else b""
        return head + mark + tail

    def newest(self, bytes_max: int) -> bytes:
        """The last bytes. May be called by another thread than the one that adds."""
        tail = bytes(self._tail[-bytes_max:])
        missing = bytes_max - len(tail)
        return bytes(self._head[-missing:]) + tail if missing else tail

    def text(self) -> str:
        """The same, as text."""
        return self.content().decode("utf-8", "replace")

    def tail_text(self) -> str:
        """The last characters, as an attempt's error shows them."""
        return self.content()[-4 * TAIL_CHARS_MAX :].decode("utf-8", "replace")[-TAIL_CHARS_MAX:]
