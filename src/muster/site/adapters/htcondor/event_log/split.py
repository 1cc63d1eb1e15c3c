"""Where does one event end and the next begin, and what lies between them that is none?

An event is whole from its header to a line of three dots. A block of whole events is cut at those lines; that each piece begins with
a header, and that there are no more headers than pieces, shows that nothing was damaged. Only otherwise is it looked at piece by piece.

An event that was cut off was written only in part, so it does not count; what follows it, on a new line or on the same, does.

Source: htcondor-notes.md 6 and 8; `ULogEvent::readHeader`, `ULogEvent::is_sync_line`.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter

from muster.site.adapters.htcondor.event_log import chirps
from muster.site.adapters.htcondor.event_log.events import CODES, Number, code_of
from muster.site.adapters.htcondor.event_log.times import STAMP

TERMINATOR = b"\n...\n"
_SUBPROC = b".000) "  # ends the id in every header
_HEADER = re.compile(rb"(\d{3}) \(\d{1,10}\.-?\d{1,10}\.\d{1,10}\) " + STAMP + rb" ")
_HEADER_LINE = re.compile(rb"\n(?=" + _HEADER.pattern + rb")")
_CHIRP = code_of(Number.GENERIC)
_AD = code_of(Number.AD_INFORMATION)
_AD_TEXT = b"Job ad information event triggered.\n"
_CODE: Callable[[bytes], bytes] = itemgetter(slice(5))  # twice as fast as a comprehension


@dataclass(frozen=True)
class Damage:
    """What was passed over: where it lies (bytes from the beginning of the block, later of the file), how long it is, and why."""

    offset: int
    size_bytes: int
    why: str


@dataclass
class Block:
    """Events in their order, without their terminators.

    Args:
        codes: how each begins (`events.code_of`).
        numbers: how many there were of each code.
        unknown: how many there were of numbers that are not in `events.Number`; they are not among `events`.
        offsets: where each begins in the block; None where they follow each other, which `offset_of` counts up.
    """

    codes: list[bytes]
    events: list[bytes]
    numbers: Counter[bytes]
    unknown: Counter[int] = field(default_factory=Counter)
    damage: list[Damage] = field(default_factory=list)
    offsets: list[int] | None = None

    def offset_of(self, event: bytes) -> int:
        """Where an event of this block, the very object, begins in it."""
        index = next(index for index, one in enumerate(self.events) if one is event)
        if self.offsets is not None:
            return self.offsets[index]
        return sum(len(one) + len(TERMINATOR) for one in self.events[:index])


def split_block(block: bytes) -> Block:
    """Cut a block into its events.

    Args:
        block: what is damaged may stand anywhere in it. What is behind its last terminator is left out.
    """
    events = block.split(TERMINATOR)
    end = len(block) - len(events.pop())
    codes = list(map(_CODE, events))
    numbers = Counter(codes)
    if (
        numbers.keys() <= CODES
        and block.find(b"\0", 0, end) < 0
        and _count_headers(block, end) == len(events)
        # Into these nobody looks, who would see that there is another event in one.
        and block.count(_AD_TEXT, 0, end) == numbers[_AD]
    ):
        return Block(codes, events, numbers)
    return split_damaged(events)


def split_damaged(pieces: list[bytes]) -> Block:
    """What is whole in the pieces between terminators, any of which may be damaged."""
    found = Block([], [], Counter(), offsets=[])
    offsets: list[int] = []
    position = 0
    for piece in pieces:
        begin = _find_whole(piece)
        if begin is None:
            found.damage.append(Damage(position, len(piece), "no header"))
        elif piece.find(b"\0", begin) >= 0:
            found.damage.append(Damage(position, len(piece), "NULs"))
        else:
            if begin:
                found.damage.append(Damage(position, begin, "cut off, or not an event"))
            _keep(found, offsets, piece[begin:] if begin else piece, position + begin)
        position += len(piece) + len(TERMINATOR)
    found.offsets = offsets
    found.numbers = Counter(found.codes)
    return found


def _count_headers(block: bytes, end: int) -> int:
    first, last = block.find(_SUBPROC, 0, end), block.rfind(_SUBPROC, 0, end)
    # With the day behind it, there is more to look for, which is found twice as fast. On one day it finds the same, but for headers
    # that were cut off in the day; and such an event has not its text in its place, which whoever reads it notices.
    with_day = block[first : block.find(b" ", first + len(_SUBPROC)) + 1]
    if block.startswith(with_day, last):
        return block.count(with_day, 0, end)
    return block.count(_SUBPROC, 0, end)


def find_header(event: bytes) -> re.Match[bytes] | None:
    """The header that an event begins with, up to its text."""
    return _HEADER.match(event)


def find_next_header(data: bytes) -> int:
    """Where the first line begins, after the first byte, that looks like a header; -1 if none does."""
    match = _HEADER_LINE.search(data)
    return match.end() if match else -1


def _keep(found: Block, offsets: list[int], event: bytes, position: int) -> None:
    if event[:5] in CODES:
        found.codes.append(event[:5])
        found.events.append(event)
        offsets.append(position)
    else:
        found.unknown[int(event[:3])] += 1


def _find_whole(piece: bytes) -> int | None:
    """Where the one whole event of a piece begins: at the last header, unless an earlier one has it as part of its text."""
    headers = list(_HEADER.finditer(piece))
    for header in headers:
        if header is headers[-1] or _is_quoted(piece, header):
            return header.start()
    return None


def _is_quoted(piece: bytes, header: re.Match[bytes]) -> bool:
    """Is what follows one chirp on one line, whose text may hold anything, even a header?"""
    begin = header.start()
    if piece[begin : begin + 5] != _CHIRP or b"\n" in piece[begin:]:
        return False
    return chirps.is_whole(piece[header.end() :])
