"""Which events stand in a stream of bytes, wherever it was cut into pieces?

Source: HTML Living Standard, section 9.2.6 "Interpreting an event stream".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from muster.domain.errors import UnavailableError

EVENT_BYTES_MAX = 16 << 20
"""An event that is longer is none of Muster's, and is not kept."""
_BREAK = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ServerEvent:
    """One event. `name`: `message` where the stream gave none. `id`: the last one that came, with this event or before it."""

    name: str
    data: str
    id: str


class EventParser:
    """Reads a stream.

    Args:
        last_id: of an earlier stream, in force until this one gives another.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        """Seconds after which the stream asks to be opened again when it has broken off; None where it said nothing of it."""
        self._left = bytearray()
        self._is_begun = False
        self._ends_in_return = False
        self._name = ""
        self._data: list[str] = []
        self._size_bytes = 0
        self._next_id = last_id

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """Take in what came; gives the events that are whole with it. Raises UnavailableError for an event that is too long."""
        for line in self._cut(piece):
            event = self._read(line)
            if event is not None:
                yield event

    def _cut(self, piece: bytes) -> Iterator[bytes]:
        """The lines that are whole with this piece."""
        if self._ends_in_return and piece:
            self._ends_in_return = False
            piece = piece.removeprefix(b"\n")  # the other half of the line break before
        begun = 0
        for match in _BREAK.finditer(piece):
            line = bytes(self._left) + piece[begun : match.start()]
            self._left.clear()
            begun = match.end()
            yield self._strip(line)
        self._ends_in_return = piece.endswith(b"\r") or (self._ends_in_return and not piece)
        self._left += piece[begun:]
        self._weigh(len(self._left))

    def _strip(self, line: bytes) -> bytes:
        """Without the mark that a stream may begin with."""
        if self._is_begun:
            return line
        self._is_begun = True
        return line.removeprefix(_BOM)

    def _weigh(self, size_bytes: int) -> None:
        if self._size_bytes + size_bytes > EVENT_BYTES_MAX:
            raise UnavailableError(
                f"an event of the stream is longer than {EVENT_BYTES_MAX >> 20} MiB: is the address that of a Muster service?"
            )

    def _read(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._end()
        self._weigh(len(line))
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
                self._size_bytes += len(line)
            case "id" if "\0" not in value:
                self._next_id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                self.retry_s = int(value) / 1000
        return None

    def _end(self) -> ServerEvent | None:
        """The empty line that ends an event; one without data is none, and its id counts all the same."""
        self.last_id = self._next_id
        event = ServerEvent(self._name or "message", "\n".join(self._data), self.last_id) if self._data else None
        self._name, self._data, self._size_bytes = "", [], 0
        return event
